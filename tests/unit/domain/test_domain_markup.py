"""Whatever a text holds: it fits, shows itself, mentions nobody, and breaks nothing around it."""

import html
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.domain import markup

anything = st.text(st.characters(codec=None)) | st.text(
    st.sampled_from("<>&@#!|`*_ \n\r\t\x1b\x9b\u061c\u202e\ud800\U0001f600ab")
)
limits = st.integers(-5, 200)

SHORTENERS = (markup.escape, markup.line, markup.code, markup.code_block)


@pytest.mark.parametrize("shorten", SHORTENERS)
@given(text=anything, limit=limits)
@example(text="&" * 50, limit=0)
@example(text="&" * 50, limit=7)
@example(text="\U0001f600" * 50, limit=9)
def test_any_text_fits_and_mentions_nobody(shorten: Callable[[str, int], str], text: str, limit: int) -> None:
    found = shorten(text, limit)
    assert markup.units(found) <= max(limit, 0)
    assert "<" not in found
    assert ">" not in found
    assert not re.search(r"&(?!amp;|lt;|gt;)", found)
    assert not re.search(r"[\ud800-\udfff\u202a-\u202e\u061c\x00-\x08\x1b\x7f-\x9f]", found)


@given(anything)
def test_a_text_that_fits_is_shown_whole(text: str) -> None:
    found = html.unescape(markup.escape(text, 10_000))
    assert found.replace("`", "ʹ") == markup.clean(text).replace("`", "ʹ")


@given(anything, limits)
def test_a_line_is_one_line(text: str, limit: int) -> None:
    assert "\n" not in markup.line(text, limit)


@given(anything, limits)
def test_code_is_closed_and_holds_no_back_tick(text: str, limit: int) -> None:
    for found, fence in ((markup.code(text, limit), "`"), (markup.code_block(text, limit), "```")):
        if found:
            assert found.startswith(fence)
            assert found.endswith(fence)
            assert "`" not in found[len(fence) : -len(fence)]
            assert len(found) > 2 * len(fence)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("run `make` and `ls`", "run `make` and `ls`"),
        ("run `make", "run ʹmake"),
        ("``` `make`", "ʹʹʹ `make`"),
        ("`make` and `lsssssssssssssssssssssss`", "ʹmakeʹ and ʹlssssssss…"),
    ],
)
def test_code_in_a_line_stays_where_it_is_closed(text: str, found: str) -> None:
    assert markup.line(text, 22) == found


@pytest.mark.parametrize("text", ["```a\nb``` and `c`", "`a\nb`", "`a```", "``````"])
def test_code_in_a_text_stays_where_it_is_closed(text: str) -> None:
    assert markup.escape(text, 22) == (text if "and" in text else text.replace("`", "ʹ"))


@given(anything, limits)
def test_no_text_leaves_code_open_behind_it(text: str, limit: int) -> None:
    for found in (markup.line(text, limit), markup.escape(text, limit)):
        assert "`" not in re.sub(r"(?<!`)(?:```[^`]+```|`[^`\n]+`)(?!`)", "", found)
    assert "`" not in markup.bold(text, limit)


@pytest.mark.parametrize(
    ("text", "limit", "found"),
    [("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("abc def", 5, "abc…"), ("ab", 1, "…"), ("ab", 0, "")],
)
def test_a_cut_is_marked(text: str, limit: int, found: str) -> None:
    assert markup.cut(text, limit) == found


def test_a_long_error_keeps_its_start_and_its_end() -> None:
    text = "Traceback " + "x" * 100 + " ValueError: no quota"
    found = markup.cut_middle(text, 40)
    assert found.startswith("Traceback")
    assert found.endswith("no quota")
    assert len(found) <= 40
    assert markup.cut_middle("short", 40) == "short"


def test_control_and_direction_characters_go_and_surrogates_are_replaced() -> None:
    assert markup.clean("a\r\nb\x00\u202ec\ud800\td\r") == "a\nbc\ufffd\td"


def test_code_of_nothing_is_nothing() -> None:
    assert markup.code(" \n", 10) == ""
    assert markup.code_block(" \n", 10) == ""


def test_lengths_are_counted_as_the_strictest_counter_does() -> None:
    assert (markup.units("abc"), markup.units("äbc"), markup.units("\U0001f600bc")) == (3, 3, 4)
    assert markup.units("\ud800é") == 2


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://x.example/?a=1&b=2", "<https://x.example/?a=1&amp;b=2|a¦b>"),
        ("http://x", "<http://x|a¦b>"),
        ("https://x/`y", "<https://x/%60y|a¦b>"),
        ("javascript:alert(1)", "a|b"),
        ("https://x>y", "a|b"),
        ("https://x|y", "a|b"),
        ("https://x y", "a|b"),
        ("https://" + "x" * 3000, "a|b"),
        ("", "a|b"),
    ],
)
def test_only_an_address_slack_can_link_is_linked(url: str, found: str) -> None:
    assert markup.link(url, "a|b") == found


def test_a_time_is_in_the_readers_zone_with_utc_to_fall_back_on() -> None:
    assert markup.date(86400) == "<!date^86400^{date_short_pretty} {time}|1970-01-02 00:00 UTC>"


@pytest.mark.parametrize("at_s", [1e18, float("inf"), float("nan")])
def test_a_time_out_of_range_is_left_out(at_s: float) -> None:
    assert markup.date(at_s) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (42, "42 s"),
        (60, "1 min"),
        (252, "4 min 12 s"),
        (11100, "3 h 5 min"),
        (7200, "2 h"),
        (187200, "2 d 4 h"),
    ],
)
def test_a_span_is_told_as_people_say_it(seconds: float, words: str) -> None:
    assert markup.duration(seconds) == words


def test_of_a_very_long_text_only_what_may_be_shown_is_looked_at() -> None:
    text = "start " + "x" * 5_000_000 + " end"
    assert markup.line(text, 20).startswith("start x")
    assert markup.code_block(text, 60).endswith(" end```")

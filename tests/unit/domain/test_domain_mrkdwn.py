"""Texts of any content in mrkdwn: they fit, are shown as written, and mention no one."""

import html
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.domain import mrkdwn as markup

anything = st.text(st.characters(codec=None)) | st.text(
    st.sampled_from(
        "<>&@#!|`*_ \n\r\t\b\x1b\x9b\x9d[];m\x07\u061c\u202e\u0301\u200d\u200c\ud800\U0001f600\U0001f1e6日ab"
    )
)
limits = st.integers(-5, 200) | st.just(1000)

SHORTENERS = (markup.escape, markup.plain, markup.line, markup.code, markup.code_block)


#: What Slack may read as an emoji or as a style, where no code and no address holds it.
RESTYLED = re.compile(r":(?!\d\d:)[\w+'-]+:|(?<![^\W_])([*_~])(?=\S)[^\n]+?\1(?![^\W_])")
styled = st.text(st.sampled_from(":*_~`ab1 .(/\n"), max_size=60)


@pytest.mark.parametrize("shorten", SHORTENERS)
@given(text=anything | styled, limit=limits)
@example(text="&" * 50, limit=0)
@example(text="&" * 50, limit=7)
@example(text="\U0001f600" * 50, limit=9)
def test_any_text_fits_and_mentions_no_one(shorten: Callable[[str, int], str], text: str, limit: int) -> None:
    found = shorten(text, limit)
    assert markup.characters(found) <= max(limit, 0)
    assert markup.units(found) <= max(limit, 0) * (3 if limit <= 200 else 1)
    assert "<" not in found
    assert ">" not in found
    assert not re.search(r"&(?!amp;|lt;|gt;)", found)
    assert not re.search(r"[\ud800-\udfff\u202a-\u202e\u061c\x00-\x08\x1b\x7f-\x9f]", found)


@given(anything)
def test_a_text_that_fits_is_shown_whole(text: str) -> None:
    found = html.unescape(markup.escape(text, 10_000))
    assert found.replace("`", "ʹ") == markup.clean(text).replace("`", "ʹ")


@given(anything, limits)
def test_a_text_formatted_as_a_line_is_one_line(text: str, limit: int) -> None:
    assert "\n" not in markup.line(text, limit)


@given(anything, limits)
def test_code_is_closed_and_contains_no_back_tick(text: str, limit: int) -> None:
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
def test_no_text_leaves_code_open(text: str, limit: int) -> None:
    for found in (markup.line(text, limit), markup.escape(text, limit)):
        assert "`" not in re.sub(r"(?<!`)(?:```[^`]+```|`[^`\n]+`)(?!`)", "", found)
    assert "`" not in markup.bold(text, limit)


@pytest.mark.parametrize(
    ("text", "limit", "found"),
    [("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("abc def", 5, "abc…"), ("ab", 1, "…"), ("ab", 0, "")],
)
def test_a_cut_is_marked(text: str, limit: int, found: str) -> None:
    assert markup.cut(text, limit) == found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lib/foo.rb:100:in x", "`lib/foo.rb:100:in` x"),
        ("arn:aws:iam::1:key:prod", "`arn:aws:iam::1:key:prod`"),
        ("done (foo.rb:100:in).", "done (`foo.rb:100:in`)."),
        ("\n:fire: ok", "\n`:fire:` ok"),
        ("~5 min~ *.tf … *.py", "`~5 min~` `*.tf … *.py`"),
        ("_a_b_ __init__\n*Disk full*", "`_a_b_` `__init__`\n`*Disk full*`"),
        ("/api?a=*&b=*", "`/api?a=*&amp;b=*`"),
        ("10:02:03 a_b_c 5*3*2 a * b * c ~/x", "10:02:03 a_b_c 5*3*2 a * b * c ~/x"),
        ("`a:100:b` ```\n*c* :d:```", "`a:100:b` ```\n*c* :d:```"),
        ("https://x/a:100:b_c_ *see https://x now*", "https://x/a:100:b_c_ ∗see https://x now∗"),
        ("x:100:`y` *a `b` c*", "x∶100∶`y` ∗a `b` c∗"),
    ],
)
def test_a_text_is_shown_as_written_where_slack_would_restyle_it(text: str, shown: str) -> None:
    assert markup.plain(text, 200) == shown
    assert markup.line(text, 200, markup.cut_middle) == (
        shown.replace("\n", " ").strip() if "```" not in text else "`a:100:b` ʹʹʹ `*c*` `:d:ʹʹʹ`"
    )


@given(styled)
def test_no_text_is_restyled_by_accident(text: str) -> None:
    outside_code = re.sub(r"```[^`]+```|`[^`\n]+`", "\n", markup.plain(text, 1_000))
    assert not RESTYLED.search(outside_code)
    assert not RESTYLED.search(markup.bold(text.replace("*", ""), 1_000).removeprefix("*").removesuffix("*"))
    assert "\u2060" not in outside_code


def test_a_long_error_keeps_its_start_and_its_end() -> None:
    text = "Traceback " + "x" * 100 + " ValueError: no quota"
    found = markup.cut_middle(text, 40)
    assert found.startswith("Traceback")
    assert found.endswith("no quota")
    assert len(found) <= 40
    assert markup.cut_middle("short", 40) == "short"


def test_control_and_direction_characters_are_removed_and_surrogates_replaced() -> None:
    assert markup.clean("a\r\nb\x00\u202ec\ud800\td\r") == "a\nbc\ufffd\td"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m╷\x1b[0m\x1b[1;38;5;196mError:\x1b[m no quota", "╷Error: no quota"),
        ("\x1b[2K\x1b[1A\x1b[?25l50 %\x1b[K", "50 %"),
        ("\x9b31mred\x9b0m \x9bKgone", "red gone"),
        ("see \x1b]8;;https://x.example/a?b\x07the run\x1b]8;;\x07.", "see the run."),
        ("see \x1b]8;id=1;https://x.example\x1b\\the run\x1b]8;;\x1b\\.", "see the run."),
        ("see \x9d8;;https://x.example\x9cthe run\x9d8;;\x9c.", "see the run."),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1bP1$r0m\ndata\x1b\\text \x1b_app\x1b\\more", "text more"),
        ("\x90payload\x9ctext", "text"),
        ("\x1b(B\x1b)0\x1b%Gtext\x1b7\x1b8\x1b=\x1b>", "text"),
        ("cut \x1b", "cut "),
        ("cut \x1b[", "cut "),
        ("cut \x1b[38;5;1", "cut "),
        ("cut \x1b]8;;https://x.exa", "cut "),
        ("cut \x1b]8;;https://x\nnext row", "cut \nnext row"),
        ("cut \x1bPdata", "cut "),
        ("cut \x1b(", "cut "),
        ("array[0m] and [31m stay", "array[0m] and [31m stay"),
        ("wrongly decoded â\x80\x9dquotesâ\x80\x9c and ð\x9f\x98\x80", "wrongly decoded âquotesâ and ð"),
        ("â\x80\x9bGreat and a \x90 alone", "âGreat and a  alone"),
        ("10 %\r50 %\r100 %\r\ndone\r\n", "100 %\ndone\n"),
        ("10 %\r100 %\r", "100 %"),
        ("Error: no quota\r          \r\nnext", "Error: no quota\nnext"),
        ("|\x1b[1G/\x1b[G\x1b[2Kdone", "done"),
        ("odd line end\r\r\nnext", "odd line end\nnext"),
        ("|\b/\b-\bdone", "done"),
        ("\bN\bNA\bAM\bME\bE", "NAME"),
        ("50 %\b\b\b\b60 %\r\n", "60 %\n"),
    ],
)
def test_a_text_of_a_terminal_is_what_the_terminal_shows_last(text: str, shown: str) -> None:
    assert markup.clean(text) == shown
    assert markup.escape(text, 500) == shown
    assert markup.code_block(text, 500) == f"```{shown.strip()}```"


def test_sequences_are_removed_before_a_text_is_cut() -> None:
    text = "\x1b[31m" * 400 + "Error: no quota" + "\x1b[0m" * 4000
    assert markup.line(text, 20) == "Error: no quota"
    assert markup.code_block(text, 26) == "```Error: no quota```"


@pytest.mark.parametrize(
    "text", ["👩‍💻 on call", "👨‍👩‍👧‍👦", "می‌خواهم", "क्‍ष", "ന്‍ വരും", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️", "👍🏽", "Tiếng Việt", "e\u0301\u0323"]
)
def test_joiners_marks_and_emoji_of_several_characters_stay(text: str) -> None:
    assert markup.clean(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ad\u200dmin\u200c", "admin"),
        ("\u200d\u200c", ""),
        ("é\u200d\u200d\u200dé", "é\u200dé"),
        ("\u3164\u2800", "  "),
        ("pass\xadword\u180e", "password"),
        ("hidden\U000e0041\U000e0042", "hidden"),
        ("d" + "\u0301\u0302\u0303\u0489" * 200 + "isk", "d\u0301\u0302\u0303\u0489isk"),
        ("é" + "\u0301\u200d" * 50 + "x", "é" + "\u0301\u200d" * 4 + "x"),
        ("────────", "────────"),
    ],
)
def test_what_is_not_seen_is_removed_and_of_many_marks_a_few_stay(text: str, shown: str) -> None:
    assert markup.clean(text) == shown


@given(anything)
def test_a_clean_text_stays_as_it_is(text: str) -> None:
    assert markup.clean(markup.clean(text)) == markup.clean(text)


@pytest.mark.parametrize(
    ("text", "limit", "found"),
    [
        ("ab👩‍💻cd", 5, "ab…"),
        ("ab👍🏽cd", 4, "ab…"),
        ("abe\u0301\u0323cd", 5, "ab…"),
        ("ab🇩🇪🇫🇷", 5, "ab🇩🇪…"),
        ("ab🇩🇪🇫🇷", 4, "ab…"),
        ("ab❤️cd", 4, "ab…"),
        ("👨‍👩‍👧‍👦", 3, "…"),
        ("a" + "\u0301" * 100, 90, "a" + "\u0301" * 88 + "…"),
    ],
)
def test_a_cut_splits_no_letter_and_no_emoji(text: str, limit: int, found: str) -> None:
    assert markup.cut(text, limit) == found


def test_a_cut_in_the_middle_splits_no_letter_and_no_emoji() -> None:
    found = markup.cut_middle("👩‍💻" * 40, 41)
    assert re.fullmatch("(👩‍💻)+ … (👩‍💻)+", found)


@pytest.mark.parametrize("char", ["ä", "日", "😀", "ह"])
def test_a_long_text_fits_in_bytes_too_and_a_short_one_in_characters(char: str) -> None:
    assert 900 < len(markup.escape(char * 2000, 1000).encode()) <= 1000
    assert 58 <= markup.characters(markup.line(char * 100, 60)) <= 60


def test_code_of_an_empty_text_is_an_empty_text() -> None:
    assert markup.code(" \n", 10) == ""
    assert markup.code_block(" \n", 10) == ""


def test_lengths_are_counted_as_the_strictest_counter_does() -> None:
    assert (markup.units("abc"), markup.units("äbc"), markup.units("\U0001f600bc")) == (3, 4, 6)
    assert markup.units("\ud800é") == 5
    assert (markup.characters("abc"), markup.characters("äbc"), markup.characters("\U0001f600bc")) == (3, 3, 4)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://x.example/?a=1&b=2", "<https://x.example/?a=1&amp;b=2|a¦b>"),
        ("http://x", "<http://x|a¦b>"),
        ("https://x/`y", "<https://x/%60y|a¦b>"),
        ("javascript:alert(1)", "a|b"),
        ("javascript:alert('https://x')", "a|b"),
        ("HTTPS://Prom.Example.com/graph", "<https://Prom.Example.com/graph|a¦b>"),
        (" https://x/a b\n\t", "<https://x/a%20b|a¦b>"),
        ('https://x/?q={"a":"<b>"} |= c', "<https://x/?q=%7B%22a%22:%22%3Cb%3E%22%7D%20%7C=%20c|a¦b>"),
        ("https://x/#/?q=error|fatal", "<https://x/#/?q=error%7Cfatal|a¦b>"),
        ("https://x/a%20b%7C", "<https://x/a%20b%7C|a¦b>"),
        (
            "https://wiki.example/résumé/日本?x=\u200b1\u202e",
            "<https://wiki.example/résumé/日本?x=%E2%80%8B1%E2%80%AE|a¦b>",
        ),
        ("https://x/\ud800", "<https://x/%3F|a¦b>"),
        ("https://" + "x" * 2992, f"<https://{'x' * 2992}|a¦b>"),
        ("https://" + "x" * 2993, "a|b"),
        ("https://x>y", "a|b"),
        ("https://x|y", "a|b"),
        ("https://x y", "a|b"),
        ("https:///path", "a|b"),
        ("mailto:ada@example.com", "a|b"),
        ("data:text/html,https://x", "a|b"),
        ("", "a|b"),
    ],
)
def test_only_an_address_that_slack_can_link_is_linked(url: str, found: str) -> None:
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
def test_a_duration_is_written_in_words(seconds: float, words: str) -> None:
    assert markup.duration(seconds) == words


def test_only_the_ends_of_a_very_long_text_are_read() -> None:
    text = "start " + "x" * 5_000_000 + " end"
    assert markup.line(text, 20).startswith("start x")
    assert markup.code_block(text, 60).endswith(" end```")

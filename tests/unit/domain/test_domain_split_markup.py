"""Markup is split between lines where possible, and never inside a tag or an entity."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.mrkdwn import close_code_blocks, cut_markup, split_markup, units

atoms = st.sampled_from(["<https://a|b c>", "<!date^1^{time}|x>", "&amp;", "&lt;", " ", "\n", "🔥", "a", "word"])
markup = st.lists(atoms, max_size=200).map("".join)
_WHOLE = re.compile(r"(?:<[^<>]*>|&(?:amp|lt|gt);|[^<>&])*")


@given(markup, st.integers(20, 60))
def test_no_piece_is_too_long_or_cuts_a_tag_or_an_entity(text: str, limit: int) -> None:
    found = split_markup(text, limit)
    assert all(units(piece) <= limit and _WHOLE.fullmatch(piece) and piece.strip() for piece in found)
    assert "".join("".join(found).split()) == "".join(text.split())


@given(markup, st.integers(24, 60))
def test_cut_markup_keeps_its_start(text: str, limit: int) -> None:
    short = cut_markup(text, limit)
    assert units(short) <= limit
    assert _WHOLE.fullmatch(short)
    assert text.startswith(short.removesuffix("…"))
    assert short == text or short.endswith("…")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("one\ntwo\nthree", ["one\ntwo", "three"]),
        ("\n\na\n\n", ["a"]),
        ("a" * 12, ["a" * 10, "aa"]),
        ("", []),
    ],
)
def test_lines_stay_together_as_long_as_they_fit(text: str, found: list[str]) -> None:
    assert split_markup(text, 10) == found


def test_of_a_link_that_fits_nowhere_the_label_stays_and_another_tag_is_left_out() -> None:
    assert split_markup("a <https://too.long|x> b", 10) == ["a x b"]
    assert split_markup("a <!date^1^{time}|x> b", 10) == ["a … b"]


def test_a_letter_with_its_marks_and_an_emoji_of_several_characters_stay_whole() -> None:
    assert split_markup("👩‍💻👩‍💻", 12) == ["👩‍💻", "👩‍💻"]
    assert split_markup("👩\u200d<https://a|b>", 16) == ["👩\u200d", "<https://a|b>"]
    assert split_markup("e\u0301" * 5, 7) == ["e\u0301" * 2, "e\u0301" * 2, "e\u0301"]


def test_code_that_is_split_is_code_in_both_pieces() -> None:
    assert close_code_blocks(["a ```b", "c", "d``` e", "f"]) == ["a ```b```", "```c```", "```d``` e", "f"]

"""Markup is cut between lines where that can be, and never inside a tag or an entity."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.markup import units
from worker.domain.pieces import fenced, pieces, shortened

atoms = st.sampled_from(
    ["<https://a|b c>", "<!date^1^{time}|x>", "&amp;", "&lt;", " ", "\n", "🔥", "a", "word"]
)
markup = st.lists(atoms, max_size=200).map("".join)
_WHOLE = re.compile(r"(?:<[^<>]*>|&(?:amp|lt|gt);|[^<>&])*")


@given(markup, st.integers(20, 60))
def test_no_piece_is_too_long_or_cuts_a_tag_or_an_entity(text: str, limit: int) -> None:
    found = pieces(text, limit)
    assert all(units(piece) <= limit and _WHOLE.fullmatch(piece) and piece.strip() for piece in found)
    assert "".join("".join(found).split()) == "".join(text.split())


@given(markup, st.integers(20, 60))
def test_what_is_shortened_keeps_its_start_whole(text: str, limit: int) -> None:
    short = shortened(text, limit)
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
    assert pieces(text, 10) == found


def test_a_tag_that_fits_nowhere_is_left_out() -> None:
    assert pieces("a <https://too.long|x> b", 10) == ["a … b"]


def test_code_that_goes_on_in_the_next_piece_is_code_there_too() -> None:
    assert fenced(["a ```b", "c", "d``` e", "f"]) == ["a ```b```", "```c```", "```d``` e", "f"]

"""Drawing a message: markup as a terminal shows it, and nothing in it that steers the terminal."""

import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from worker.cli.drawing import Drawing

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
WIDTH = 60
COLOURED = re.compile(r"\x1b\[[\d;]*m|\x1b\]8;[^;\x1b]*;[^\x1b]*\x1b\\")
"""The only two things a drawing may tell the terminal: colours, and where a link begins and ends."""

HOSTILE = [
    "\x1b[2J", "\x1b]0;x\x07", "\x9b2J", "\x9d0;x\x9c", "\ud800", "\u202e", "\t", "\r", "\x08", "🔥",
    "👩\u200d🚀", "ﷺ", "*b*", "_i_", "~s~", "`c`", "```", "\n> ", "<!here>", "<@U1>", "<!date^1^{time}|then>",
    "<https://x/\x1b\\|", "<https://x/\x9c\x07|", ">", "\n", " ", "w" * 80,
]  # fmt: skip
pieces = st.text(st.characters(), max_size=12) | st.sampled_from(HOSTILE)
texts = st.lists(pieces, max_size=12).map("".join)


def drawn(shown: RenderableType, width: int = WIDTH) -> str:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=True, color_system="truecolor", highlight=False).print(
        shown
    )
    return file.getvalue()


def words(shown: RenderableType) -> str:
    lines = COLOURED.sub("", drawn(shown)).splitlines()
    return "\n".join(line.rstrip() for line in lines)


def text(markup: str, *, linking: bool = True) -> RenderableType:
    return Drawing(NOW, linking=linking).text(markup)


def mrkdwn(markup: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": markup}


def message(*blocks: dict[str, Any], beside: tuple[dict[str, Any], ...] = ()) -> RenderableType:
    attachments = [{"color": "#e01e5a", "blocks": list(beside)}] if beside else []
    return Drawing(NOW).message({"text": "plain", "blocks": list(blocks), "attachments": attachments})


@pytest.mark.parametrize(
    ("markup", "styled"),
    [
        ("*bold*", "\x1b[1mbold\x1b[0m\n"),
        ("_italic_", "\x1b[3mitalic\x1b[0m\n"),
        ("~gone~", "\x1b[9mgone\x1b[0m\n"),
        ("*_both_*", "\x1b[1;3mboth\x1b[0m\n"),
        ("`code`", "\x1b[31mcode\x1b[0m\n"),
        ("<!here>", "\x1b[1;33m@here\x1b[0m\n"),
        ("<@U1|ada>", "\x1b[1;34m@ada\x1b[0m\n"),
        ("a &lt;b&gt; &amp; :rocket:", "a <b> & 🚀\n"),
    ],
)
def test_markup_is_styled(markup: str, styled: str) -> None:
    assert drawn(text(markup)) == styled


def test_a_link_can_be_followed() -> None:
    shown = drawn(text("<https://example.com/?a=1&amp;b=2|*see*>"))
    assert re.fullmatch(
        r"\x1b\]8;id=\d+;https://example\.com/\?a=1&b=2\x1b\\\x1b\[1;4;34msee\x1b\[0m\x1b\]8;;\x1b\\\n", shown
    )


def test_where_no_link_can_be_followed_its_address_is_written() -> None:
    shown = drawn(text("<https://example.com|see> it", linking=False))
    assert COLOURED.sub("", shown) == "see (https://example.com) it\n"
    assert "\x1b]8" not in shown


def test_code_blocks_and_quotes_stand_on_lines_of_their_own() -> None:
    assert words(text("before\n```one\n  two```\n> quoted\nafter")).splitlines() == [
        "before",
        "╭───────╮",
        "│ one   │",
        "│   two │",
        "╰───────╯",
        "│ quoted",
        "after",
    ]


def test_what_is_beside_the_bar_has_its_colour_on_every_line() -> None:
    long = {"type": "section", "text": mrkdwn("word " * 30)}
    shown = drawn(message(beside=(long, {"type": "divider"}, long)))
    assert all(line.startswith("\x1b[38;2;224;30;90m▌") for line in shown.splitlines())
    assert len(shown.splitlines()) > 6


def test_fields_stand_in_two_columns() -> None:
    fields = [mrkdwn(name) for name in ("one", "two", "three")]
    assert words(message({"type": "section", "fields": fields})) == "one    two\nthree"


def test_small_print_is_dim_and_each_text_of_it_is_read_alone() -> None:
    shown = drawn(message({"type": "context", "elements": [mrkdwn("a*"), mrkdwn("*b")]}))
    assert shown == "".join(f"\x1b[2m{text}\x1b[0m" for text in ("a*", "   ", "*b")) + "\n"


def test_a_block_that_is_not_known_is_named() -> None:
    assert words(message({"type": "video"})) == "(video block, not drawn here)"


def test_a_message_without_blocks_is_its_text() -> None:
    assert words(message()) == "plain"


@settings(max_examples=300, deadline=None)
@given(texts)
def test_no_text_steers_the_terminal_or_leaves_its_place(markup: str) -> None:
    section = {"type": "section", "text": mrkdwn(markup), "fields": [mrkdwn(markup)]}
    shown = drawn(message(section, beside=(section, {"type": "context", "elements": [mrkdwn(markup)]})))
    for line in COLOURED.sub("", shown).split("\n"):
        assert line.isprintable()
        assert cell_len(line) <= WIDTH

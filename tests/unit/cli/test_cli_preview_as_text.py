"""A message as text in a terminal: every text of it, and no character that controls the terminal."""

from datetime import UTC, datetime
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from worker.cli.preview import format_preview

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOSTILE = [
    "\x1b[2J", "\x1b]0;x\x07", "\x9b2J", "\x9d0;x\x9c", "\ud800", "\u202e", "\t", "\r", "\x08", "🔥",
    "*b*", "_i_", "`c`", "```", "\n> ", "<!here>", "<@U1>", "<!date^1^{time}|then>",
    "<https://x/\x1b\\|", "<https://x/\x9c\x07|", ">", "\n", " ",
]  # fmt: skip
pieces = st.text(st.characters(), max_size=12) | st.sampled_from(HOSTILE)
texts = st.lists(pieces, max_size=12).map("".join)


def mrkdwn(markup: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": markup}


def message_lines(*blocks: dict[str, Any], attached: tuple[dict[str, Any], ...] = ()) -> list[str]:
    """Return the lines of the message itself, without the plain text and the limits."""
    sent = {"text": "plain", "blocks": list(blocks), "attachments": [{"color": "#e01e5a", "blocks": list(attached)}]}
    message, _, _ = click.unstyle(format_preview(sent, "In Slack", NOW)).partition("\n\nPlain text\n")
    return [line.removeprefix("  ") for line in message.split("\n")[1:]]


@pytest.mark.parametrize(
    ("markup", "lines"),
    [
        ("*_both_* ~gone~ `code` <!here> <@U1|ada>", ["both gone code @here @ada"]),
        ("a &lt;b&gt; &amp; :rocket:", ["a <b> & 🚀"]),
        ("<https://example.com/?a=1&amp;b=2|*see*> it", ["see (https://example.com/?a=1&b=2) it"]),
        ("before\n```one\n  two```\n> quoted\nafter", ["before", "one", "  two", "", "> quoted", "after"]),
    ],
)
def test_markup_is_shown_as_text(markup: str, lines: list[str]) -> None:
    assert message_lines({"type": "section", "text": mrkdwn(markup)}) == lines


def test_every_text_of_blocks_and_attachments_is_shown() -> None:
    section = {"type": "section", "text": mrkdwn("text"), "fields": [mrkdwn("one"), mrkdwn("two")]}
    context = {"type": "context", "elements": [mrkdwn("a*"), mrkdwn("*b")]}
    assert message_lines(section, {"type": "divider"}, attached=(context, {"type": "video"})) == [
        "text", "one", "two", "", "───", "", "a*   *b", "", "(video block, not drawn here)",
    ]  # fmt: skip


def test_a_message_without_blocks_is_its_text() -> None:
    assert message_lines() == ["plain"]


@settings(max_examples=examples(300), deadline=None)
@given(texts)
def test_no_text_controls_the_terminal(markup: str) -> None:
    section = {"type": "section", "text": mrkdwn(markup), "fields": [mrkdwn(markup)]}
    lines = message_lines(section, attached=(section, {"type": "context", "elements": [mrkdwn(markup)]}))
    assert all(line.isprintable() for line in lines)

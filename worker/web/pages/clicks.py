"""Hints for the command line as what a person at the console does: it has the same on its pages."""

import re

_CLICKS = (
    (r"Replay it with `ik-slack dead-letters replay [^`]*`, or", "Replay it, or"),
    (r" \(`ik-slack deliveries list`\)", ""),
    (
        r"If it cannot, it parks again: `ik-slack parked list`",
        "If it cannot, it parks again and is back here",
    ),
    (r"[Ss]ee `ik-slack (\w+)-?(\w*) list`", r"see the list of \1 \2"),
    (r" +\.", "."),
)


def on_pages(text: str) -> str:
    """A hint, for a page."""
    for written, instead in _CLICKS:
        text = re.sub(written, instead, text)
    return text

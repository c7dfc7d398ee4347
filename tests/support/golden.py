"""Messages as texts in `tests/golden/`, which people review: with UPDATE_GOLDEN set they are written anew."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.domain.message import Colour
from worker.slack.blocks import JsonObject

GOLDEN = Path(__file__).parents[1] / "golden"


def check_golden(path: Path, cases: Mapping[str, str]) -> None:
    """Compare cases with those of a golden file, by their headings."""
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(f"## {name}\n{text}" for name, text in cases.items()), "utf-8")
    assert _read_cases(path.read_text("utf-8")) == {name: text.rstrip("\n") + "\n" for name, text in cases.items()}


def _read_cases(text: str) -> dict[str, str]:
    parts = ("\n" + text).split("\n## ")[1:]
    return {name: body.strip("\n") + "\n" for name, _, body in (part.partition("\n") for part in parts)}


def message_as_text(sent: JsonObject) -> str:
    """Return the arguments of a post as text: the notification, the part above the bar, and the part beside it."""
    lines = [f"text | {sent['text']}", *_block_lines(sent)]
    for attachment in _list(sent, "attachments"):
        lines += [f"bar | {Colour(attachment['color']).name}", *_block_lines(attachment)]
    return "\n".join(lines) + "\n"


def _block_lines(holder: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for block in _list(holder, "blocks"):
        if block["type"] == "section":
            lines += [f"section | {line}" for line in block["text"]["text"].split("\n")]
        else:
            lines += [f"{block['type']} | {element['text']}" for element in block["elements"]]
    return lines


def _list(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = holder.get(name) or []
    return value

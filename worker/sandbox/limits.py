"""Block Kit's limits, checked as Slack checks them: what is over one is refused with a JSON pointer.

https://docs.slack.dev/reference/block-kit/blocks. The total is not documented; it was measured
(https://github.com/metabase/metabase/issues/79908).
"""

from collections.abc import Iterator
from typing import Any

from worker.sandbox.calls import Refused
from worker.sandbox.shapes import Check, anything, items, one_of, problem, shape, string, typed

BLOCKS_LIMIT = 50
TEXTS_LIMIT = 13_000
ATTACHMENTS_LIMIT = 100


def check_blocks(blocks: list[Any], attachments: list[Any]) -> None:
    """Refuse blocks Slack would not take; `attachments` count for the total of all texts."""
    _refuse("invalid_blocks", list(_each(blocks, "/blocks")))
    nested = [block for attachment in attachments for block in attachment.get("blocks", [])]
    if sum(map(_length, [*blocks, *nested])) > TEXTS_LIMIT:
        raise Refused("msg_blocks_too_long")


def check_attachments(attachments: list[Any]) -> None:
    """Refuse attachments Slack would not take."""
    if len(attachments) > ATTACHMENTS_LIMIT:
        raise Refused("too_many_attachments")
    problems: list[str] = []
    for number, attachment in enumerate(attachments):
        pointer = f"/attachments/{number}"
        if not isinstance(attachment, dict):
            problems.append(problem("must be an object", pointer))
        elif not isinstance(attachment.get("blocks", []), list):
            problems.append(problem("must be an array", f"{pointer}/blocks"))
        else:
            problems += _each(attachment.get("blocks", []), f"{pointer}/blocks")
    _refuse("invalid_attachments", problems)


def _refuse(code: str, problems: list[str]) -> None:
    if problems:
        messages = [f"[ERROR] {each}" for each in problems]
        raise Refused(code, errors=problems, response_metadata={"messages": messages})


def _each(blocks: list[Any], pointer: str) -> Iterator[str]:
    """What is wrong with a list of blocks."""
    if len(blocks) > BLOCKS_LIMIT:
        yield problem(f"no more than {BLOCKS_LIMIT} items allowed", pointer)
    seen: set[str] = set()
    for number, block in enumerate(blocks):
        yield from typed(BLOCKS)(block, f"{pointer}/{number}")
        block_id = block.get("block_id") if isinstance(block, dict) else None
        if isinstance(block_id, str):
            if block_id in seen:
                yield problem(f"`block_id` must be unique: {block_id}", f"{pointer}/{number}/block_id")
            seen.add(block_id)


def _length(value: Any) -> int:
    """The length of every text in a block."""
    if isinstance(value, list):
        return sum(map(_length, value))
    if not isinstance(value, dict):
        return 0
    own = len(value["text"]) if isinstance(value.get("text"), str) else 0
    return own + sum(_length(part) for part in value.values() if isinstance(part, (dict, list)))


def _section(value: Any, pointer: str) -> Iterator[str]:
    if not {"text", "fields"} & value.keys():
        yield problem("missing required field: text", pointer)
    yield from _SECTION(value, pointer)


def _plain(limit: int) -> Check:
    return typed({"plain_text": shape({"text": string(limit, 1)}, {"emoji": anything})})


def _text(limit: int) -> Check:
    plain = shape({"text": string(limit, 1)}, {"emoji": anything})
    return typed({"plain_text": plain, "mrkdwn": shape({"text": string(limit, 1)}, {"verbatim": anything})})


_BUTTON = shape(
    {"text": _plain(75)},
    {
        "url": string(3000),
        "value": string(2000),
        "action_id": string(255),
        "accessibility_label": string(75),
        "style": one_of("primary", "danger"),
        "confirm": anything,
    },
)
_IMAGE = {"image_url": string(3000, 1), "alt_text": string(2000, 1)}
_LOOSE = dict.fromkeys(("overflow", "static_select", "users_select", "workflow_button"), anything)
_ELEMENTS = typed({"button": _BUTTON, "image": shape(_IMAGE, {}), **_LOOSE})
_SMALL = typed(
    {
        "image": shape(_IMAGE, {}),
        "plain_text": shape({"text": string(3000, 1)}, {"emoji": anything}),
        "mrkdwn": shape({"text": string(3000, 1)}, {"verbatim": anything}),
    }
)
_SECTION = shape(
    {},
    {"text": _text(3000), "fields": items(10, _text(2000)), "accessory": _ELEMENTS, "expand": anything},
)
# What is not checked inside (rich_text, table, …) this project does not send.
BLOCKS: dict[str, Check] = {
    "section": _section,
    "header": shape({"text": _plain(150)}, {}),
    "context": shape({"elements": items(10, _SMALL)}, {}),
    "divider": shape({}, {}),
    "actions": shape({"elements": items(25, _ELEMENTS)}, {}),
    "image": shape(_IMAGE, {"title": _plain(2000)}),
    "markdown": shape({"text": string(12_000, 1)}, {}),
    "rich_text": anything,
    "table": anything,
    "video": anything,
    "input": anything,
    "context_actions": anything,
}

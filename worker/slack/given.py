"""Blocks a person's template wrote: what Slack would refuse of them, in words, before it is asked.

https://docs.slack.dev/reference/block-kit/blocks. Only kinds are taken in which nobody can be mentioned but
by markup that we have seen.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from worker.domain.errors import Undeliverable
from worker.domain.message import Given, Message
from worker.slack.blocks import arguments
from worker.slack.limits import near

Check = Callable[[object], Iterator[str]]


def why_not(message: Message) -> str:
    """Why Slack would not take a message; empty when it would."""
    given = [block.plain for block in (*message.headline, *message.blocks) if isinstance(block, Given)]
    for number, block in enumerate(given, 1):
        for reason in _typed(BLOCKS)(block):
            return f"block {number}: {reason}"
    try:
        over = [use for use in near(arguments(message)) if use.used > use.limit]
    except Undeliverable as error:
        return error.detail or error.reason
    return "; ".join(
        f"{use.name}: {use.used:,} {use.unit}".rstrip() + f", Slack takes {use.limit:,}" for use in over[:1]
    )


def _typed(shapes: "Mapping[str, Shape]") -> Check:
    """An object whose `type` says what it has."""

    def check(value: object) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{str(value)[:40]!r} is no object"
        elif not isinstance(kind := value.get("type"), str) or kind not in shapes:
            yield f"its type is {kind!r}, not one of {', '.join(shapes)}"
        else:
            yield from (f"{kind}: {reason}" for reason in _shaped(value, *shapes[kind]))

    return check


def _shaped(
    value: Mapping[str, object], needed: Mapping[str, Check], more: Mapping[str, Check]
) -> Iterator[str]:
    known = {"type": _words, **needed, **more}
    if value["type"] == "section" and not {"text", "fields"} & value.keys():
        yield "text is missing"
    for name in needed:
        if name not in value:
            yield f"{name} is missing"
    for name, part in value.items():
        if name not in known:
            yield f"{name!r} is not known; known are {', '.join(known)}"
        else:
            yield from (f"{name}: {reason}" for reason in known[name](part))


def _yes_or_no(value: object) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{value!r} is neither true nor false"


def _words(value: object) -> Iterator[str]:
    if not isinstance(value, str) or not value.strip():
        yield "is no text, or an empty one"


def _address(value: object) -> Iterator[str]:
    if not isinstance(value, str) or not re.fullmatch(r"https?://\S+", value):
        yield f"{str(value)[:60]!r} is no web address"


def _several(each: Check) -> Check:
    def check(value: object) -> Iterator[str]:
        if not isinstance(value, list) or not value:
            yield "is no list, or an empty one"
            return
        for one in value:
            yield from each(one)

    return check


def _one_of(*words: str) -> Check:
    def check(value: object) -> Iterator[str]:
        if value not in words:
            yield f"{value!r} is none of {', '.join(words)}"

    return check


Shape = tuple[Mapping[str, Check], Mapping[str, Check]]
"""What a kind must have, and what it may have besides."""

_PLAIN: dict[str, Shape] = {"plain_text": ({"text": _words}, {"emoji": _yes_or_no})}
_MARKUP: dict[str, Shape] = {"mrkdwn": ({"text": _words}, {"verbatim": _yes_or_no})}
_IMAGE: Shape = ({"image_url": _address, "alt_text": _words}, {})
_BUTTON: Shape = (
    {"text": _typed(_PLAIN), "url": _address},
    {
        "action_id": _words,
        "value": _words,
        "style": _one_of("primary", "danger"),
        "accessibility_label": _words,
    },
)
_TEXT = _typed({**_PLAIN, **_MARKUP})
_ELEMENT = _typed({"button": _BUTTON, "image": _IMAGE})

BLOCKS: dict[str, Shape] = {
    "section": ({}, {"text": _TEXT, "fields": _several(_TEXT), "accessory": _ELEMENT, "expand": _yes_or_no}),
    "header": ({"text": _typed(_PLAIN)}, {}),
    "context": ({"elements": _several(_typed({**_PLAIN, **_MARKUP, "image": _IMAGE}))}, {}),
    "divider": ({}, {}),
    "image": (_IMAGE[0], {"title": _typed(_PLAIN)}),
    "actions": ({"elements": _several(_typed({"button": _BUTTON}))}, {}),
}

"""Blocks: a Message as the arguments of `chat.postMessage`, the limits it comes near, and why Slack would reject it.

Blocks are built as plain objects, as slack_sdk's models inspect every attribute they have, which takes three times as
long as the whole post (0.4 ms of processor time against 0.13). The tests hold these objects equal to the models.
https://docs.slack.dev/reference/block-kit/blocks
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from worker.domain.message import TEXTS_MAX, Block, Given, Message, Section
from worker.domain.mrkdwn import characters, units

BLOCKS_MAX = 50
SECTION_TEXT_MAX = 3000
TEXT_MAX = 4_000  # a longer text may be split into several messages, and is rejected when a message is edited
NEAR_SHARE = 0.8

JsonObject = dict[str, object]


def arguments(message: Message, *, plain: bool = False) -> JsonObject:
    """Return the arguments without the channel. Link previews are off: the links of an event are for clicking."""
    sent: JsonObject = {"text": message.text, "unfurl_links": False, "unfurl_media": False}
    if plain:
        return sent
    if message.headline:
        sent["blocks"] = list(map(_block, message.headline))
    if message.blocks:
        # Only an attachment has a coloured bar; `fallback` is what clients without blocks show of it.
        beside = {"color": message.colour.value, "fallback": message.text, "blocks": list(map(_block, message.blocks))}
        sent["attachments"] = [beside]
    return sent


def _block(block: Block) -> JsonObject:
    if isinstance(block, Given):
        return dict(block.plain)
    # `verbatim` stops Slack from finding names of channels and users in the text of an event:
    # https://docs.slack.dev/reference/block-kit/composition-objects/text-object
    text = {"type": "mrkdwn", "text": block.text, "verbatim": True}
    if isinstance(block, Section):
        return {"type": "section", "text": text}
    return {"type": "context", "elements": [text]}


Check = Callable[[object], str]  #: Returns what is wrong with a value, or an empty text.


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a block, with its limits."""

    check: Check
    is_required: bool = False
    characters: int = 0  #: Characters of the field, or of each of its elements.
    elements: int = 0  #: Number of its elements.


Kind = Mapping[str, Field]  #: The fields of a kind, by name.


@dataclass(frozen=True, slots=True)
class LimitUse:
    """How much of a limit a message uses: characters, or with an empty `unit` the number of what `name` says."""

    name: str
    used: int
    limit: int
    unit: str = ""


def rejection_reason(message: Message) -> str:
    """Return why Slack would reject a message; empty if it would accept it."""
    given = [block.plain for block in (*message.headline, *message.blocks) if isinstance(block, Given)]
    for number, block in enumerate(given, 1):
        if reason := _object_of(BLOCKS)(block):
            return f"block {number}: {reason}"
    for use in find_near_limits(arguments(message)):
        if use.used > use.limit:
            return f"{use.name}: {use.used:,} {use.unit}".rstrip() + f", Slack accepts {use.limit:,}"
    return ""


def find_near_limits(sent: Mapping[str, object]) -> list[LimitUse]:
    """Return the limits of which the arguments of `chat.postMessage` use more than 80 %, in reading order."""
    return [use for use in _uses(sent) if use.used > NEAR_SHARE * use.limit]


def _uses(sent: Mapping[str, object]) -> Iterator[LimitUse]:
    yield LimitUse("text", characters(str(sent.get("text") or "")), TEXT_MAX, "characters")
    lists = {"blocks": _objects(sent.get("blocks"))}
    for number, attachment in enumerate(_objects(sent.get("attachments")), 1):
        lists[f"blocks of attachment {number}"] = _objects(attachment.get("blocks"))
    numbers: Counter[str] = Counter()
    for name, blocks in lists.items():
        yield LimitUse(name, len(blocks), BLOCKS_MAX)
        for block in blocks:
            yield from _uses_of_part(block, numbers)
    yield LimitUse("all blocks' texts together", _texts_bytes(list(lists.values())), TEXTS_MAX, "bytes")


def _uses_of_part(part: JsonObject, numbers: Counter[str]) -> Iterator[LimitUse]:
    """Yield the limits of a block or element, which is named by its kind and its number within the kind."""
    kind = str(part.get("type"))
    numbers[kind] += 1
    owner = f"of {kind} {numbers[kind]}"
    for name, field in KINDS.get(kind, {}).items():
        value, label = part.get(name), name.replace("_", " ")
        texts = {f"{label} {owner}": value}
        if isinstance(value, list):
            texts = {f"{label.removesuffix('s')} {number} {owner}": item for number, item in enumerate(value, 1)}
        if field.elements:
            yield LimitUse(f"{label} {owner}", len(texts), field.elements)
        if field.characters:
            for text_name, text in texts.items():
                yield LimitUse(text_name, _length(text), field.characters, "characters")
    for element in (*_objects([part.get("accessory")]), *_objects(part.get("elements"))):
        if element.get("type") in ELEMENTS:
            yield from _uses_of_part(element, numbers)


def _length(value: object) -> int:
    text = value.get("text") if isinstance(value, dict) else value
    return characters(text) if isinstance(text, str) else 0


def _texts_bytes(value: object) -> int:
    if isinstance(value, list):
        return sum(map(_texts_bytes, value))
    if not isinstance(value, dict):
        return 0
    texts = {name: part for name, part in value.items() if name == "text" and isinstance(part, str)}
    return sum(map(units, texts.values())) + sum(
        _texts_bytes(part) for name, part in value.items() if name not in texts
    )


def _objects(value: object) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object_of(kinds: Mapping[str, Kind]) -> Check:
    """Return the check of an object whose `type` is one of `kinds`."""

    def check(value: object) -> str:
        if not isinstance(value, dict):
            return f"{str(value)[:40]!r} is not an object"
        kind = value.get("type")
        if not isinstance(kind, str) or kind not in kinds:
            return f"its type is {kind!r}, not one of {', '.join(kinds)}"
        reason = _check_fields(value, kinds[kind])
        return reason and f"{kind}: {reason}"

    return check


def _check_fields(value: Mapping[str, object], kind: Kind) -> str:
    if value["type"] == "section" and not {"text", "fields"} & value.keys():
        return "text is missing"
    for name, field in kind.items():
        if field.is_required and name not in value:
            return f"{name} is missing"
    for name, part in value.items():
        if name not in kind and name != "type":
            return f"{name!r} is not a known field; known are {', '.join(('type', *kind))}"
        if name in kind and (reason := kind[name].check(part)):
            return f"{name}: {reason}"
    return ""


def _list_of(check_item: Check) -> Check:
    def check(value: object) -> str:
        if not isinstance(value, list) or not value:
            return "is not a list, or is empty"
        return next(filter(None, map(check_item, value)), "")

    return check


def _require(is_valid: Callable[[object], object], problem: str) -> Check:
    return lambda value: "" if is_valid(value) else problem.format(str(value)[:60])


_check_text = _require(lambda value: isinstance(value, str) and value.strip(), "is not a text, or is empty")
_check_url = _require(
    lambda value: isinstance(value, str) and re.fullmatch(r"https?://\S+", value), "{!r} is not a web address"
)
_check_style = _require(lambda value: value in ("primary", "danger"), "{!r} is neither primary nor danger")
_BOOLEAN = Field(_require(lambda value: isinstance(value, bool), "{!r} is neither true nor false"))
_PLAIN: dict[str, Kind] = {"plain_text": {"text": Field(_check_text, is_required=True), "emoji": _BOOLEAN}}
_TEXTS: dict[str, Kind] = {**_PLAIN, "mrkdwn": {"text": Field(_check_text, is_required=True), "verbatim": _BOOLEAN}}
_check_mrkdwn, _check_plain = _object_of(_TEXTS), _object_of(_PLAIN)
_IMAGE: Kind = {
    "image_url": Field(_check_url, is_required=True, characters=3000),
    "alt_text": Field(_check_text, is_required=True, characters=2000),
}
_BUTTON: Kind = {
    "text": Field(_check_plain, is_required=True, characters=75),
    "url": Field(_check_url, is_required=True, characters=3000),
    "value": Field(_check_text, characters=2000),
    "action_id": Field(_check_text, characters=255),
    "style": Field(_check_style),
    "accessibility_label": Field(_check_text, characters=75),
}
ELEMENTS: dict[str, Kind] = {"button": _BUTTON, "image": _IMAGE}
_check_context = _list_of(_object_of({**_TEXTS, "image": _IMAGE}))
#: Only kinds of blocks in which nothing but visible markup can mention anyone.
BLOCKS: dict[str, Kind] = {
    "section": {
        "text": Field(_check_mrkdwn, characters=SECTION_TEXT_MAX),
        "fields": Field(_list_of(_check_mrkdwn), characters=2000, elements=10),
        "accessory": Field(_object_of(ELEMENTS)),
        "expand": _BOOLEAN,
    },
    "header": {"text": Field(_check_plain, is_required=True, characters=150)},
    "context": {"elements": Field(_check_context, is_required=True, characters=SECTION_TEXT_MAX, elements=10)},
    "divider": {},
    "image": {**_IMAGE, "title": Field(_check_plain, characters=2000)},
    "actions": {"elements": Field(_list_of(_object_of({"button": _BUTTON})), is_required=True, elements=25)},
}
KINDS: dict[str, Kind] = {**ELEMENTS, **BLOCKS}

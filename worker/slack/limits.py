"""How near a message comes to Slack's limits, measured on what is sent.

Slack does not say how it counts, so lengths are as the strictest counter would count them.
https://docs.slack.dev/reference/block-kit/blocks
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from worker.domain.markup import units
from worker.slack.blocks import (
    BLOCKS_MAX,
    CONTEXT_TEXTS_MAX,
    FIELD_TEXT_MAX,
    FIELDS_MAX,
    SECTION_TEXT_MAX,
    JsonObject,
)

NEAR = 0.8
TEXT_MAX = 4_000  # more may be split into several messages, and is refused when a message is edited
ATTACHMENTS_MAX = 100
# Not documented: the shortest known to be refused had 11,341 (https://github.com/slackapi/bolt-js/issues/2867).
TOGETHER_MAX = 11_000


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a limit is used: so many characters, or with no `unit` so many of what `name` says."""

    name: str
    used: int
    limit: int
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A field's limits: of the characters in it or in each of its elements, and of how many these may be."""

    field: str
    characters: int = 0
    elements: int = 0


ROWS: Mapping[str, tuple[Row, ...]] = {
    "section": (Row("text", SECTION_TEXT_MAX), Row("fields", FIELD_TEXT_MAX, FIELDS_MAX)),
    "context": (Row("elements", SECTION_TEXT_MAX, CONTEXT_TEXTS_MAX),),
    "header": (Row("text", 150),),
    "actions": (Row("elements", elements=25),),
    "button": (
        Row("text", 75), Row("url", 3000), Row("value", 2000), Row("action_id", 255),
        Row("accessibility_label", 75),
    ),
    "image": (Row("image_url", 3000), Row("alt_text", 2000), Row("title", 2000)),
    "markdown": (Row("text", 12_000),),
    "table": (Row("rows", elements=100),),
}  # fmt: skip
OF_ALL = (Row("block_id", 255),)


def near(sent: Mapping[str, object]) -> list[Use]:
    """The limits that the arguments of `chat.postMessage` use more than 80 % of, in the order of reading."""
    return [one for one in _uses(sent) if one.used > NEAR * one.limit]


def _uses(sent: Mapping[str, object]) -> Iterator[Use]:
    attachments = objects(sent.get("attachments"))
    yield Use("text", units(str(sent.get("text") or "")), TEXT_MAX, "characters")
    lists = {"blocks": objects(sent.get("blocks"))}
    for number, attachment in enumerate(attachments, 1):
        lists[f"blocks of attachment {number}"] = objects(attachment.get("blocks"))
    numbers: Counter[str] = Counter()
    for name, blocks in lists.items():
        yield Use(name, len(blocks), BLOCKS_MAX)
        for block in blocks:
            yield from _of_part(block, numbers)
    yield Use("attachments", len(attachments), ATTACHMENTS_MAX)
    yield Use("all blocks' texts together", _texts(list(lists.values())), TOGETHER_MAX, "characters")


def _of_part(part: JsonObject, numbers: Counter[str]) -> Iterator[Use]:
    """A block or an element of one, by its kind and which one of that kind it is."""
    kind = str(part.get("type"))
    numbers[kind] += 1
    whose = f"of {kind} {numbers[kind]}"
    for row in (*ROWS.get(kind, ()), *OF_ALL):
        found = part.get(row.field)
        name = row.field.replace("_", " ")
        if row.elements and isinstance(found, list):
            yield Use(f"{name} {whose}", len(found), row.elements)
        if not row.characters:
            continue
        if not isinstance(found, list):
            yield Use(f"{name} {whose}", _length(found), row.characters, "characters")
            continue
        for place, element in enumerate(found, 1):
            of_one = f"{name.removesuffix('s')} {place} {whose}"
            yield Use(of_one, _length(element), row.characters, "characters")
    for element in (*objects([part.get("accessory")]), *objects(part.get("elements"))):
        if element.get("type") in ROWS:
            yield from _of_part(element, numbers)


def _length(value: object) -> int:
    """Of a text, or of a text object."""
    text = value.get("text") if isinstance(value, dict) else value
    return units(text) if isinstance(text, str) else 0


def _texts(value: object) -> int:
    """The length of every text in blocks."""
    if isinstance(value, list):
        return sum(map(_texts, value))
    if not isinstance(value, dict):
        return 0
    return sum(_length(part) if name == "text" else _texts(part) for name, part in value.items())


def objects(value: object) -> list[JsonObject]:
    """The objects in a list, if it is one."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []

"""Block Kit's limits, checked as Slack checks them: every problem is reported with a JSON pointer.

The limits are in `block_kit.yaml`. The limit of all texts together is not documented; it was measured
(https://github.com/metabase/metabase/issues/79908), in texts of other alphabets at fewer characters: bytes are counted.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import yaml

from worker.sandbox.slack.call import ApiError
from worker.sandbox.slack.workspace import Json

TEXTS_LIMIT = 13_000  # bytes
ATTACHMENTS_LIMIT = 100
BLOCKS: Json = yaml.safe_load(files(__package__).joinpath("block_kit.yaml").read_text("utf-8"))["blocks"]
#: The type of a value whose schema has this key, and the problem of a value of another type.
JSON_TYPES: dict[str, tuple[type, str]] = {
    "max_length": (str, "must be a string"),
    "max_items": (list, "must be an array"),
    "types": (dict, "must be an object"),
}


def check_blocks(blocks: list[Any], attachments: list[Any]) -> None:
    """Raise ApiError for blocks that Slack rejects; `attachments` count for the total of all texts."""
    _raise_for("invalid_blocks", list(_block_problems(blocks, "/blocks")))
    if _length([blocks, [attachment.get("blocks", []) for attachment in attachments]]) > TEXTS_LIMIT:
        raise ApiError("msg_blocks_too_long")


def check_attachments(attachments: list[Any]) -> None:
    """Raise ApiError for attachments that Slack rejects."""
    if len(attachments) > ATTACHMENTS_LIMIT:
        raise ApiError("too_many_attachments")
    problems: list[str] = []
    for number, attachment in enumerate(attachments):
        if isinstance(attachment, dict):
            problems += _block_problems(attachment.get("blocks", []), f"/attachments/{number}/blocks")
        else:
            problems.append(_problem("must be an object", f"/attachments/{number}"))
    _raise_for("invalid_attachments", problems)


def _raise_for(code: str, problems: list[str]) -> None:
    if problems:
        messages = [f"[ERROR] {text}" for text in problems]
        raise ApiError(code, errors=problems, response_metadata={"messages": messages})


def _problem(description: str, pointer: str) -> str:
    return f"{description} [json-pointer:{pointer}]"


def _block_problems(blocks: Any, pointer: str) -> Iterator[str]:
    if blocks == []:
        return
    yield from _problems(BLOCKS, blocks, pointer)
    seen: set[str] = set()
    for number, block in enumerate(blocks if isinstance(blocks, list) else ()):
        block_id = block.get("block_id") if isinstance(block, dict) else None
        if isinstance(block_id, str):
            if block_id in seen:
                yield _problem(f"`block_id` must be unique: {block_id}", f"{pointer}/{number}/block_id")
            seen.add(block_id)


def _problems(schema: Json | None, value: Any, pointer: str) -> Iterator[str]:
    """Yield the problems of a value at a JSON pointer, in Slack's words."""
    for key, (json_type, complaint) in JSON_TYPES.items():
        if schema and key in schema and not isinstance(value, json_type):
            yield _problem(complaint, pointer)
            return
    match schema:
        case {"max_length": limit} if len(value) > limit:
            yield _problem(f"must be less than {limit + 1} characters", pointer)
        case {"min_length": limit} if len(value) < limit:
            yield _problem(f"must be more than {limit - 1} characters", pointer)
        case {"max_items": limit, "item": item}:
            if not 0 < len(value) <= limit:
                too_many = f"no more than {limit} items allowed"
                yield _problem(too_many if value else "must contain at least 1 item", pointer)
            for number, part in enumerate(value):
                yield from _problems(item, part, f"{pointer}/{number}")
        case {"types": by_type}:
            yield from _object_problems(by_type, value, pointer)
        case {"one_of": values} if value not in values:
            yield _problem(f"value must be one of: {', '.join(values)}", pointer)


def _object_problems(by_type: dict[str, Json | None], value: Json, pointer: str) -> Iterator[str]:
    type_ = value.get("type")
    if not isinstance(type_, str):
        yield _problem("missing required field: type", pointer)
    elif type_ not in by_type:
        yield _problem(f"unsupported type: {type_}", f"{pointer}/type")
    elif (fields := by_type[type_]) is not None:
        required, any_of = fields.get("required", {}), fields.get("any_of", [])
        missing = required.keys() - value.keys()
        if any_of and not set(any_of) & value.keys():
            missing |= {any_of[0]}
        for name in missing:
            yield _problem(f"missing required field: {name}", pointer)
        known = {"type": None, "block_id": {"max_length": 255}, **required, **fields.get("optional", {})}
        for name, part in value.items():
            if name in known:
                yield from _problems(known[name], part, f"{pointer}/{name}")
            else:
                yield _problem(f"invalid additional property: {name}", pointer)


def _length(value: Any) -> int:
    """Return the bytes of all texts in a block, or in a list of blocks."""
    if isinstance(value, list):
        return sum(map(_length, value))
    if not isinstance(value, dict):
        return 0
    texts = [part for name, part in value.items() if name == "text" and isinstance(part, str)]
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) + sum(
        _length(part) for part in value.values()
    )

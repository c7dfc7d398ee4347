"""Checks of JSON that compose: each yields what is wrong with a value, in the words Slack uses."""

from collections.abc import Callable, Iterator
from typing import Any

Check = Callable[[Any, str], Iterator[str]]


def problem(what: str, pointer: str) -> str:
    """One thing that is wrong, and where."""
    return f"{what} [json-pointer:{pointer}]"


def anything(_value: Any, _pointer: str) -> Iterator[str]:
    """Whatever it is, it is not looked into."""
    return iter(())


def string(limit: int, least: int = 0) -> Check:
    """A text of `least` to `limit` characters."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, str):
            yield problem("must be a string", pointer)
        elif len(value) > limit:
            yield problem(f"must be less than {limit + 1} characters", pointer)
        elif len(value) < least:
            yield problem(f"must be more than {least - 1} characters", pointer)

    return check


def items(limit: int, each: Check) -> Check:
    """A list of one to `limit` things."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield problem("must be an array", pointer)
            return
        if len(value) > limit:
            yield problem(f"no more than {limit} items allowed", pointer)
        if not value:
            yield problem("must contain at least 1 item", pointer)
        for number, part in enumerate(value):
            yield from each(part, f"{pointer}/{number}")

    return check


def one_of(*values: str) -> Check:
    """One of these words."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        if value not in values:
            yield problem(f"value must be one of: {', '.join(values)}", pointer)

    return check


def typed(shapes: dict[str, Check]) -> Check:
    """An object whose `type` says what else it may hold."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield problem("must be an object", pointer)
        elif not isinstance(value.get("type"), str):
            yield problem("missing required field: type", pointer)
        elif value["type"] not in shapes:
            yield problem(f"unsupported type: {value['type']}", f"{pointer}/type")
        else:
            yield from shapes[value["type"]](value, pointer)

    return check


def shape(required: dict[str, Check], optional: dict[str, Check]) -> Check:
    """An object with these fields and no others."""
    known = {"type": anything, "block_id": string(255), **required, **optional}

    def check(value: Any, pointer: str) -> Iterator[str]:
        for name in required.keys() - value.keys():
            yield problem(f"missing required field: {name}", pointer)
        for name, part in value.items():
            if name not in known:
                yield problem(f"invalid additional property: {name}", pointer)
            else:
                yield from known[name](part, f"{pointer}/{name}")

    return check

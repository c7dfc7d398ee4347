"""Bytes become a JSON object, or are `Unreadable` with the place where they go wrong."""

import json
import re
from typing import NoReturn

from pydantic_core import from_json

from worker.domain.event import MAX_EVENT_BYTES

MAX_DETAIL = 300
MAX_DEPTH = 200
_SURROGATES = re.compile(r"[\ud800-\udfff]")

Fields = dict[str, object]


class Unreadable(ValueError):
    """An entry that is no event; `detail` says what is wrong and where, in 300 printable characters."""

    def __init__(self, detail: str) -> None:
        printable = "".join(sign if sign.isprintable() else "\ufffd" for sign in detail[: MAX_DETAIL + 1])
        self.detail = printable if len(printable) <= MAX_DETAIL else printable[: MAX_DETAIL - 1] + "…"
        super().__init__(self.detail)


def decode(raw: bytes) -> Fields:
    """The JSON object in `raw`, which is an event's. Lone surrogates become U+FFFD; NaN and Infinity are
    unreadable.
    """
    if len(raw) > MAX_EVENT_BYTES:
        raise Unreadable(f"{len(raw)} bytes: an event may have {MAX_EVENT_BYTES} at most")
    return an_object(decode_any(raw))


def decode_any(raw: bytes) -> object:
    """The JSON value in `raw`, however large, by the same rules."""
    try:
        found: object = from_json(raw, allow_inf_nan=False)
    except ValueError:
        return _decode_slowly(raw)
    return found


def an_object(found: object) -> Fields:
    """What was decoded, if it is an object."""
    if not isinstance(found, dict):
        raise Unreadable(f"the JSON is {_sort(found)}, not an object")
    return found


def _decode_slowly(raw: bytes) -> object:
    """What the quick parser refuses: either it is wrong, and this one says where, or it has surrogates."""
    try:
        return _without_surrogates(json.loads(raw.decode(), parse_constant=_refuse), 0)
    except UnicodeDecodeError as error:
        raise Unreadable(f"byte {error.start + 1}: not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"line {error.lineno} column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise Unreadable(f"nested more than {MAX_DEPTH} deep") from None
    except Unreadable:
        raise
    except ValueError:
        raise Unreadable("a number has thousands of digits") from None


def _refuse(constant: str) -> NoReturn:
    raise Unreadable(f"{constant} is not JSON: write a number or null")


def _without_surrogates(value: object, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise Unreadable(f"nested more than {MAX_DEPTH} deep")
    match value:
        case str():
            return _SURROGATES.sub("\ufffd", value)
        case list():
            return [_without_surrogates(inner, depth + 1) for inner in value]
        case dict():
            return {
                _SURROGATES.sub("\ufffd", key): _without_surrogates(inner, depth + 1)
                for key, inner in value.items()
            }
        case _:
            return value


def _sort(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")

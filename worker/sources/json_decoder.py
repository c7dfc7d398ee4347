"""Decoder of the JSON in a stream entry or a request; `Unreadable` says where the JSON is wrong."""

import json
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from typing import NoReturn

from pydantic_core import from_json

from worker.domain.mrkdwn import SURROGATES, cut

MAX_DETAIL = 300
MAX_DEPTH = 200
_JSON_TYPES = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}

JsonObject = dict[str, object]


class Unreadable(ValueError):
    """An entry or a request that holds no event; `detail` says what is wrong and where, in 300 printable characters."""

    def __init__(self, detail: str) -> None:
        printable = "".join(char if char.isprintable() else "\ufffd" for char in detail[: MAX_DETAIL + 1])
        self.detail = cut(printable, MAX_DETAIL)
        super().__init__(self.detail)


def decode_json(raw: bytes) -> object:
    """Decode JSON, lone surrogates as U+FFFD. Raises Unreadable, also for NaN, Infinity and over 200 levels."""
    raw = raw.removeprefix(BOM_UTF8)
    try:
        return from_json(raw, allow_inf_nan=False)
    except ValueError:
        pass  # the slow decoder below accepts lone surrogates, and gives line and column
    try:
        text = json.dumps(json.loads(raw.decode(), parse_constant=_reject_constant), ensure_ascii=False)
    except UnicodeDecodeError as error:
        actual = "not UTF-8 but UTF-16: send UTF-8" if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "not UTF-8"
        raise Unreadable(f"byte {error.start + 1}: {actual}") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"line {error.lineno} column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise Unreadable(f"nested more than {MAX_DEPTH} deep") from None
    except Unreadable:
        raise
    except ValueError:
        raise Unreadable("a number has thousands of digits") from None
    try:
        return from_json(SURROGATES.sub("\ufffd", text))
    except ValueError:
        raise Unreadable(f"nested more than {MAX_DEPTH} deep") from None


def require_object(value: object) -> JsonObject:
    """Return a decoded JSON value that is an object; raise Unreadable for any other type."""
    if not isinstance(value, dict):
        raise Unreadable(f"the JSON is {name_json_type(value)}, not an object")
    return value


def name_json_type(value: object) -> str:
    """Return the type of a JSON value that is no object, for a sentence."""
    return _JSON_TYPES.get(type(value), "a number")


def _reject_constant(constant: str) -> NoReturn:
    raise Unreadable(f"{constant} is not JSON: write a number or null")

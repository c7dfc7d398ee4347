"""What a producer of events imports: one `XADD`, on a sync or an asyncio Redis client.

    from redis import Redis
    from worker.publish import publish

    publish(Redis.from_url("redis://localhost"), {
        "specversion": "1.0",
        "id": "run-17-failed",
        "source": "/infrakitchen/shop",
        "type": "io.infrakitchen.workflow.failed",
        "data": {"workflow_id": "17", "name": "deploy-prod", "error_message": "no quota"},
    })

With `redis.asyncio.Redis` the same call is awaited. Choose an `id` that is the same when you publish the same
event again: it is then told once. Not for programs that do not run Python (`XADD infrakitchen:events * event
'<json>'` is all there is to it), nor where Redis is out of reach (`POST /api/v1/events`).
"""

import json
import re
from collections.abc import Awaitable, Mapping
from typing import Any, NoReturn, Protocol, overload

from worker.domain.event import MAX_EVENT_BYTES

_SURROGATES = re.compile(r"[\ud800-\udfff]")
_SPACE = re.compile(r"\s*")
STREAM = "infrakitchen:events"

EntryId = bytes | str


class Client(Protocol):
    """What is needed of `redis.Redis`."""

    def xadd(self, name: str, fields: dict[Any, Any], /) -> EntryId:
        """Append an entry to a stream."""


class AsyncClient(Protocol):
    """What is needed of `redis.asyncio.Redis`."""

    def xadd(self, name: str, fields: dict[Any, Any], /) -> Awaitable[EntryId]:
        """Append an entry to a stream."""


@overload
def publish(redis: Client, event: Mapping[str, object] | str | bytes, *, stream: str = STREAM) -> EntryId: ...
@overload
def publish(
    redis: AsyncClient, event: Mapping[str, object] | str | bytes, *, stream: str = STREAM
) -> Awaitable[EntryId]: ...
def publish(
    redis: Client | AsyncClient, event: Mapping[str, object] | str | bytes, *, stream: str = STREAM
) -> EntryId | Awaitable[EntryId]:
    """Append one event to the stream and return its entry id (an awaitable of it from an asyncio client).

    Raises ValueError when the event is no JSON object or larger than 256 KiB. Whether its fields are right
    is found out by whoever reads the stream: what is not becomes a dead letter that says why.
    """
    return redis.xadd(stream, {"event": encode(event)})


def encode(event: Mapping[str, object] | str | bytes) -> bytes:
    """The bytes that go into the stream; raises ValueError when they are no event."""
    raw = _raw(event)
    if len(raw) > MAX_EVENT_BYTES:
        raise ValueError(f"the event has {len(raw)} bytes; at most {MAX_EVENT_BYTES} are read")
    return raw


def read_events(text: str) -> list[dict[str, object]]:
    """The events of a file: a JSON object, an array of them, or one after the other as in JSON lines.

    Raises ValueError naming the line that is wrong.
    """
    text = text.removeprefix("\ufeff")
    decoder = json.JSONDecoder(parse_constant=_refuse)
    found: list[dict[str, object]] = []
    at = _next(text, 0)
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {error.lineno} column {error.colno}: {error.msg}") from None
        except RecursionError:
            raise ValueError(f"{_line(text, at)}: nested too deep") from None
        except ValueError as error:
            raise ValueError(f"{_line(text, at)}: {error}") from None
        for place, event in enumerate(value if isinstance(value, list) else [value], 1):
            if not isinstance(event, dict):
                where = _line(text, at) + (f", element {place}" if isinstance(value, list) else "")
                reason = f"{where}: an event is a JSON object, not {json.dumps(event)[:40]}"
                raise ValueError(reason)  # noqa: TRY004  # the text is at fault
            found.append(event)
        at = _next(text, end)
    return found


def _line(text: str, at: int) -> str:
    """Where a place is, for people."""
    return f"line {text.count(chr(10), 0, at) + 1}"


def _next(text: str, at: int) -> int:
    """Where the next value starts."""
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _raw(event: Mapping[str, object] | str | bytes) -> bytes:
    """A mapping's JSON; a text or bytes as they are, once they are known to be an object."""
    try:
        if isinstance(event, Mapping):
            return _utf8(json.dumps(dict(event), ensure_ascii=False, allow_nan=False))
        raw = _utf8(event) if isinstance(event, str) else event
        found = json.loads(raw.decode(), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("the event is nested too deep") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"the event is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("the event is not a JSON object")  # noqa: TRY004  # its text is at fault
    return raw


def _utf8(text: str) -> bytes:
    return _SURROGATES.sub("\ufffd", text).encode()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")

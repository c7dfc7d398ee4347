"""The module that producers of events import: one `XADD`, with a sync or an asyncio Redis client.

    from redis import Redis
    from worker.publish import publish

    publish(Redis.from_url("redis://localhost"), {
        "specversion": "1.0",
        "id": "run-17-failed",
        "source": "/infrakitchen/shop",
        "type": "io.infrakitchen.workflow.failed",
        "data": {"workflow_id": "17", "name": "deploy-prod", "error_message": "no quota"},
    })

With `redis.asyncio.Redis`, await the same call. Give an event the same `id` when you publish it again: it is then
delivered once. Do not use this module where Redis cannot be reached (`POST /api/v1/events` instead); a program in
another language runs `XADD infrakitchen:events * event '<json>'`.
"""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol, TypeVar

from worker.domain.event import MAX_EVENT_BYTES, EventTooLarge
from worker.domain.mrkdwn import SURROGATES

_EVENT_START = re.compile(r"[^\s\ufeff]")  # a byte order mark may begin each of the files that were joined
STREAM = "infrakitchen:events"

Id_co = TypeVar("Id_co", covariant=True)


class Client(Protocol[Id_co]):
    """The part of `redis.Redis` and `redis.asyncio.Redis` that is used; the latter returns an awaitable."""

    def xadd(self, name: str, fields: dict[Any, Any], /) -> Id_co:
        """Append an entry to a stream."""


def publish(redis: Client[Id_co], event: Mapping[str, object] | str | bytes, *, stream: str = STREAM) -> Id_co:
    """Append one event to the stream and return its entry id (an awaitable of it from an asyncio client).

    Raises ValueError when the event is not a JSON object, EventTooLarge above 256 KiB. The fields are not checked:
    the worker keeps an event that it cannot read as a dead letter, with the reason.
    """
    return redis.xadd(stream, {"event": encode(event)})


def encode(event: Mapping[str, object] | str | bytes) -> bytes:
    """Return the bytes of an event; raise ValueError when it is not a JSON object, EventTooLarge above 256 KiB."""
    try:
        if isinstance(event, Mapping):
            value: object = dict(event)
            raw = _utf8(json.dumps(value, ensure_ascii=False, allow_nan=False))
        else:
            raw = (_utf8(event) if isinstance(event, str) else event).removeprefix(BOM_UTF8)
            value = json.loads(raw.decode(), parse_constant=_reject_constant)
    except RecursionError:
        raise ValueError("the event is nested too deep") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"the event is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("the event is not a JSON object")  # noqa: TRY004  # the JSON is wrong
    if len(raw) > MAX_EVENT_BYTES:
        raise EventTooLarge(len(raw))
    return raw


def read_events(text: str) -> list[dict[str, object]]:
    """Parse the events in a file's text: a JSON object, an array of objects, or JSON lines.

    Raises ValueError that names the wrong line.
    """
    decoder = json.JSONDecoder(parse_constant=_reject_constant)
    events: list[dict[str, object]] = []
    line, counted, end = 1, 0, 0
    while match := _EVENT_START.search(text, end):
        start = match.start()
        line, counted = line + text.count("\n", counted, start), start
        try:
            value, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {error.lineno} column {error.colno}: {error.msg}") from None
        except RecursionError:
            raise ValueError(f"line {line}: nested too deep") from None
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
        for index, event in enumerate(value if isinstance(value, list) else [value], 1):
            if not isinstance(event, dict):
                element = f", element {index}" if isinstance(value, list) else ""
                reason = f"line {line}{element}: an event is a JSON object, not {json.dumps(event)[:40]}"
                raise ValueError(reason)  # noqa: TRY004  # the JSON is wrong
            events.append(event)
    return events


def _utf8(text: str) -> bytes:
    return SURROGATES.sub("\ufffd", text).encode()


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")

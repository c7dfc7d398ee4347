"""`/api/v1/events`: published, and explained."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from worker.asking.plain import plain_story
from worker.asking.story import stories
from worker.bootstrap import Services
from worker.domain.event import MAX_EVENT_BYTES
from worker.publish import encode
from worker.sources import Unreadable, read
from worker.store.stream import EventStream
from worker.web.api.told import (
    StoryShape,
)
from worker.web.audit import about, audited
from worker.web.bodies import json_body
from worker.web.problems import ANY, Faulty, documented
from worker.web.webhooks import Published, publish

EVENTS_MOST = 1_000
FAULTS_MOST = 10
_TEXT = {"type": "string"}
_NAME = {"type": "string", "minLength": 1}
_EVENT = {
    "type": "object",
    "description": "CloudEvents 1.0, or InfraKitchen's own notification body",
    "anyOf": [
        {
            "required": ["specversion", "id", "source", "type"],
            "properties": {
                "specversion": {"type": "string", "enum": ["1.0"]},
                **dict.fromkeys(("id", "source", "type"), _NAME),
                "data": {"type": "object"},
            },
        },
        {
            "required": ["entity_type"],
            "properties": {
                "entity_type": _NAME,
                **dict.fromkeys(("event_type", "entity_id", "title", "message", "status"), _TEXT),
            },
        },
    ],
}
_BODY = {"oneOf": [_EVENT, {"type": "array", "items": _EVENT, "minItems": 1, "maxItems": EVENTS_MOST}]}
_DOCUMENTED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {name: {"schema": _BODY} for name in ("application/json", "application/cloudevents+json")},
    }
}


def events(made: Services) -> APIRouter:
    """Publish and explain."""
    router = audited()

    @router.post(
        "/events",
        status_code=202,
        summary="Publish events, all of them or, if one is wrong, none",
        responses=documented(400, 413, 415, *ANY),
        openapi_extra=_DOCUMENTED,
    )
    async def add(request: Request) -> Published:
        """One event, or an array of up to 1,000; 256 KiB an event, 8 MiB together.

        The same event again is told once. What is answered is in the stream.
        """
        published = await _published(made.stream, await json_body(request))
        about(request, events=len(published.ids))
        return published

    @router.get(
        "/events/{event_id:path}",
        summary="The whole way of an event",
        response_model=StoryShape,
        responses=documented(404, 409, 422, *ANY),
    )
    async def explain(event_id: Annotated[str, Path(min_length=1, max_length=4_000)]) -> Any:
        """By its own id, a stream entry's or a delivery's."""
        first, *others = map(plain_story, await stories(made, event_id))
        return {**first, "others": others} if others else first

    return router


async def _published(stream: EventStream, found: object) -> Published:
    several = found if isinstance(found, list) else [found]
    if not 1 <= len(several) <= EVENTS_MOST:
        detail = f"These are {len(several)} events: send 1 to {EVENTS_MOST} at once. Nothing was published."
        raise Faulty(413 if several else 400, detail)
    encoded, faults, status = [], [], 400
    for place, event in enumerate(several, 1):
        try:
            encoded.append(_checked(event))
        except (ValueError, Unreadable) as error:
            faults.append(f"event {place}{_named(event)}: {error}")
            status = 413 if f"at most {MAX_EVENT_BYTES}" in str(error) else status
    if faults:
        more = len(faults) - FAULTS_MOST
        some = [*faults[:FAULTS_MOST], *([f"and {more} more"] if more > 0 else [])]
        raise Faulty(status, f"Nothing was published: {faults[0]}.", some)
    return await publish(stream, encoded)


def _checked(event: object) -> bytes:
    """What goes into the stream; ValueError or Unreadable when it is no event."""
    if not isinstance(event, dict):
        raise Unreadable("an event is a JSON object")
    raw = encode(event)
    read(raw, "0-0")
    return raw


def _named(event: object) -> str:
    """Its own id, if it says one."""
    name = event.get("id") if isinstance(event, dict) else None
    return f" ({name[:100]})" if isinstance(name, str) else ""

"""`/api/v1/events`, `/preview`, `/ledger` and `/doctor`: publish, explain and preview events; read-only checks."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import Path as PathParameter
from fastapi import Request
from pydantic import Field

from worker.domain.errors import UserError
from worker.domain.event import EventTooLarge
from worker.publish import encode
from worker.services.deliveries import trace_event
from worker.services.diagnostics import Finding, check_key_ring, run_diagnostics
from worker.services.preview import get_templated_subscription, preview_events
from worker.services.publishing import convert_bodies, load_label_mapping
from worker.services.schemas import EventTraceSchema, PreviewSchema
from worker.services.status import StatusSchema, get_status
from worker.sources import Unreadable, parse
from worker.store.ledger import Balance, take_ledger_snapshot
from worker.web.auth import audited_router, set_audit_details
from worker.web.requests import AppDep, RequestBody, RequestError, Rows, document_body, read_body, read_events
from worker.web.webhooks import Published, publish

MAX_EVENTS = 1_000
MAX_FAULTS = 10
_EVENT_SCHEMA = json.loads(Path(__file__).with_name("event_schema.json").read_text("utf-8"))
_EVENTS_SCHEMA = {"type": "array", "items": _EVENT_SCHEMA, "maxItems": MAX_EVENTS}
_CONTENT = {"schema": {"oneOf": [_EVENT_SCHEMA, _EVENTS_SCHEMA]}}
_BATCH = {"schema": _EVENTS_SCHEMA}
_PUBLISH_BODY = {
    "required": True,
    "content": {
        **dict.fromkeys(("application/json", "application/cloudevents+json"), _CONTENT),
        "application/cloudevents-batch+json": _BATCH,
    },
}

router = audited_router("/events", tags=["events"])
diagnostics = audited_router(tags=["diagnostics"])


@router.post(
    "",
    status_code=202,
    summary="Publish events: all of them, or none if one is wrong",
    openapi_extra={"requestBody": _PUBLISH_BODY},
)
async def publish_events(app: AppDep, request: Request) -> Published:
    """Publish one event, or an array of up to 1,000; at most 256 KiB an event and 8 MiB together.

    In binary mode, the headers that begin with `ce-` are the attributes of one event, and the body is its data, of any
    content type. When the answer comes, the events are in the stream. An event that is published again is not delivered
    again.
    """
    published = await publish(app.stream, _encode_all(await read_events(request)))
    set_audit_details(request, events=len(published.ids))
    return published


def _encode_all(body: object) -> list[bytes]:
    """Return the events of a body as the stream holds them; raise RequestError that names each wrong one."""
    items = body if isinstance(body, list) else [body]
    if len(items) > MAX_EVENTS:
        detail = f"The body has {len(items)} events: send up to {MAX_EVENTS} at once. Nothing was published."
        raise RequestError(413, detail)
    encoded, faults, status = [], [], 400
    for number, item in enumerate(items, 1):
        try:
            encoded.append(_encode(item))
        except ValueError as error:
            id_ = item.get("id") if isinstance(item, dict) else None
            name = f" ({id_[:100]})" if isinstance(id_, str) else ""
            faults.append(f"event {number}{name}: {error}")
            status = 413 if isinstance(error, EventTooLarge) else status
    if faults:
        more = len(faults) - MAX_FAULTS
        errors = [*faults[:MAX_FAULTS], *([f"and {more} more"] if more > 0 else [])]
        raise RequestError(status, f"Nothing was published: {faults[0]}.", errors)
    return encoded


def _encode(item: object) -> bytes:
    if not isinstance(item, dict):
        raise Unreadable("an event is a JSON object")
    raw = encode(item)
    parse(raw, "0-0")
    return raw


@router.get("/{event_id:path}", summary="Show everything that happened to an event")
async def explain_event(
    app: AppDep, event_id: Annotated[str, PathParameter(min_length=1, max_length=4_000)]
) -> EventTraceSchema:
    """Show the deliveries of an event, by its id, or by that of its stream entry or of a delivery."""
    return EventTraceSchema.of_traces(await trace_event(app, event_id))


class PreviewRequest(RequestBody):
    """Events as `events` takes them, or bodies of webhooks, for a subscription or for a template that is not saved."""

    events: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=100)]
    subscription: str | None = None
    template: Annotated[str, Field(max_length=100_000)] | None = None


@diagnostics.post("/preview", openapi_extra=document_body(PreviewRequest))
async def preview(app: AppDep, request: Request) -> PreviewSchema:
    """Preview the message that would be posted for events that are pending together. Nothing is posted."""
    body = await read_body(request, PreviewRequest)
    labels = load_label_mapping(app.settings.alert_labels)
    subscription = await get_templated_subscription(app, body.subscription) if body.subscription else None
    try:
        result = await preview_events(
            convert_bodies(body.events, labels).events,
            now_ms=time.time_ns() // 1_000_000,
            subscription=subscription,
            template=body.template,
            infrakitchen_url=app.settings.infrakitchen_url or "",
        )
    except UserError as error:
        raise RequestError(422, str(error), [str(error)]) from None
    except ValueError as error:
        raise RequestError(422, f"events: {error}.", [str(error)]) from None
    return PreviewSchema.of_preview(result)


@diagnostics.get("/ledger")
async def show_ledger(app: AppDep) -> Balance:
    """Show the balance of all events and deliveries, in one consistent snapshot."""
    return (await take_ledger_snapshot(app.redis)).balance


@diagnostics.get("/status")
async def show_status(app: AppDep) -> StatusSchema:
    """Show whether messages arrive, and what needs a person."""
    return StatusSchema.of_status(await get_status(app))


@diagnostics.get("/doctor")
async def run_doctor(app: AppDep) -> Rows[Finding]:
    """Run all health checks and show the fix of each failed one."""
    key_ring = check_key_ring(app.settings)
    findings = await run_diagnostics(app, key_ring)
    return Rows(rows=findings if key_ring in findings else [key_ring, *findings])

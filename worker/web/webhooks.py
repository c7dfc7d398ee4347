"""Webhooks: alerts that monitoring systems post are published as events."""

import asyncio
import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from worker.bootstrap.context import AppContext
from worker.publish import encode
from worker.services.publishing import with_round
from worker.sources import WEBHOOKS, LabelMapping, Unreadable, parse
from worker.sources.json_decoder import require_object
from worker.sources.monitoring import AlertGroup
from worker.store.redis_errors import StoreUnavailable
from worker.store.stream import EventStream
from worker.telemetry import Counters, log_event
from worker.web.auth import AuditedRoute, authenticate_webhook, set_audit_details
from worker.web.requests import AUTH_STATUSES, AppDep, RequestError, problem_responses, read_json

log = logging.getLogger("worker.web")

MAX_FAULTS = 10
_BODY_SCHEMA = json.loads(Path(__file__).with_name("webhook_schema.json").read_text("utf-8"))
VERSIONS = {"alertmanager": "4", "grafana": "1"}


class Published(BaseModel):
    """The ids of published events, and the ids of their stream entries."""

    ids: list[str]
    entry_ids: list[str]


class PublishedAlerts(Published):
    """The published alerts of a webhook."""

    errors: list[str] = []  #: What was wrong with the others.


#: A name of the installation that sends the alerts, instead of the address in the body.
SourceName = Annotated[str, Query(max_length=200, description="The name of the installation that sends the alerts")]


def webhooks_router() -> APIRouter:
    """Return the router of `/webhooks/{system}`, one path for each monitoring system."""
    depends = [Depends(authenticate_webhook)]
    router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=AuditedRoute, dependencies=depends)
    for name in WEBHOOKS:
        _add_webhook(router, name)
    return router


def _add_webhook(router: APIRouter, name: str) -> None:
    version = {"version": {"type": "string", "enum": [VERSIONS[name]]}}
    schema = {**_BODY_SCHEMA, "properties": {**_BODY_SCHEMA["properties"], **version}}

    @router.post(
        f"/{name}",
        status_code=202,
        summary=f"Publish alerts of {name.capitalize()}, each as an event",
        operation_id=f"webhook_{name}",
        responses=problem_responses(400, 413, 415, 422, *AUTH_STATUSES),
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}},
    )
    async def receive(app: AppDep, request: Request, source: SourceName = "") -> PublishedAlerts:
        labels: LabelMapping = request.state.alert_labels
        try:
            body = require_object(await read_json(request))
        except Unreadable as error:
            raise RequestError(400, f"The body is wrong: {error}.", [str(error)]) from None
        try:
            group = WEBHOOKS[name](body, labels, source)
        except Unreadable as error:
            raise RequestError(400, f"{error}".rstrip(".") + ".", [str(error)]) from None
        published = await _publish_alerts(app, name, group)
        set_audit_details(request, events=len(published.ids))
        return published


async def _publish_alerts(app: AppContext, system: str, group: AlertGroup) -> PublishedAlerts:
    """Publish every readable alert, and report what was wrong with the others; raise RequestError if there is none.

    A refusal would keep Alertmanager from ever sending that the published alerts are resolved.
    """
    errors, counters = [fault.text for fault in group.faults], Counters()
    if (more := len(errors) - MAX_FAULTS) > 0:
        errors[MAX_FAULTS:] = [f"and {more} more"]
    for fault in group.faults:
        counters.increment("webhook_faults", system, fault.reason, by=fault.alerts)
    now_ms = await app.redis.now_ms()
    events = await asyncio.gather(*(with_round(app.events, alert, now_ms) for alert in group.events))
    published = await publish(app.stream, [encode(event) for event in events])
    if errors:
        summary = "; ".join(errors[:3])
        log_event(log, logging.WARNING, "webhook incomplete", system=system, accepted=len(events), faults=summary)
        with suppress(StoreUnavailable):  # the alerts are in the stream, and the sender would send them again
            await app.metrics.save(counters)
    if not events:
        raise RequestError(400, f"{summary.rstrip('.')}. No alert was published.", errors)
    return PublishedAlerts(**published.model_dump(), errors=errors)


async def publish(stream: EventStream, encoded: list[bytes]) -> Published:
    """Add encoded events to the stream in one step."""
    if not encoded:
        return Published(ids=[], entry_ids=[])
    entry_ids = await stream.publish(encoded)
    entries = zip(encoded, entry_ids, strict=True)
    return Published(ids=[parse(raw, entry_id).id for raw, entry_id in entries], entry_ids=entry_ids)

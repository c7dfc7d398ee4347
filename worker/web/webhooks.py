"""Webhooks: what monitoring systems post is published as events, one an alert."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from worker.bootstrap import Services
from worker.domain.errors import Problem
from worker.publish import encode
from worker.sources import WEBHOOKS, Fields, Labelled, Unreadable, read
from worker.sources.decode import an_object
from worker.store.stream import EventStream
from worker.web.access import Access
from worker.web.again import told_again
from worker.web.audit import AuditedRoute, about
from worker.web.bodies import json_body
from worker.web.problems import ANY, Faulty, documented

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_ALERT = {
    "type": "object",
    "required": ["status", "labels", "startsAt"],
    "properties": {
        "status": {"type": "string", "enum": ["firing", "resolved"]},
        "labels": {**_TEXTS, "minProperties": 1},
        "annotations": _TEXTS,
        "startsAt": {"type": "string", "format": "date-time"},
        "endsAt": {"type": "string", "format": "date-time"},
        "generatorURL": {"type": "string"},
        "fingerprint": {"type": "string"},
    },
}
VERSIONS = {"alertmanager": "4", "grafana": "1"}


class Published(BaseModel):
    """Events that are in the stream by now: their ids, and the ids of their entries."""

    ids: list[str]
    entry_ids: list[str]


def read_labelled(path: Path | None) -> Labelled:
    """What labels mean, from the file of `ALERT_LABELS`; Problem when it cannot be used."""
    if path is None:
        return Labelled()
    try:
        return Labelled.of(path.read_text("utf-8"))
    except OSError as error:
        raise Problem(f"ALERT_LABELS: {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise Problem(f"ALERT_LABELS: {path}: {error}. See docs/monitoring.md.") from None


def webhooks(made: Services, labelled: Labelled, access: Access) -> APIRouter:
    """`/webhooks/alertmanager` and its like."""
    router = APIRouter(
        prefix="/webhooks", tags=["webhooks"], route_class=AuditedRoute, dependencies=access.needed
    )
    for name in WEBHOOKS:
        _add(router, name, made, labelled)
    return router


def _add(router: APIRouter, name: str, made: Services, labelled: Labelled) -> None:
    @router.post(
        f"/{name}",
        status_code=202,
        summary=f"Alerts as {name.capitalize()} posts them: each becomes an event",
        operation_id=f"webhook_{name}",
        responses=documented(400, 413, 415, *ANY),
        openapi_extra={"requestBody": _documented_body(VERSIONS[name])},
    )
    async def take(request: Request) -> Published:
        published = await _take(an_object_of(await json_body(request)), name, made, labelled)
        about(request, events=len(published.ids))
        return published


async def _take(fields: Fields, name: str, made: Services, labelled: Labelled) -> Published:
    """What can be read is published, whatever is wrong with the rest: nobody sends it in a better form."""
    try:
        group = WEBHOOKS[name](fields, labelled)
    except Unreadable as error:
        raise Faulty(400, f"{error}".rstrip(".") + ".", [str(error)]) from None
    encoded, faults, now_ms = [], list(group.faults), await made.server.now_ms()
    for event in await asyncio.gather(*(told_again(made.events, one, now_ms) for one in group.events)):
        try:
            encoded.append(encode(event))
        except ValueError as error:
            faults.append(f"{event['id']}: {error}")
    published = await publish(made.stream, encoded)
    if faults:
        taken = f"{len(encoded)} of the alerts that came were taken" if encoded else "no alert was taken"
        detail = f"{'; '.join(faults[:3]).rstrip('.')}. Apart from that, {taken}."
        raise Faulty(400, detail, faults, published.model_dump())
    return published


def an_object_of(found: object) -> Fields:
    """A body that is to be an object."""
    try:
        return an_object(found)
    except Unreadable as error:
        raise Faulty(400, f"The body is wrong: {error}.", [str(error)]) from None


async def publish(stream: EventStream, encoded: list[bytes]) -> Published:
    """Into the stream in one step, as `worker.publish` does it one by one."""
    if not encoded:
        return Published(ids=[], entry_ids=[])
    entry_ids = await stream.publish(encoded)
    named = zip(encoded, entry_ids, strict=True)
    return Published(ids=[read(raw, entry_id).id for raw, entry_id in named], entry_ids=entry_ids)


def _documented_body(version: str) -> Mapping[str, Any]:
    schema = {
        "type": "object",
        "required": ["version", "alerts"],
        "properties": {
            "version": {"type": "string", "enum": [version]},
            "alerts": {"type": "array", "items": _ALERT, "minItems": 1},
            "truncatedAlerts": {"type": "integer", "enum": [0]},
        },
    }
    return {"required": True, "content": {"application/json": {"schema": schema}}}

"""Explain: the trace of an event, found by its id."""

import json
from urllib.parse import quote

from fastapi import APIRouter, Response

from worker.bootstrap.context import AppContext
from worker.domain.errors import NotFound
from worker.services.deliveries import EventTrace, trace_event
from worker.web.console.request import ConsoleRequestDep

MAX_ID = 4_000
MAX_RAW = 6_000  #: Characters of an event that are shown unless all are asked for.
router = APIRouter(prefix="/explain")


@router.get("")
async def find_event(request: ConsoleRequestDep) -> Response:
    """Ask for an event's id, and lead to its page."""
    event_id = request.query("event")[:MAX_ID]
    if event_id.strip("."):  # a browser takes an id of dots for a parent path
        return request.redirect(f"/explain/{quote(event_id, safe='')}")
    return request.render("explain_find.html", event_id="", not_found=None)


@router.get("/{event_id:path}")
async def show_event(request: ConsoleRequestDep, event_id: str) -> Response:
    """Show everything that happened to an event, and the event as it came."""
    app = request.app
    try:
        traces = await trace_event(app, event_id)
    except NotFound as error:
        return request.render("explain_find.html", 404, event_id=event_id, not_found=error)
    limit = None if request.query("raw") == "all" else MAX_RAW
    texts = [pretty(await _raw_event(app, trace)) for trace in traces]
    return request.render(
        "explain.html",
        traces=[
            (trace, text[:limit], max(len(text) - MAX_RAW, 0) if limit else 0)
            for trace, text in zip(traces, texts, strict=True)
        ],
        event_id=event_id,
        destinations={item.id: item.destination for item in await app.subscriptions.list_all()},
        now_ms=await app.redis.now_ms(),
    )


def pretty(raw: bytes) -> str:
    """Return JSON with line breaks; other bytes as they came."""
    text = raw.decode("utf-8", "backslashreplace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


async def _raw_event(app: AppContext, trace: EventTrace) -> bytes:
    """Return the event as it came: from the stored events, the dead letters or the stream."""
    if trace.event and (stored := await app.events.body(trace.event.ref)):
        return stored.body
    if (letter := await app.dead_letters.find(trace.entry_id)) and letter.raw:
        return letter.raw.get(b"event", b"")
    entry = await app.stream.find_entry(trace.entry_id)
    return entry.fields.get(b"event", b"") if entry else b""

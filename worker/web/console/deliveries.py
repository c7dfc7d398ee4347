"""Deliveries: the list, one with its trace and its message; the trace of an event; parked lanes."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from fastapi import APIRouter, Response
from markupsafe import Markup

from worker.bootstrap.context import AppContext
from worker.domain.delivery import Delivery, State, lane_parts
from worker.domain.errors import NotFound
from worker.domain.event import Event, Severity
from worker.domain.hints import Action, hint_beside_buttons
from worker.domain.integration import Health
from worker.message_preview.html import render_message
from worker.pipeline.delivery.event_loader import event_of
from worker.services.deliveries import EventTrace, find_events, get_deliveries_page, get_delivery_trace, trace_event
from worker.services.formatting import parse_since_ms
from worker.services.lanes import get_parked_page, match_lanes, resume_lane, unknown_lane
from worker.services.preview import find_merged_deliveries, preview_deliveries
from worker.services.subscription_schema import LEVELS
from worker.store.ledger import take_ledger_snapshot
from worker.store.pagination import DeliveryFilter
from worker.web.auth import audited_router
from worker.web.console.request import ConsoleRequestDep
from worker.web.console.templating import page_cursor, paging

ROWS, MAX_SUGGESTED = 50, 300
MAX_OTHERS = 20
MAX_ID = 4_000
MAX_RAW = 6_000  #: Characters of an event that are shown unless all are asked for.
router = APIRouter(prefix="/deliveries")
explain = APIRouter(prefix="/explain")
parked = audited_router("/parked")


@router.get("")
async def list_deliveries(request: ConsoleRequestDep) -> Response:
    """Show a page of the list, newest first."""
    app, now_ms = request.app, await request.app.redis.now_ms()
    filters = {name: request.query(name) for name in ("state", "severity", "since", "lane", "event")}
    unknown = []
    for name, values in (("state", set(State)), ("severity", set(LEVELS))):
        if filters[name] and filters[name] not in values:
            unknown.append(f"Unknown {name} “{filters[name]}”: deliveries of any {name} are shown.")
            filters[name] = ""
    try:
        since_ms = parse_since_ms(filters["since"], now_ms)
    except ValueError as error:
        since_ms = 0
        unknown.append(f"Since: {error}.")
    lanes = await match_lanes(app, lane=filters["lane"])
    if lanes == ():
        lanes = await match_lanes(app, channel=filters["lane"])
        if not lanes:
            unknown.append((await unknown_lane(app, filters["lane"], Action.LIST_DELIVERIES)).text)
    state = State(filters["state"]) if filters["state"] else None
    severities = (Severity.ranked(filters["severity"]),) if filters["severity"] else ()
    where = DeliveryFilter(state, lanes, severities, since_ms)
    page = await get_deliveries_page(app, where, filters["event"] or None, page_cursor(request.http), ROWS)
    return request.render(
        "deliveries.html",
        rows=await _with_events(app, page.rows),
        filters=filters,
        unknown=unknown,
        states=list(State),
        severities=LEVELS,
        lanes=sorted({subscription.lane for subscription in await app.subscriptions.list_all()})[:MAX_SUGGESTED],
        paging=paging(request.http, filters, page.next),
        now_ms=now_ms,
    )


@router.get("/{id_}")
async def show_delivery(request: ConsoleRequestDep, id_: str) -> Response:
    """Show a delivery with its history and its message."""
    app = request.app
    trace = await get_delivery_trace(app, id_)
    delivery = trace.delivery
    others = await find_merged_deliveries(app, delivery)
    return request.render(
        "delivery.html",
        trace=trace,
        hint=hint_beside_buttons(delivery.error) if delivery.state is State.DEAD else trace.hint,
        since_ms=await _parked_since_ms(app, delivery),
        delivery=delivery,
        event=await event_of(app.events, delivery.event_ref),
        others=await _with_events(app, others[:MAX_OTHERS]),
        others_left=max(len(others) - MAX_OTHERS, 0),
        message=render_slack_message((await preview_deliveries(app, [delivery, *others])).message),
        subscription_ids={subscription.id for subscription in await app.subscriptions.list_all()},
        integration_ids=[integration.id for integration in await app.integrations.list_all()],
        now_ms=await app.redis.now_ms(),
    )


def render_slack_message(message: dict[str, object] | None) -> Markup | None:
    """Return a message as Slack would show it."""
    return None if message is None else render_message(message, datetime.now(UTC).astimezone())


async def _parked_since_ms(app: AppContext, delivery: Delivery) -> int:
    """Return since when a delivery is parked, with its lane or its integration; 0 when it is not."""
    if delivery.state is not State.PARKED:
        return 0
    status = await app.lanes.get_status(delivery.lane)
    if status.parked:
        return status.since_ms
    integration_id, _ = lane_parts(delivery.lane)
    return next((item.since_ms for item in await app.integrations.list_all() if item.id == integration_id), 0)


async def _with_events(app: AppContext, rows: Sequence[Delivery]) -> list[tuple[Delivery, Event | None]]:
    events = await find_events(app, (delivery.event_ref for delivery in rows))
    return [(delivery, events[delivery.event_ref]) for delivery in rows]


@parked.get("")
async def list_parked(request: ConsoleRequestDep) -> Response:
    """Show parked lanes, and integrations that are parked or disabled."""
    app, cursor = request.app, page_cursor(request.http)
    page, integrations = await get_parked_page(app, cursor, ROWS), await app.integrations.list_all()
    counts = (await take_ledger_snapshot(app.redis)).lanes if cursor is None else []
    return request.render(
        "parked.html",
        stopped=[item for item in integrations if cursor is None and item.state is not Health.ACTIVE],
        names={item.id: item.name for item in integrations},
        lanes=[lane for lane in page.rows if not lane.whole_integration],
        lanes_of_stopped=[lane for lane in page.rows if lane.whole_integration],
        snoozed=[lane for lane in counts if lane.failure and not (lane.parked or lane.integration_parked)],
        lane_parts=lane_parts,
        paging=paging(request.http, {}, page.next),
        now_ms=await app.redis.now_ms(),
    )


@parked.post("/resume")
async def resume(request: ConsoleRequestDep) -> Response:
    """Resume a parked lane."""
    lane = request.form.text("lane")
    request.audit("lane resumed", lane)
    resumed = await resume_lane(request.app, lane)
    again = " If posting fails, the lane waits again and is listed here." if resumed.is_trying else ""
    return request.redirect("/parked", f"{resumed}{again}")


@explain.get("")
async def find_event(request: ConsoleRequestDep) -> Response:
    """Ask for an event's id, and lead to its page."""
    event_id = request.query("event")[:MAX_ID]
    if event_id.strip("."):  # a browser takes an id of dots for a parent path
        return request.redirect(f"/explain/{quote(event_id, safe='')}")
    return request.render("explain_find.html", event_id="", not_found=None)


@explain.get("/{event_id:path}")
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

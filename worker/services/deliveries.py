"""Deliveries: list, trace and discard them."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from worker.bootstrap.context import AppContext
from worker.domain.delivery import Attempt, Delivery, State, delivery_id, lane_parts
from worker.domain.errors import NotFound
from worker.domain.event import Event
from worker.domain.hints import NO_HINT, Action, Hint, Step, dead_letter_hint
from worker.domain.integration import Integration
from worker.domain.quiet_hours import format_quiet_reason
from worker.domain.subscription import LaneSet, Subscription
from worker.pipeline.delivery.event_loader import event_of
from worker.services.formatting import pluralize
from worker.services.lanes import lead_on, list_lanes_of
from worker.store.pagination import DeliveryFilter, Page, take_rows

READ_AT_ONCE = 500
MAX_LANE_POSITION = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryTrace:
    """A delivery with its event's id, its calls to Slack, what it waits for and the fix."""

    delivery: Delivery
    event_id: str  #: Empty when the event is no longer kept.
    attempts: Sequence[Attempt]
    waits: str = ""  #: What a pending or parked delivery waits for.
    hint: Hint = NO_HINT
    permalink: str = ""  #: The link to the message in Slack.
    reason: str = ""  #: Why there is a delivery although the filters do not match.
    template_fault: str = ""  #: Why the default message was posted instead of the template's.
    can_try: bool = False  #: Whether its lane waits out a failure, so that `resume_lane` tries now.


async def get_deliveries_page(
    app: AppContext, where: DeliveryFilter, event_id: str | None, after: str | None, limit: int
) -> Page[Delivery]:
    """Return a page of deliveries, newest first; those of one event are all on one page."""
    if event_id is None:
        return await app.deliveries.page(where, after, limit)
    events = [await event_of(app.events, record.ref) for record in await app.events.find(event_id)]  # one a source
    deliveries = [
        delivery
        for event in events
        for delivery in (await list_deliveries_of_event(app, event) if event else [])
        if where.matches(delivery)
    ]
    return Page(tuple(sorted(deliveries, key=lambda delivery: (delivery.created_at_ms, delivery.seq), reverse=True)))


async def list_deliveries(
    app: AppContext, where: DeliveryFilter, event_id: str | None, limit: int
) -> tuple[list[Delivery], bool]:
    """Return the newest `limit` deliveries, all for 0, and whether there are more."""
    deliveries = await take_rows(partial(get_deliveries_page, app, where, event_id), limit and limit + 1)
    return (deliveries[:limit], len(deliveries) > limit) if limit else (deliveries, False)


async def list_deliveries_of_event(app: AppContext, event: Event) -> list[Delivery]:
    """Return the deliveries of one event, newest first; those of removed subscriptions too."""
    subscription_ids = await app.subscriptions.list_ids_ever_used()
    ids = [delivery_id(event.source, event.id, subscription_id) for subscription_id in subscription_ids]
    deliveries = await app.deliveries.find_many(await app.deliveries.filter_existing(ids))
    return sorted(deliveries, key=lambda delivery: (delivery.created_at_ms, delivery.id), reverse=True)


async def find_events(app: AppContext, refs: Iterable[str]) -> dict[str, Event | None]:
    """Return events by their references; None for one that is no longer kept or cannot be read by this version."""
    wanted = sorted(set(refs))
    events: dict[str, Event | None] = {}
    for start in range(0, len(wanted), READ_AT_ONCE):
        batch = wanted[start : start + READ_AT_ONCE]
        events |= zip(batch, await asyncio.gather(*(event_of(app.events, ref) for ref in batch)), strict=True)
    return events


async def find_event_ids(app: AppContext, refs: Iterable[str]) -> dict[str, str]:
    """Return the ids of events by their references; empty for one that `find_events` does not find."""
    return {ref: event.id if event else "" for ref, event in (await find_events(app, refs)).items()}


async def get_delivery_trace(app: AppContext, id_: str) -> DeliveryTrace:
    """Return the trace of one delivery. Raises NotFound."""
    delivery = await app.deliveries.find(id_)
    if delivery is None:
        fix = Hint.of("To see what is kept, ", Step(Action.LIST_DELIVERIES), ".")
        raise NotFound(f"There is no delivery {id_!r}. Finished ones are kept for RETENTION_S.", fix)
    event = await event_of(app.events, delivery.event_ref)
    return await trace_delivery(app, delivery, event.id if event else "")


async def trace_delivery(app: AppContext, delivery: Delivery, event_id: str) -> DeliveryTrace:
    """Return a delivery with everything that is known about it."""
    attempts, integrations, fault = await asyncio.gather(
        app.deliveries.list_attempts(delivery), app.integrations.list_all(), app.template_errors.get(delivery.id)
    )
    integration_id, _ = lane_parts(delivery.lane)
    integration = next((integration for integration in integrations if integration.id == integration_id), None)
    waits, fix = await _find_wait(app, delivery, integration)
    return DeliveryTrace(
        delivery=delivery,
        event_id=event_id,
        attempts=attempts,
        waits=waits,
        hint=fix,
        can_try=any(isinstance(part, Step) and part.action is Action.RESUME_LANE for part in fix.parts),
        permalink=integration.message_url(delivery.channel, delivery.ts) if integration else "",
        template_fault=str(fault or ""),
    )


async def _find_wait(app: AppContext, delivery: Delivery, integration: Integration | None) -> tuple[str, Hint]:
    """Return what a delivery waits for, and the fix."""
    if delivery.state is State.DEAD:
        return "", dead_letter_hint(delivery.error, delivery.id)
    if delivery.state not in (State.PARKED, State.PENDING):
        return "", NO_HINT
    status = await app.lanes.get_status(delivery.lane)
    if delivery.state is State.PARKED:
        if status.parked or integration is None:
            subscriptions = await app.subscriptions.list_all()
            return status.reason, await lead_on(app, delivery.lane, status.parked, status.hint, subscriptions)
        return integration.reason, integration.hint
    if not await app.processes.list_alive("worker"):
        return "no worker is running", Hint.of("To start one, ", Step(Action.START_PROCESSES), ".")
    if until_ms := await app.deliveries.get_held_until_ms(delivery):
        zones = (sub.time_zone for sub in await app.subscriptions.list_all() if sub.id == delivery.subscription_id)
        return format_quiet_reason(until_ms, next(zones, "")), NO_HINT
    if status.snoozed:
        return status.snoozed, Hint.of(
            "It is retried automatically. To try now, ", Step(Action.RESUME_LANE, delivery.lane), "."
        )
    pending = await app.deliveries.list_pending_ids(delivery.lane, limit=MAX_LANE_POSITION)
    ahead = pending.index(delivery.id) if delivery.id in pending else 0
    position = f"{pluralize(ahead, 'delivery', 'deliveries')} ahead of it in its lane" if ahead else "it is next"
    return position, NO_HINT


async def discard_pending(app: AppContext, removed: Sequence[Subscription]) -> int:
    """Discard the pending deliveries of removed subscriptions, but none that is being sent; return their number."""
    discarded, lanes = 0, set[str]()
    for sub in removed:
        own = await list_lanes_of(app, sub)
        lanes.update(own)
        discarded += sum(await asyncio.gather(*(app.lanes.discard_of_subscription(lane, sub.id) for lane in own)))
    used = LaneSet.of(await app.subscriptions.list_all())
    await app.lanes.unpin_addresses(sorted(lane for lane in lanes if lane not in used))
    return discarded

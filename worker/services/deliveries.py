"""Deliveries: list, trace and discard them; the trace of an event, with the subscriptions that it did not match."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import starmap

from worker import sources
from worker.bootstrap.context import AppContext
from worker.domain.delivery import Attempt, Delivery, State, delivery_id, lane_parts
from worker.domain.errors import NotFound, UserError
from worker.domain.event import Event, EventState
from worker.domain.hints import NO_HINT, Action, Hint, Step, dead_letter_hint
from worker.domain.integration import Integration
from worker.domain.quiet_hours import format_quiet_reason
from worker.domain.subscription import Subscription
from worker.pipeline.delivery.event_loader import event_id_of, event_of
from worker.services.formatting import pluralize
from worker.services.lanes import lead_on, list_lanes_of
from worker.services.schemas import Mismatch
from worker.store.events import EventRecord
from worker.store.pagination import DeliveryFilter, Page, take_rows
from worker.store.stream import StreamEntry

READ_AT_ONCE, DISCARDED_AT_ONCE = 500, 100
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


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTrace:
    """An event and everything that happened to it."""

    id: str
    entry_id: str
    event: Event | None  #: None when the entry of the stream cannot be read.
    state: EventState
    reason: str = ""  #: Why there is no delivery.
    hint: Hint = NO_HINT
    deliveries: Sequence[DeliveryTrace] = ()
    mismatches: Sequence[Mismatch] = ()


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
    return await trace_delivery(app, delivery, await event_id_of(app.events, delivery.event_ref))


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


async def trace_event(app: AppContext, id_: str) -> list[EventTrace]:
    """Return the trace of every event with this id, or with this stream entry or delivery. Raises NotFound."""
    if records := await app.events.find(id_):
        return [await _trace_record(app, record) for record in records]
    if delivery := await app.deliveries.find(id_):
        event_id = await event_id_of(app.events, delivery.event_ref)
        records = await app.events.find(event_id) if event_id else []
        if records := [record for record in records if record.ref == delivery.event_ref]:
            return [await _trace_record(app, record) for record in records]
    if (letter := await app.dead_letters.find(id_)) and letter.delivery is None:
        return [EventTrace(id=id_, entry_id=id_, event=None, state=EventState.REJECTED, reason=letter.detail)]
    if entry := await app.stream.find_entry(id_):
        return await _trace_entry(app, entry)
    if lag := await app.stream.lag():
        text = f"There is no event {id_!r}. Ingest has not read {pluralize(lag, 'entry', 'entries')} of the stream."
        raise NotFound(text, Hint.of("To see why, ", Step(Action.RUN_DOCTOR), "."))
    raise NotFound(f"There is no event {id_!r}. It was never published here, or it is no longer kept.")


async def _trace_record(app: AppContext, record: EventRecord) -> EventTrace:
    """Return the trace of an event that ingest has read."""
    try:
        event = sources.parse(record.body, record.entry_id)
    except sources.Unreadable as error:
        raise UserError(f"This version cannot read the stored event: {error}.") from None
    deliveries, _ = await asyncio.gather(list_deliveries_of_event(app, event), app.subscriptions.list_all())
    reason = record.suppressed
    if deliveries:
        states = {delivery.state.value for delivery in deliveries}
        state = next(state for state in EventState if state.value in states)
    elif not record.accepted:
        state, reason = EventState.WAITING, "ingest is reading it"
    elif reason:
        state = EventState.SUPPRESSED
    else:
        state, reason = EventState.FORGOTTEN, "its deliveries are finished and no longer kept"
    return EventTrace(
        id=event.id,
        entry_id=event.entry_id,
        event=event,
        state=state,
        reason=reason,
        deliveries=await asyncio.gather(*(_trace_delivery(app, delivery, event) for delivery in reversed(deliveries))),
        mismatches=await _find_mismatches(app, event, state, {delivery.subscription_id for delivery in deliveries}),
    )


async def _trace_delivery(app: AppContext, delivery: Delivery, event: Event) -> DeliveryTrace:
    """Return the trace of a delivery, with the values that made its destination, or that it follows its card."""
    trace = await trace_delivery(app, delivery, event.id)
    subscription = app.subscriptions.by_id.get(delivery.subscription_id)
    if subscription is None:
        return trace
    mismatch, choice = subscription.filters.mismatch_reason(event), subscription.choose(event)
    is_elsewhere = choice.reason and choice.destination != lane_parts(delivery.lane)[1]
    if mismatch or (is_elsewhere and subscription.uses_lane(delivery.lane)):
        return replace(trace, reason=f"follows its card: {mismatch or choice.reason}")
    return trace if is_elsewhere else replace(trace, reason=choice.reason)


async def _trace_entry(app: AppContext, entry: StreamEntry) -> list[EventTrace]:
    """Return the trace of a stream entry: that of its event's record, or of an entry that ingest has not read."""
    try:
        event = sources.parse(entry.fields.get(b"event", b""), entry.id)
    except sources.Unreadable as error:
        reason = f"ingest has not read it, and it is not an event: {error}"
        return [EventTrace(id=entry.id, entry_id=entry.id, event=None, state=EventState.WAITING, reason=reason)]
    if records := await app.events.find(event.id):
        return [await _trace_record(app, record) for record in records if record.ref == event.ref]
    readers, lag = await asyncio.gather(app.processes.list_alive("ingest"), app.stream.lag())
    state, mismatches = EventState.WAITING, await _find_mismatches(app, event, EventState.WAITING, set())
    reason = f"it is one of {lag} unread entries" if readers else "no ingest is running"
    hint = NO_HINT if readers else Hint.of("To start one, ", Step(Action.START_PROCESSES), ".")
    return [
        EventTrace(
            id=event.id, entry_id=entry.id, event=event, state=state, reason=reason, hint=hint, mismatches=mismatches
        )
    ]


async def _find_mismatches(app: AppContext, event: Event, state: EventState, matched: set[str]) -> list[Mismatch]:
    now_ms = await app.redis.now_ms()
    oldest_kept_ms = now_ms - app.settings.retention_s * 1000
    mismatches = []
    for subscription in await app.subscriptions.list_all():
        if subscription.id in matched:
            continue
        if not (reason := subscription.mismatch_reason(event, now_ms)):
            if state is EventState.WAITING:
                reason = "it matches; ingest has not read the event"
            elif subscription.created_at_ms > event.accepted_at_ms:
                reason = "it was added after the event was accepted"
            elif event.accepted_at_ms < oldest_kept_ms:
                reason = "it matches; its delivery is no longer kept, or it was changed since"
            else:
                reason = "it matches now: it was changed, or resumed, after the event was accepted"
        mismatches.append(Mismatch(subscription_id=subscription.id, reason=reason))
    return mismatches


async def discard_pending(app: AppContext, removed: Sequence[Subscription]) -> int:
    """Discard the pending deliveries of removed subscriptions, but none that is being sent; return their number."""
    discarded, lanes = 0, set[str]()
    for start in range(0, len(removed), DISCARDED_AT_ONCE):
        batch = removed[start : start + DISCARDED_AT_ONCE]
        own = [(lane, sub.id) for sub in batch for lane in await list_lanes_of(app, sub)]
        lanes.update(lane for lane, _ in own)
        discarded += sum(await asyncio.gather(*starmap(app.lanes.discard_of_subscription, own)))
    await app.subscriptions.list_all()
    used = app.subscriptions.lanes_used
    await app.lanes.unpin_addresses(sorted(lane for lane in lanes if lane not in used))
    return discarded

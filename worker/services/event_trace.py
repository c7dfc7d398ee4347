"""Event traces: the state of an event, its deliveries, and the subscriptions that it did not match."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker import sources
from worker.bootstrap.context import AppContext
from worker.domain.delivery import Delivery, lane_parts
from worker.domain.errors import NotFound, UserError
from worker.domain.event import Event, EventState
from worker.domain.hints import NO_HINT, Action, Hint, Step
from worker.pipeline.delivery.event_loader import event_id_of
from worker.services.deliveries import DeliveryTrace, list_deliveries_of_event, trace_delivery
from worker.services.formatting import pluralize
from worker.services.schemas import Mismatch
from worker.store.events import EventRecord
from worker.store.stream import StreamEntry


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

"""The whole way of an event: what became of it, for whom it was and for whom not, and why."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker import sources
from worker.asking.rows import permalink
from worker.domain.dead_letter import hint
from worker.domain.delivery import Attempt, Delivery, State, delivery_id, event_ref, lane_parts
from worker.domain.errors import Missing, Problem
from worker.domain.event import Event
from worker.domain.integration import Integration
from worker.domain.quiet import in_words
from worker.domain.subscription import Subscription
from worker.pipeline.reading import event_id_of
from worker.store.events import Record
from worker.store.stream import StreamEntry

if TYPE_CHECKING:
    from worker.bootstrap import Services

WAITING, REJECTED, SUPPRESSED, FORGOTTEN = "waiting", "rejected", "suppressed", "forgotten"
"""States of an event that has no delivery; else it has that of the most telling one."""
MOST_TELLING = (State.DEAD, State.PARKED, State.PENDING, State.DELIVERED, State.MERGED, State.DISCARDED)
MOST_LOOKED_THROUGH = 10_000


@dataclass(frozen=True, slots=True)
class Way:
    """One delivery of an event: its calls to Slack, what it waits for, and the step that frees it.

    `template_fault`: why it was told with the default message.
    """

    delivery: Delivery
    attempts: Sequence[Attempt]
    waits: str = ""
    hint: str = ""
    permalink: str = ""
    template_fault: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """An event and what became of it; `event` is None when nobody could read it."""

    id: str
    entry_id: str
    event: Event | None
    state: str
    reason: str = ""
    ways: Sequence[Way] = ()
    unmatched: Sequence[tuple[str, str]] = ()


async def stories(made: "Services", event_id: str) -> list[Story]:
    """Every event with this id, one a source; also by an entry's or a delivery's id. Missing without any."""
    if records := await made.events.find(event_id):
        return [await _kept(made, record) for record in records]
    if delivery := await made.deliveries.find(event_id):
        told = await event_id_of(made.events, delivery.event_ref)
        if told and (records := await made.events.find(told)):
            return [await _kept(made, one) for one in records if one.ref == delivery.event_ref]
    if (letter := await made.dead_letters.find(event_id)) and letter.delivery is None:
        return [Story(event_id, event_id, None, REJECTED, letter.detail)]
    if entry := await made.stream.entry(event_id):
        return await _in_stream(made, entry)
    raise Missing(f"No event {event_id!r} is known{await _why_unknown(made)}")


async def deliveries_of(made: "Services", event: Event) -> list[Delivery]:
    """Its deliveries, newest first; those of subscriptions that were removed too."""
    ids = [delivery_id(event.source, event.id, one) for one in await made.subscriptions.ever()]
    found = await made.deliveries.some(await made.deliveries.kept(ids))
    return sorted(found, key=lambda one: (one.created_at_ms, one.id), reverse=True)


async def way_of(made: "Services", delivery: Delivery) -> Way:
    """What is to be known of one delivery."""
    attempts, integrations, fault = await asyncio.gather(
        made.deliveries.attempts(delivery),
        made.integrations.all(),
        made.drain.template_faults.of(delivery.id),
    )
    integration_id, _ = lane_parts(delivery.lane)
    integration = next((one for one in integrations if one.id == integration_id), None)
    link = permalink(integration, delivery.channel, delivery.ts)
    way = Way(delivery, attempts, permalink=link, template_fault=str(fault or ""))
    match delivery.state:
        case State.PARKED:
            return await _parked(made, way, integration)
        case State.PENDING:
            return replace(way, waits=await _waits(made, delivery))
        case State.DEAD:
            return replace(way, hint=hint(delivery.error, delivery.id))
        case _:
            return way


async def _kept(made: "Services", record: Record) -> Story:
    try:
        event = sources.read(record.body, record.entry_id)
    except sources.Unreadable as error:
        raise Problem(f"The event is kept, and cannot be read by this version: {error}.") from None
    found = await deliveries_of(made, event)
    ways = await asyncio.gather(*(way_of(made, one) for one in reversed(found)))
    states = {one.state for one in found}
    reason = record.suppressed
    if states:
        state: str = next(one for one in MOST_TELLING if one in states)
    elif not record.accepted:
        state, reason = WAITING, "it is being read"
    elif reason:
        state = SUPPRESSED
    else:
        state, reason = FORGOTTEN, "its deliveries are finished and no longer kept"
    unmatched = await _unmatched(made, event, {one.subscription_id for one in found}, state)
    return Story(event.id, event.entry_id, event, state, reason, ways, unmatched)


async def _in_stream(made: "Services", entry: StreamEntry) -> list[Story]:
    """An entry nobody has read yet, or one that brought an event which is kept under its own id."""
    try:
        event = sources.read(entry.fields.get(b"event", b""), entry.id)
    except sources.Unreadable as error:
        return [Story(entry.id, entry.id, None, WAITING, f"it was not read yet, and is no event: {error}")]
    if records := await made.events.find(event.id):
        ref = event_ref(event.source, event.id)
        return [await _kept(made, one) for one in records if one.ref == ref]
    unmatched = await _unmatched(made, event, set(), WAITING)
    return [Story(event.id, entry.id, event, WAITING, await _unread(made), (), unmatched)]


async def _unmatched(made: "Services", event: Event, matched: set[str], state: str) -> list[tuple[str, str]]:
    subscriptions = await made.subscriptions.all()
    old_ms = await made.server.now_ms() - made.settings.retention_s * 1000
    return [
        (one.id, one.why_not(event) or _why_now_only(one, event, state, old_ms))
        for one in subscriptions
        if one.id not in matched
    ]


def _why_now_only(subscription: Subscription, event: Event, state: str, old_ms: int) -> str:
    """Why an event that would match today made no delivery."""
    if state == WAITING:
        return "it matches; the event was not read yet"
    if subscription.created_at_ms > event.accepted_at_ms:
        return "it was added after the event was accepted"
    if event.accepted_at_ms < old_ms:
        return "it matches; its delivery is no longer kept, or it was changed since"
    return "it matches now: it was changed, or resumed, after the event was accepted"


async def _parked(made: "Services", way: Way, integration: Integration | None) -> Way:
    note = await made.upkeep.lane_note(way.delivery.lane)
    if note["parked"] or integration is None:
        return replace(way, waits=note["reason"], hint=note["hint"])
    return replace(way, waits=integration.reason, hint=integration.hint)


async def _waits(made: "Services", delivery: Delivery) -> str:
    """What a pending delivery waits for."""
    note, before, workers = await asyncio.gather(
        made.upkeep.lane_note(delivery.lane),
        made.deliveries.waiting(delivery.lane, most=MOST_LOOKED_THROUGH),
        made.upkeep.alive("worker"),
    )
    if not workers:
        return "no worker is running: start one with `ik-slack up`"
    if until_ms := await made.deliveries.held_until_ms(delivery):
        zones = (
            one.time_zone for one in await made.subscriptions.all() if one.id == delivery.subscription_id
        )
        return in_words(until_ms, next(zones, ""))
    if note["snoozed"]:
        return note["snoozed"]
    ahead = before.index(delivery.id) if delivery.id in before else 0
    return f"{ahead} before it in its lane" if ahead else "its turn is next"


async def _unread(made: "Services") -> str:
    readers, lag = await asyncio.gather(made.upkeep.alive("ingest"), made.stream.lag())
    if readers:
        return f"it is one of {lag} entries that are being read"
    return "it was not read yet, since no ingest is running: start one with `ik-slack up`"


async def _why_unknown(made: "Services") -> str:
    """What may have kept an event from being known."""
    lag = await made.stream.lag()
    if lag:
        unread = "1 entry of the stream was" if lag == 1 else f"{lag} entries of the stream were"
        return f"; {unread} not read yet (see `ik-slack doctor`)."
    return ": it was never published here, or longer ago than events are kept."

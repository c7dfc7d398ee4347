"""Ingest: reads the stream, routes each event to subscriptions, and appends the deliveries to their lanes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from worker import sources
from worker.domain.card import FollowedCard, can_have_card
from worker.domain.delivery import delivery_id, lane_name
from worker.domain.errors import UserError
from worker.domain.event import Event, Kind
from worker.domain.subscription import Subscription
from worker.domain.subscription_index import SubscriptionIndex
from worker.pipeline.gateway import Sleep
from worker.store.cards import FollowedCards
from worker.store.events import AcceptedEvent, Events, KnownEntity, SaveResult
from worker.store.installation import InstallationMarker, Processes
from worker.store.lanes import Lanes, NewDelivery
from worker.store.redis_client import RedisClient
from worker.store.redis_errors import StoreUnavailable, log_redis_error
from worker.store.stream import EventStream, StreamEntry
from worker.store.subscriptions import Subscriptions
from worker.telemetry import log_event

log = logging.getLogger("worker.ingest")

BATCH = 100  # entries of up to 256 KiB, all in memory at once
BATCH_BYTES = 32 * 1024 * 1024  # of larger entries fewer are read at once
READ_WAIT_MS = 1_000
CLAIM_IDLE_MS = 10_000  # a batch takes far less: the consumer that read these entries has died
MAINTENANCE_EVERY_S = 3.0
CONSUMER_IDLE_MS = 3_600_000
MIN_RETRY_S, MAX_RETRY_S = 0.5, 10.0

Wake = Callable[[Sequence[str]], Awaitable[None]]


def new_delivery(event: Event, subscription_id: str, quiet_until_ms: int = 0) -> NewDelivery:
    """Return the delivery of an event for a subscription; its id is the same each time."""
    id_ = delivery_id(event.source, event.id, subscription_id)
    return NewDelivery(id_, event.ref, subscription_id, event.accepted_at_ms, quiet_until_ms, event.severity)


def accepted_event(event: Event, *, is_repeat: bool = False, suppressed: str = "") -> AcceptedEvent:
    """Return the record of an event that the ledger counts."""
    return AcceptedEvent(event.ref, event.entry_id, event.kind, is_repeat, suppressed)


def _is_incomplete(event: Event) -> bool:
    """Return whether the event is an own body of InfraKitchen without the name or the state of its entity."""
    has_entity = event.entity.id and event.kind is not Kind.ALERT
    return bool(has_entity and event.is_named_by_entry and not (event.entity.name and event.state))


async def append_deliveries(lanes: Lanes, deliveries: Iterable[tuple[str, NewDelivery]]) -> list[str]:
    """Append deliveries, each with its lane, one call a lane; return the lanes to wake."""
    by_lane: dict[str, list[NewDelivery]] = {}
    for lane, delivery in deliveries:
        by_lane.setdefault(lane, []).append(delivery)
    must_wake = await asyncio.gather(*(_append(lanes, lane, appended) for lane, appended in by_lane.items()))
    return [lane for lane, wake in zip(by_lane, must_wake, strict=True) if wake]


async def _append(lanes: Lanes, lane: str, deliveries: Sequence[NewDelivery]) -> bool:
    appended = await lanes.append(lane, deliveries)
    if appended.overflowed:
        log_event(
            log, logging.ERROR, "lane full, oldest deliveries dead-lettered", lane=lane, overflowed=appended.overflowed,
            see="ik-slack dead-letters list --reason overflow",
        )  # fmt: skip
    return appended.wake


@dataclass(slots=True)
class Router:
    """Routes the events of a batch, in the order of the stream, to the subscriptions that they make deliveries for."""

    index: SubscriptionIndex
    followed: dict[str, dict[str, FollowedCard]]  #: By subject key and subscription id, as stored.
    now_ms: int
    changed: dict[str, dict[str, FollowedCard]] = field(default_factory=dict)  #: The part of `followed` to be saved.

    def route(self, event: Event) -> list[tuple[Subscription, str]]:
        """Return the subscriptions that make a delivery of the event, each with the lane.

        They are those that it matches, and those whose card it changes whatever the filters say. A card is changed
        where it is.
        """
        matching = self.index.match(event, self.now_ms)
        cards = self.followed.get(event.subject_key)
        if cards is None:
            return [(sub, lane_name(sub.integration_id, sub.choose(event).destination)) for sub in matching]
        following, matching_ids = self.index.following[event.kind], {sub.id for sub in matching}
        followed = [
            following[id_]
            for id_, card in cards.items()
            if id_ in following and id_ not in matching_ids and card.covers(event)
            if not following[id_].mute_reason(event, self.now_ms)
        ]
        routes: list[tuple[Subscription, str]] = []
        for sub in (*matching, *followed):
            known = cards.get(sub.id)
            destination = _destination_of_card(sub, known, event) or sub.choose(event).destination
            if not destination:
                continue
            routes.append((sub, lane_name(sub.integration_id, destination)))
            card = FollowedCard.after(known, event, destination, is_match=sub.id in matching_ids)
            if sub.id in following and card and card is not known:
                cards[sub.id] = self.changed.setdefault(event.subject_key, {})[sub.id] = card
        return routes


def _destination_of_card(subscription: Subscription, card: FollowedCard | None, event: Event) -> str:
    """Return where the card is that an event changes; empty where there is none, or its subscription was moved."""
    if card is None or not card.covers(event):
        return ""
    lane = lane_name(subscription.integration_id, card.destination)
    return card.destination if subscription.uses_lane(lane) else ""


@dataclass(slots=True, kw_only=True)
class IngestConsumer:
    """One consumer of the stream; any number may run."""

    stream: EventStream
    events: Events
    lanes: Lanes
    followed_cards: FollowedCards
    subscriptions: Subscriptions
    redis: RedisClient  #: For the server's clock.
    processes: Processes
    installation: InstallationMarker
    wake: Wake  #: Sends a wake-up call for each lane.
    worker_id: str  #: This consumer's name among the live processes.
    stopping: Callable[[], bool]
    clock: Callable[[], float]  #: Monotonic seconds.
    sleep: Sleep = asyncio.sleep
    _indexed: tuple[Subscription, ...] | None = None
    _index: SubscriptionIndex = field(default_factory=lambda: SubscriptionIndex.build(()))
    _limit: int = BATCH  #: Entries to read at once: fewer after a large one, then more each time.
    _retry_s: float = 0.0
    _redis_failed: bool = False

    async def process(self, entries: Sequence[StreamEntry]) -> None:
        """Accept a batch of entries: parse, store, route, append to the lanes, acknowledge, wake.

        Processing a batch twice changes nothing. Until the last step the entries stay unacknowledged, so that this
        or another consumer processes them again after a crash.
        """
        largest = max((sum(map(len, entry.fields.values())) for entry in entries), default=0)
        self._limit = max(1, min(BATCH, 2 * self._limit, BATCH_BYTES // max(largest, 1)))
        parsed: Sequence[tuple[Event, bytes]] = [
            event_and_body for entry in entries if (event_and_body := await self._parse(entry))
        ]
        if not parsed:
            return
        published = {event.entry_id: body for event, body in parsed if event.is_named_by_entry}
        if published:
            parsed = await self._complete(parsed)
        statuses, subscriptions, now_ms = await asyncio.gather(
            self.events.save_bodies(parsed, published), self.subscriptions.list_all(), self.redis.now_ms()
        )
        if subscriptions is not self._indexed:
            self._indexed, self._index = subscriptions, SubscriptionIndex.build(subscriptions)
        index, events = self._index, [event for event, _ in parsed]
        followed = {event.subject_key for event in events if index.following[event.kind] and can_have_card(event)}
        router = Router(index, await self.followed_cards.find(sorted(followed)), now_ms)
        accepted: list[AcceptedEvent] = []
        deliveries: list[tuple[str, NewDelivery]] = []
        for event, status in zip(events, statuses, strict=True):
            is_repeat = status is SaveResult.REPEAT
            routed = [] if is_repeat else router.route(event)
            suppressed = "" if is_repeat or routed else index.suppression_reason(event, now_ms)
            accepted.append(accepted_event(event, is_repeat=is_repeat, suppressed=suppressed))
            deliveries += [
                (lane, new_delivery(event, sub.id, sub.quiet_until_ms(event, now_ms))) for sub, lane in routed
            ]
        await self.followed_cards.save(router.changed)
        lanes = await append_deliveries(self.lanes, deliveries)
        await self.events.accept(self.stream.stream, self.stream.group, accepted)
        if lanes:
            await self.wake(lanes)

    async def run(self) -> None:
        """Process entries until the process stops; wait and start again after an error.

        Raises UserError when a newer version of the program wrote the data in Redis.
        """
        while not self.stopping():
            try:
                await self._consume()
            except UserError:
                raise
            except Exception as error:
                self._retry_s = min(max(self._retry_s * 2, MIN_RETRY_S), MAX_RETRY_S)
                if isinstance(error, StoreUnavailable):
                    self._redis_failed = True
                    log_redis_error(log, error, next_try_s=self._retry_s)
                else:
                    log.exception("unexpected error while ingesting", extra={"next_try_s": self._retry_s})
                await self.sleep(self._retry_s)
        with suppress(StoreUnavailable):  # the heartbeat expires by itself
            await self.processes.remove_heartbeat("ingest", self.worker_id)

    async def _consume(self) -> None:
        await self.installation.check()
        await self.stream.create_group()
        if self._redis_failed:
            log.info("Redis answers again")
        self._redis_failed = False
        while entries := await self.stream.read_unfinished(limit=self._limit):
            await self.process(entries)
        maintenance_at = self.clock()
        while not self.stopping():
            if self.clock() >= maintenance_at:
                await self.processes.record_heartbeat("ingest", self.worker_id)
                while entries := await self.stream.claim_abandoned(idle_ms=CLAIM_IDLE_MS, limit=self._limit):
                    await self.process(entries)
                if lost := await self.stream.count_lost():
                    log_event(log, logging.ERROR, "events removed from the stream before they were read", lost=lost)
                await self.stream.trim()
                await self.stream.remove_idle_consumers(idle_ms=CONSUMER_IDLE_MS)
                maintenance_at = self.clock() + MAINTENANCE_EVERY_S
            if entries := await self.stream.read(limit=self._limit, wait_ms=READ_WAIT_MS):
                await self.process(entries)
            self._retry_s = 0.0

    async def _complete(self, parsed: Sequence[tuple[Event, bytes]]) -> Sequence[tuple[Event, bytes]]:
        """Give each own body of InfraKitchen that lacks them the last known name and state of its entity."""
        entities = {event.entity.key: event.entity for event, _ in parsed if _is_incomplete(event)}
        if not entities:
            return parsed
        oldest = parsed[0][0].entry_id
        found = await self.events.find_known_entities(
            self.stream.stream, self.stream.group, tuple(entities.values()), oldest
        )
        known = dict(zip(entities, found, strict=True))
        completed: list[tuple[Event, bytes]] = []
        for event, body in parsed:
            last = known.get(event.entity.key, KnownEntity())
            if _is_incomplete(event) and (last.name or last.state):
                completed_body = sources.with_metadata(body, name=last.name, state=last.state)
                completed.append((sources.parse(completed_body, event.entry_id), completed_body))
            else:
                completed.append((event, body))
            if event.kind is not Kind.ALERT:
                known[event.entity.key] = KnownEntity(event.entity.name or last.name, event.state or last.state)
        return completed

    async def _parse(self, entry: StreamEntry) -> tuple[Event, bytes] | None:
        """Return an entry's event and its body; keep it as a dead letter and return None when that fails."""
        body = entry.fields.get(b"event")
        if body is None:
            names = ", ".join(repr(name)[1:] for name in list(entry.fields)[:5]) or "none"
            detail = f"the entry has no field 'event' (its fields: {names[:200]})"
        else:
            try:
                return sources.parse(body, entry.id), body
            except sources.Unreadable as error:
                detail = str(error)
            except Exception as error:
                log.exception("unexpected error while parsing an entry")
                detail = f"an internal error occurred while parsing the entry ({type(error).__name__})"
        kept = {name: sources.mask_secrets(value) for name, value in entry.fields.items()}
        if await self.events.reject(self.stream.stream, self.stream.group, entry.id, kept, detail):
            log_event(log, logging.WARNING, "entry dead-lettered", entry=entry.id, detail=detail)
        return None

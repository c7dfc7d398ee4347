"""Ingest: entries of the stream are accepted, those too that a dead consumer had read."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from worker import sources
from worker.domain.delivery import delivery_id, event_ref
from worker.domain.event import Event
from worker.domain.subscription import Subscription
from worker.pipeline.accept import Acceptor, Routed, Router
from worker.pipeline.gateway import Sleep
from worker.pipeline.route import Index, index, route, why_suppressed
from worker.store.held import Entry
from worker.store.origin import Origin
from worker.store.outage import say_outage
from worker.store.server import Unavailable
from worker.store.stream import EventStream, StreamEntry
from worker.store.subscriptions import Subscriptions
from worker.store.upkeep import Upkeep
from worker.telemetry import say

log = logging.getLogger("worker.ingest")

BATCH = 100  # entries of up to 256 KiB: what a process may hold at once
WAIT_MS = 1_000
ABANDONED_MS = 10_000  # a batch takes far less; after this its consumer is taken for dead
CLAIM_EVERY_S, TRIM_EVERY_S = 5.0, 5.0
CONSUMER_FORGOTTEN_MS = 3_600_000
AWAY_S, AWAY_MOST_S = 0.5, 10.0

Wake = Callable[[Sequence[str]], Awaitable[None]]


@dataclass(slots=True)
class Ingest:
    """One consumer of the stream."""

    stream: EventStream
    acceptor: Acceptor
    subscriptions: Subscriptions
    upkeep: Upkeep
    origin: Origin
    wake: Wake
    who: str
    stopping: Callable[[], bool]
    clock: Callable[[], float]
    sleep: Sleep = asyncio.sleep
    _known: tuple[Subscription, ...] | None = None
    _index: Index = field(default_factory=lambda: index(()))

    async def run(self) -> None:
        """Until it is to stop: read, claim what the dead left, trim; while Redis is away, wait for it."""
        away_s = 0.0
        while not self.stopping():
            try:
                await self.origin.look()
                await self.stream.join()
                if away_s:
                    log.info("Redis answers again")
                away_s = 0.0
                await self._finish()
                await self._follow()
            except Unavailable as error:
                away_s = min(max(away_s * 2, AWAY_S), AWAY_MOST_S)
                say_outage(log, error, next_try_s=away_s)
                await self.sleep(away_s)
        with suppress(Unavailable):  # its last sign of life is forgotten soon anyway
            await self.upkeep.leave("ingest", self.who)

    async def _finish(self) -> None:
        """What this consumer read and did not finish."""
        while entries := await self.stream.unfinished(most=BATCH):
            await self.accept(entries)

    async def _follow(self) -> None:
        claim_at = trim_at = self.clock()
        while not self.stopping():
            if self.clock() >= claim_at:
                await self.upkeep.beat("ingest", self.who)
                while entries := await self.stream.claim(idle_ms=ABANDONED_MS, most=BATCH):
                    await self.accept(entries)
                claim_at = self.clock() + CLAIM_EVERY_S
            if entries := await self.stream.read(most=BATCH, wait_ms=WAIT_MS):
                await self.accept(entries)
            if self.clock() >= trim_at:
                await self.stream.trim()
                await self.stream.forget_idle_consumers(idle_ms=CONSUMER_FORGOTTEN_MS)
                trim_at = self.clock() + TRIM_EVERY_S

    async def accept(self, entries: Sequence[StreamEntry]) -> None:
        """One batch; doing it twice changes nothing."""
        events = [(event, _body(entry)) for entry in entries if (event := await self._read(entry))]
        if not events:
            return
        stream = self.stream
        lanes = await self.acceptor.accept(events, self._router(), stream=stream.stream, group=stream.group)
        if lanes:
            await self.wake(lanes)

    async def _router(self) -> Router:
        """By the subscriptions as they are now."""
        known = await self.subscriptions.all()
        if known is not self._known:
            self._known, self._index = known, index(known)
        now_ms = await self.upkeep.now_ms() if self._index.has_quiet_hours else 0
        return partial(_routed, self._index, now_ms)

    async def _read(self, entry: StreamEntry) -> Event | None:
        """The event of an entry; an unreadable one becomes a dead letter, whatever is wrong with it."""
        try:
            return sources.read(_body(entry), entry.id)
        except sources.Unreadable as error:
            detail = str(error)
        except Exception as fault:
            log.exception("a fault of this program")
            detail = f"a fault of this program while reading it ({type(fault).__name__})"
        stream, events = self.stream, self.acceptor.events
        if await events.reject(stream.stream, stream.group, entry.id, entry.fields, detail):
            say(log, logging.WARNING, "unreadable entry kept as a dead letter", entry=entry.id, detail=detail)
        return None


def _body(entry: StreamEntry) -> bytes:
    body = entry.fields.get(b"event")
    if body is None:
        names = ", ".join(repr(name)[1:] for name in list(entry.fields)[:5]) or "none"
        raise sources.Unreadable(f"the entry has no field 'event' (its fields: {names[:200]})")
    return body


def _routed(subscriptions: Index, now_ms: int, event: Event) -> Routed:
    found = route(event, subscriptions)
    if not found:
        return Routed((), why_suppressed(event, subscriptions))
    ref = event_ref(event.source, event.id)
    return Routed([(one.lane, _entry(event, ref, one, now_ms)) for one in found])


def _entry(event: Event, ref: str, subscription: Subscription, now_ms: int) -> Entry:
    id_ = delivery_id(event.source, event.id, subscription.id)
    until_ms = subscription.held_until_ms(event, now_ms)
    return Entry(id_, ref, subscription.id, event.accepted_at_ms, until_ms)

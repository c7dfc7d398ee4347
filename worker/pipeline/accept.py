"""Accept: events become deliveries in lanes and are counted; the one way in, whoever says what happened.

In this order, so that a crash anywhere only makes it happen again: bodies, deliveries, count and acknowledge.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from worker.domain.delivery import event_ref
from worker.domain.event import Event
from worker.store.events import Accepted, Events
from worker.store.held import Entry
from worker.store.lanes import Lanes
from worker.telemetry import say

log = logging.getLogger("worker.ingest")


@dataclass(frozen=True, slots=True)
class Routed:
    """What an event makes: deliveries, each with its lane; or why it makes none."""

    entries: Sequence[tuple[str, Entry]]
    suppressed: str = ""


Router = Callable[[Event], Routed]


@dataclass(frozen=True, slots=True)
class Acceptor:
    """The three steps, for a batch; whoever calls it does so again until it came to its end once."""

    events: Events
    lanes: Lanes

    async def accept(
        self, read: Sequence[tuple[Event, bytes]], routing: Awaitable[Router], *, stream: str, group: str
    ) -> list[str]:
        """Events with their bodies, entries of `stream`: the lanes to wake. Doing it twice changes nothing.

        What never was an entry names no stream, and nothing is acknowledged.
        """
        statuses, routed = await asyncio.gather(self.events.remember(read), routing)
        accepted: list[Accepted] = []
        by_lane: dict[str, list[Entry]] = {}
        for (event, _), status in zip(read, statuses, strict=True):
            ref, is_repeat = event_ref(event.source, event.id), status == "repeat"
            found = Routed(()) if is_repeat else routed(event)
            for lane, entry in found.entries:
                by_lane.setdefault(lane, []).append(entry)
            accepted.append(Accepted(ref, event.entry_id, event.kind, is_repeat, found.suppressed))
        awake = await asyncio.gather(*(self._append(lane, some) for lane, some in by_lane.items()))
        await self.events.accept(stream, group, accepted)
        return [lane for lane, wake in zip(by_lane, awake, strict=True) if wake]

    async def _append(self, lane: str, entries: Sequence[Entry]) -> bool:
        _, overflowed, wake = await self.lanes.append(lane, entries)
        if overflowed:
            say(log, logging.ERROR, "lane is full: its oldest deliveries are dead letters now", lane=lane,
                overflowed=overflowed, see="ik-slack dead-letters list --reason overflow")  # fmt: skip
        return wake

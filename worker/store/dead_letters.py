"""Dead letters: deliveries and unreadable entries that are not retried unless a person replays them."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from worker.domain.delivery import UNREADABLE, Delivery
from worker.domain.errors import UserError
from worker.store.deliveries import Deliveries
from worker.store.events import Events, unpack_fields
from worker.store.lanes import Lanes, ReplayResult
from worker.store.pagination import DEAD_CURSOR, PAGE_LIMIT, Page, load_index_page, take_rows
from worker.store.redis_client import RedisClient, RedisStore, fields, texts
from worker.telemetry import log_event

log = logging.getLogger("worker.mirror")

ENTRY_PARTS_LIMIT = 7_000  # what a script can pass to one command
TASK_PREFIX = "dead-"
SYNC_EVERY_S, FULL_SYNC_EVERY_S = 2.0, 60.0
FLOWER_MAX_LETTERS, FLOWER_BATCH = 10_000, 200


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead delivery, or an unreadable entry of the stream."""

    id: str  #: The delivery's or the entry's id.
    reason: str  #: The code of the reason.
    detail: str
    died_at_ms: int
    delivery: Delivery | None = None  #: None for an unreadable entry.
    raw: dict[bytes, bytes] | None = None  #: The fields of an unreadable entry.
    is_cut: bool = False  #: Of the fields of a large entry only the start is kept.


class DeadLetters(RedisStore):
    """The list of dead letters, the newest at the top, and what can be done with one."""

    def __init__(self, server: RedisClient, deliveries: Deliveries, events: Events, lanes: Lanes) -> None:
        super().__init__(server)
        self._deliveries, self._events, self._lanes = deliveries, events, lanes

    async def list_ids(self, *, limit: int = 0) -> list[str]:
        """Return the ids of the newest `limit` dead letters, 0 for all."""
        return texts(await self._server.command("ZREVRANGE", self._keys.named("dead"), 0, limit - 1))

    async def list_all(self, *, reason: str = "") -> list[DeadLetter]:
        """Return all dead letters, or those with one reason."""
        return await take_rows(partial(self.page, reason))

    async def page(self, reason: str = "", after: str | None = None, limit: int = 50) -> Page[DeadLetter]:
        """Return a page of all, or of those with one reason. Raises `UsageError` when `after` is no cursor of it."""
        index = self._keys.dead(reason) if reason else self._keys.named("dead")
        ids, following = await load_index_page(
            self._server, index, DEAD_CURSOR, after, min(limit, PAGE_LIMIT), with_rejected=True
        )
        letters = await asyncio.gather(*map(self.find, ids))
        return Page(tuple(letter for letter in letters if letter), following)

    async def count_by_reason(self) -> dict[str, int]:
        """Return the number of dead letters of each reason."""
        reasons = await self._list_reasons()
        counts = await self._server.pipeline([("ZCARD", self._keys.dead(reason)) for reason in reasons])
        return {reason: int(count) for reason, count in zip(reasons, counts, strict=True) if count}

    async def count_critical(self) -> int:
        """Return the number of dead letters whose event is critical."""
        return int(await self._server.command("ZCARD", self._keys.named("dead:critical")))

    async def find(self, id_: str) -> DeadLetter | None:
        """Return a dead letter by its delivery's or entry's id."""
        if "-" in id_:
            stored = fields(await self._server.command("HGETALL", self._keys.rejected(id_)))
            if not stored or stored["state"] != "dead":
                return None
            raw = unpack_fields(stored["raw"])
            died_at_ms, is_cut = int(stored["finished"]), stored.get("cut") == "1"
            return DeadLetter(id_, UNREADABLE, stored["detail"], died_at_ms, raw=raw, is_cut=is_cut)
        delivery = await self._deliveries.find(id_)
        if delivery is None or delivery.state != "dead":
            return None
        return DeadLetter(id_, delivery.error, delivery.detail, delivery.finished_at_ms, delivery)

    async def exists(self, id_: str) -> bool:
        """Return whether a delivery or unreadable entry with this id is kept, dead or not."""
        return bool(await self._server.command("EXISTS", self._keys.rejected(id_), self._keys.delivery(id_)))

    async def replay(self, letter: DeadLetter, stream: str, who: str = "") -> ReplayResult:
        """Put a dead letter back into its lane or `stream`, if it has fields. Raises `UserError` if it is too large."""
        if letter.delivery is not None:
            return await self._lanes.replay(letter.delivery.lane, letter.id, self._events.life_s, who)
        if letter.is_cut:
            raise UserError(
                f"Only the start of the entry {letter.id} was kept, because it was large: publish its event again, "
                "then discard the dead letter."
            )
        flat = [part for pair in (letter.raw or {}).items() for part in pair]
        if len(flat) > ENTRY_PARTS_LIMIT:
            raise UserError(
                f"The entry {letter.id} has {len(flat) // 2} fields, too many to put back in one step. "
                "Publish its event again, then discard the dead letter."
            )
        return ReplayResult(replayed=await self._close_entry(letter, stream, flat) if flat else 0, wake=False)

    async def list_lanes_to_replay(self) -> list[str]:
        """Return the lanes that work again and have deliveries that expired while they were parked."""
        return texts(await self._server.command("ZRANGE", self._keys.named("dead:missed"), 0, -1))

    async def replay_expired(self, lane: str) -> ReplayResult:
        """Replay the deliveries that expired while the lane was parked, each once."""
        return await self._lanes.replay(lane, "", self._events.life_s)

    async def discard(self, letter: DeadLetter, who: str = "") -> bool:
        """Discard a dead letter; return whether it was still one."""
        if letter.delivery is None:
            return bool(await self._close_entry(letter, self._keys.named("unused"), ()))
        return await self._lanes.discard(letter.delivery.lane, letter.id, who)

    async def remove_old(self, before_ms: int) -> int:
        """Remove from the lists those that died before, whose records are gone; return their count."""
        reasons = map(self._keys.dead, await self._list_reasons())
        names = [self._keys.named("dead"), self._keys.named("dead:critical"), *reasons]
        removed = await self._server.pipeline([("ZREMRANGEBYSCORE", name, "-inf", before_ms) for name in names])
        return int(removed[0])

    async def get_change_count(self) -> int:
        """Return a number that changes with the list."""
        return int(await self._server.command("GET", self._keys.named("dead:changes")) or 0)

    async def _list_reasons(self) -> list[str]:
        return sorted(texts(list(await self._server.command("SMEMBERS", self._keys.named("dead:reasons")))))

    async def _close_entry(self, letter: DeadLetter, stream: str, flat: Sequence[bytes]) -> int:
        named = map(self._keys.named, ("dead", "dead:changes", "ledger"))
        names = (self._keys.rejected(letter.id), *named, stream)
        return int(await self._server.run_script("rejected_close", names, (letter.id, UNREADABLE, *flat)))


class FlowerQueue:
    """The broker's queue `dead_letters`, whose length Flower shows: one Celery message per dead letter."""

    def __init__(self, broker: RedisClient, name: str) -> None:
        self._broker, self._name = broker, name

    async def list_messages(self) -> dict[str, list[bytes]]:
        """Return the queue's messages by dead letter, whose id is in the task id."""
        messages: dict[str, list[bytes]] = {}
        for message in await self._broker.command("LRANGE", self._name, 0, -1):
            messages.setdefault(_task_id(message).removeprefix(TASK_PREFIX), []).append(message)
        return messages

    async def remove(self, messages: Collection[bytes]) -> None:
        """Remove messages from the queue."""
        await self._broker.pipeline([("LREM", self._name, 0, message) for message in messages])


def _task_id(message: bytes) -> str:
    """Return the task id of a Celery message; empty for any other message."""
    try:
        return str(json.loads(message)["headers"]["id"])
    except (ValueError, KeyError, TypeError):
        return ""


@dataclass(slots=True, kw_only=True)
class FlowerSync:
    """Makes Flower's queue hold a message for each of the newest dead letters, by comparing the two now and then."""

    dead_letters: DeadLetters
    queue: FlowerQueue
    publish: Callable[[list[DeadLetter]], Awaitable[None]]  #: Sends a Celery message for each dead letter.
    clock: Callable[[], float]  #: Monotonic seconds.
    _synced_change: int = -1
    _next_sync_at: float = 0.0
    _next_full_sync_at: float = 0.0

    async def run(self) -> None:
        """Compare and correct the queue when the dead letters changed, and every FULL_SYNC_EVERY_S."""
        now = self.clock()
        if now < self._next_sync_at:
            return
        self._next_sync_at = now + SYNC_EVERY_S
        change = await self.dead_letters.get_change_count()
        if change == self._synced_change and now < self._next_full_sync_at:
            return
        if await self.correct_queue():
            self._synced_change, self._next_full_sync_at = change, now + FULL_SYNC_EVERY_S

    async def correct_queue(self) -> bool:
        """Remove wrong and duplicate messages, and publish up to FLOWER_BATCH missing ones; return whether all are."""
        wanted = await self.dead_letters.list_ids(limit=FLOWER_MAX_LETTERS)
        queued, kept = await self.queue.list_messages(), set(wanted)
        await self.queue.remove(
            {message for id_, of_id in queued.items() for message in (of_id[1:] if id_ in kept else of_id)}
        )
        missing = [id_ for id_ in reversed(wanted) if id_ not in queued]
        letters = [letter for id_ in missing[:FLOWER_BATCH] if (letter := await self.dead_letters.find(id_))]
        if letters:
            await self.publish(letters)
            log_event(log, logging.INFO, "dead letters published to Flower", letters=len(letters))
        return len(missing) <= FLOWER_BATCH

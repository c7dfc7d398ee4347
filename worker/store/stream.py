"""The stream that InfraKitchen publishes to; an entry stays until its deliveries are in their lanes."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from worker.store.redis_client import RedisClient, fields, text, texts
from worker.store.redis_errors import RedisFailure, StoreUnavailable, store_errors

_COUNT_ENTRIES = 500
LAST_POSSIBLE_ID = f"{2**64 - 1}-{2**64 - 1}"


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """An entry as published: any fields, any bytes."""

    id: str
    fields: dict[bytes, bytes]


class EventStream:
    """The stream as one consumer of our group reads it; `blocking` is a connection of its own, for waiting."""

    def __init__(self, server: RedisClient, blocking: "Redis", *, stream: str, group: str, consumer: str) -> None:
        self._server = server
        self._blocking = blocking
        self.stream, self.group, self.consumer = stream, group, consumer

    async def create_group(self) -> None:
        """Create the group at the stream's begin, so that entries published before are read too."""
        try:
            await self._server.command("XGROUP", "CREATE", self.stream, self.group, "0", "MKSTREAM")
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def publish(self, events: Sequence[bytes]) -> list[str]:
        """Append events, all in one step or none, and return the ids of their entries."""
        return texts(await self._server.transaction(*(("XADD", self.stream, "*", "event", raw) for raw in events)))

    async def read(self, *, limit: int, wait_ms: int) -> list[StreamEntry]:
        """Return new entries, waiting up to `wait_ms` for the first."""
        return await self._read(">", limit, "BLOCK", wait_ms)

    async def read_unfinished(self, *, limit: int) -> list[StreamEntry]:
        """Return entries that this consumer read and has not acknowledged, as their batch failed."""
        return await self._read("0", limit)

    async def claim_abandoned(self, *, idle_ms: int, limit: int) -> list[StreamEntry]:
        """Return entries that dead consumers read and have not acknowledged; they are this consumer's now."""
        after, entries = "0-0", list[StreamEntry]()
        while not entries:  # a call examines a few hundred entries only
            after, claimed, *_ = await self._server.command(
                "XAUTOCLAIM", self.stream, self.group, self.consumer, idle_ms, after, "COUNT", limit
            )
            entries = _entries(claimed)
            if text(after) == "0-0":
                break
        return entries

    async def find_entry(self, entry_id: str) -> StreamEntry | None:
        """Return an entry by its id while it is in the stream."""
        try:
            entries = _entries(await self._server.command("XRANGE", self.stream, entry_id, entry_id))
        except ResponseError:  # not an entry's id
            return None
        return entries[0] if entries else None

    async def trim(self) -> int:
        """Remove entries that every group of the stream has acknowledged; return their count."""
        groups = await self._groups()
        if not groups:
            return 0
        first_needed: list[str] = []
        for group in groups:  # what is unacknowledged is read after the group's own place, so never too late
            ms, sequence = entry_order(group["last-delivered-id"])
            unacknowledged = await self._server.command("XPENDING", self.stream, group["name"])
            first_needed.append(text(unacknowledged["min"]) or f"{ms}-{sequence + 1}")
        return int(await self._server.command("XTRIM", self.stream, "MINID", min(first_needed, key=entry_order)))

    async def exists(self) -> bool:
        """Return whether the stream exists: an event was published or our group was created."""
        return bool(await self._server.command("EXISTS", self.stream))

    async def require_writable(self) -> None:
        """Raise `StoreUnavailable` when the stream could not take an event now."""
        with suppress(ResponseError):  # Redis checks rights, memory and role first, and never takes the id 0-0
            await self._server.command("XADD", self.stream, "0-0", "event", "")
        if await self.exists():
            info = fields(await self._server.command("XINFO", "STREAM", self.stream))
            if info["last-generated-id"] == LAST_POSSIBLE_ID:
                raise StoreUnavailable(RedisFailure.EXHAUSTED)

    async def lag(self) -> int:
        """Return the number of entries that our group has not acknowledged.

        Redis's own lag still counts entries that XTRIM removed unread; no more than the stream's length can be unread.
        """
        length = int(await self._server.command("XLEN", self.stream))
        for group in await self._groups():
            if group["name"] == self.group:
                lag = int(group["lag"]) if group.get("lag") else await self._count_after(group["last-delivered-id"])
                return min(lag, length) + int(group["pending"])
        return length

    async def first_unread_ms(self) -> int:
        """Return when the stream accepted the oldest entry that our group has not read; 0 when it has read all."""
        read_up_to = {group["name"]: group["last-delivered-id"] for group in await self._groups()}
        after = f"({read_up_to.get(self.group, '0-0')}"
        entries = await self._server.command("XRANGE", self.stream, after, "+", "COUNT", 1)
        return entry_order(text(entries[0][0]))[0] if entries else 0

    async def count_lost(self) -> int:
        """Count entries removed before our group read them; return the new ones, 0 on Redis 6, which lacks counts."""
        names = (self.stream, self._server.keys.named("ledger"))
        return int(await self._server.run_script("stream_lost", names, (self.group,)))

    async def remove_idle_consumers(self, *, idle_ms: int) -> None:
        """Remove consumers without unacknowledged entries that have not read for long."""
        await self._server.run_script("consumers_remove", (self.stream,), (self.group, idle_ms))

    async def _read(self, after: str, limit: int, *options: str | int) -> list[StreamEntry]:
        words = ("XREADGROUP", "GROUP", self.group, self.consumer, "COUNT", limit, *options)
        with store_errors():
            answer = await self._blocking.execute_command(  # type: ignore[no-untyped-call]  # redis-py has no types here
                *words, "STREAMS", self.stream, after
            )
        return _entries(answer[0][1]) if answer else []

    async def _groups(self) -> list[dict[str, str]]:
        """Return the stream's groups; `lag` is empty when the server does not know it, or missing before Redis 7."""
        try:
            return [fields(group) for group in await self._server.command("XINFO", "GROUPS", self.stream)]
        except ResponseError:  # there is no stream
            return []

    async def _count_after(self, last: str) -> int:
        count, entries = 0, [None] * _COUNT_ENTRIES
        while len(entries) == _COUNT_ENTRIES:
            entries = await self._server.command("XRANGE", self.stream, f"({last}", "+", "COUNT", _COUNT_ENTRIES)
            count += len(entries)
            last = text(entries[-1][0]) if entries else last
        return count


def entry_order(entry_id: str) -> tuple[int, int]:
    """Return the sort key of an entry's id."""
    ms, _, sequence = entry_id.partition("-")
    return int(ms), int(sequence or 0)


def _entries(reply: Any) -> list[StreamEntry]:
    """Return a reply's entries; one deleted meanwhile has no fields, or (claimed, before Redis 7) is missing."""
    return [StreamEntry(text(id_), pairs) for id_, pairs in reply if id_ is not None]

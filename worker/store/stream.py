"""The stream InfraKitchen publishes to: the log of record until the lanes are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from worker.store.server import Server, text, texts

_PAGE = 500


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One entry, as it came: any fields, any bytes."""

    id: str
    fields: dict[bytes, bytes]


class EventStream:
    """Reads a stream as one consumer of our group. `blocking` is a connection of its own, for waiting."""

    def __init__(self, server: Server, blocking: "Redis", *, stream: str, group: str, consumer: str) -> None:
        self._server = server
        self._blocking = blocking
        self.stream, self.group, self.consumer = stream, group, consumer

    async def join(self) -> None:
        """Make the group at the stream's beginning, so that what was published before is told too."""
        try:
            await self._server.command("XGROUP", "CREATE", self.stream, self.group, "0", "MKSTREAM")
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def publish(self, events: Sequence[bytes]) -> list[str]:
        """Append events at the end, all of them in one step or none: their entries' ids."""
        return texts(
            await self._server.together(*(("XADD", self.stream, "*", "event", raw) for raw in events))
        )

    async def read(self, *, most: int, wait_ms: int) -> list[StreamEntry]:
        """New entries, waiting up to `wait_ms` for the first."""
        return await self._read(">", most, "BLOCK", wait_ms)

    async def unfinished(self, *, most: int) -> list[StreamEntry]:
        """What this consumer read and has not acknowledged: a batch that failed half way."""
        return await self._read("0", most)

    async def claim(self, *, idle_ms: int, most: int) -> list[StreamEntry]:
        """What a dead consumer left behind."""
        after, entries = "0-0", list[StreamEntry]()
        while not entries:  # one call looks at a few hundred only, however many are in work
            after, found, *_ = await self._server.command(
                "XAUTOCLAIM", self.stream, self.group, self.consumer, idle_ms, after, "COUNT", most
            )
            entries = _entries(found)
            if text(after) == "0-0":
                break
        return entries

    async def entry(self, entry_id: str) -> StreamEntry | None:
        """One entry by its id, while it is still in the stream."""
        try:
            found = _entries(await self._server.command("XRANGE", self.stream, entry_id, entry_id))
        except ResponseError:
            return None
        return found[0] if found else None

    async def trim(self) -> int:
        """Drop what every group of the stream has acknowledged: how many entries."""
        groups = await self._groups()
        if not groups:
            return 0
        oldest = min([await self._needed_from(group) for group in groups], key=_order)
        return int(await self._server.command("XTRIM", self.stream, "MINID", oldest))

    async def is_there(self) -> bool:
        """Whether anything was published or our group was made."""
        return bool(await self._server.command("EXISTS", self.stream))

    async def lag(self) -> int:
        """How many entries our group has not finished."""
        for group in await self._groups():
            if group["name"] == self.group:
                unread = group["lag"]
                if unread is None:  # servers before 7 do not count it
                    unread = await self._count_after(group["last"])
                return int(unread) + int(group["pending"])
        return int(await self._server.command("XLEN", self.stream))

    async def forget_idle_consumers(self, *, idle_ms: int) -> None:
        """Remove consumers that hold nothing and have not been seen for long."""
        await self._server.script("consumers_forget", (self.stream,), (self.group, idle_ms))

    async def _read(self, after: str, most: int, *waiting: str | int) -> list[StreamEntry]:
        words = ("XREADGROUP", "GROUP", self.group, self.consumer, "COUNT", most, *waiting)
        answer = await self._blocking.execute_command(  # type: ignore[no-untyped-call]  # redis-py has no types here
            *words, "STREAMS", self.stream, after
        )
        return _entries(answer[0][1]) if answer else []

    async def _groups(self) -> list[dict[str, Any]]:
        try:
            answer = await self._server.command("XINFO", "GROUPS", self.stream)
        except ResponseError:
            return []
        found = map(_named, answer)
        return [
            {
                "name": text(group["name"]),
                "pending": int(group["pending"]),
                "last": text(group["last-delivered-id"]),
                "lag": group.get("lag"),
            }
            for group in found
        ]

    async def _count_after(self, last: str) -> int:
        count = 0
        while True:
            page = await self._server.command("XRANGE", self.stream, f"({last}", "+", "COUNT", _PAGE)
            count += len(page)
            if len(page) < _PAGE:
                return count
            last = text(page[-1][0])

    async def _needed_from(self, group: dict[str, Any]) -> str:
        """The first entry a group may still need; read after the group's own place, so never too late."""
        answer = await self._server.command("XPENDING", self.stream, group["name"])
        ms, _, n = group["last"].partition("-")
        return text(answer["min"]) or f"{ms}-{int(n) + 1}"


def _order(entry_id: str) -> tuple[int, int]:
    ms, _, n = entry_id.partition("-")
    return int(ms), int(n or 0)


def _named(row: list[Any]) -> dict[str, Any]:
    """A map of an XINFO answer."""
    return {text(name): value for name, value in zip(row[::2], row[1::2], strict=True)}


def _entries(found: Any) -> list[StreamEntry]:
    """Entries of a reply; one deleted meanwhile has no fields, or (claimed, before Redis 7) is missing."""
    return [StreamEntry(text(id_), pairs) for id_, pairs in found if id_ is not None]

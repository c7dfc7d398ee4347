"""Dead letters: deliveries and unreadable entries no one tries again unless a person replays them."""

import asyncio
from dataclasses import dataclass

from worker.domain.dead_letter import UNREADABLE
from worker.domain.delivery import Delivery
from worker.domain.errors import Problem
from worker.store.deliveries import Deliveries, dead_page
from worker.store.events import Events, unpack_fields
from worker.store.keys import Keys
from worker.store.lanes import Lanes
from worker.store.pages import MOST, Page, every
from worker.store.server import Server, fields, text, texts

LISTED_AT_ONCE = 500
MOST_PARTS = 7_000  # what a script can pass to one command


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter: a delivery, or the raw fields of an entry nobody could read (`delivery` is None)."""

    id: str
    reason: str
    detail: str
    died_at_ms: int
    delivery: Delivery | None = None
    raw: dict[bytes, bytes] | None = None


class DeadLetters:
    """List, replay, discard."""

    def __init__(self, server: Server, deliveries: Deliveries, events: Events, lanes: Lanes) -> None:
        self._server = server
        self._keys: Keys = server.keys
        self._deliveries, self._events, self._lanes = deliveries, events, lanes

    async def ids(self, *, most: int = 0) -> list[str]:
        """The newest so many dead letters' ids, newest first; every one's for 0."""
        return texts(await self._server.command("ZREVRANGE", self._keys.named("dead"), 0, most - 1))

    async def all(self, *, reason: str = "") -> list[DeadLetter]:
        """Every dead letter, newest first, or those with one reason."""
        return [letter async for letter in every(lambda after: self.page(reason, after, MOST))]

    async def page(self, reason: str = "", after: str | None = None, limit: int = 50) -> Page[DeadLetter]:
        """Some of them, newest first, or of those with one reason. Problem when `after` is no place in it."""
        name = self._keys.dead(reason) if reason else self._keys.named("dead")
        ids, following = await dead_page(self._server, name, after, min(limit, MOST), of_deliveries=False)
        found = await asyncio.gather(*map(self.find, ids))
        return Page(tuple(letter for letter in found if letter), following)

    async def reasons(self) -> dict[str, int]:
        """How many there are of each reason."""
        return await self._reasons("")

    async def find(self, id_: str) -> DeadLetter | None:
        """One by its id: a delivery's, or a stream entry's."""
        if "-" in id_:
            kept = fields(await self._server.command("HGETALL", self._keys.rejected(id_)))
            if not kept or kept["state"] != "dead":
                return None
            raw = unpack_fields(kept["raw"])
            return DeadLetter(id_, UNREADABLE, kept["detail"], int(kept["finished"]), raw=raw)
        delivery = await self._deliveries.find(id_)
        if delivery is None or delivery.state != "dead":
            return None
        return DeadLetter(id_, delivery.error, delivery.detail, delivery.finished_at_ms, delivery)

    async def is_kept(self, id_: str) -> bool:
        """Whether there is such a delivery or unreadable entry at all, dead or not any more."""
        names = (self._keys.rejected(id_), self._keys.delivery(id_))
        return bool(await self._server.command("EXISTS", *names))

    async def replay(self, letter: DeadLetter, stream: str) -> tuple[bool, bool]:
        """Try it again: (was it still dead, whether its lane is to be woken)."""
        if letter.delivery is None:
            return await self._replay_entry(letter, stream), False
        key, _ = self._keys.event(letter.delivery.event_ref)
        lane, events = letter.delivery.lane, {letter.id: key}
        replayed, wake = await self._lanes.replay(lane, events, self._events.life_s)
        return bool(replayed), wake

    async def lanes_that_missed(self) -> list[str]:
        """Lanes in which something was told again after others had expired waiting for a person."""
        return texts(await self._server.command("ZRANGE", self._keys.named("dead:missed"), 0, -1))

    async def replay_missed(self, lane: str) -> tuple[int, bool]:
        """Try the newest of those again, together: (how many, whether to wake the lane). Each only once."""
        return await self._lanes.replay_missed(lane, self._events.life_s)

    async def discard(self, letter: DeadLetter) -> bool:
        """Nobody needs to be told any more: was it still dead?"""
        if letter.delivery is None:
            return bool(await self._forget_entry(letter, "", ()))
        return await self._lanes.discard(letter.delivery.lane, letter.id)

    async def forget_old(self, before_ms: int) -> int:
        """Drop from the lists what is no longer kept: how many."""
        name = self._keys.named("dead")
        forgotten = int(await self._server.command("ZREMRANGEBYSCORE", name, "-inf", before_ms))
        listed = sum((await self._reasons(before_ms)).values())
        if int(await self._server.command("ZCARD", name)) > listed:
            await self._list_by_reason()
        return forgotten

    async def _list_by_reason(self) -> None:
        """Those too that died before there were lists by reason."""
        keys, start = self._keys, 0
        names, looked = (keys.named("dead"), keys.named("dead:reasons")), LISTED_AT_ONCE
        while looked == LISTED_AT_ONCE:
            last = start + LISTED_AT_ONCE - 1
            arguments = (start, last, keys.delivery(""), keys.dead(""), UNREADABLE)
            looked = int(await self._server.script("dead_list", names, arguments))
            start += looked

    async def changes(self) -> int:
        """A number that changes with the list."""
        return int(await self._server.command("GET", self._keys.named("dead:changes")) or 0)

    async def _reasons(self, forget_before_ms: int | str) -> dict[str, int]:
        keys = self._keys
        arguments = (keys.dead(""), forget_before_ms)
        flat = await self._server.script("dead_reasons", (keys.named("dead:reasons"),), arguments)
        return {text(name): int(count) for name, count in zip(flat[::2], flat[1::2], strict=True)}

    async def _replay_entry(self, letter: DeadLetter, stream: str) -> bool:
        """Its raw fields go back to the end of the stream, to be read once more; one without any cannot."""
        flat = [part for pair in (letter.raw or {}).items() for part in pair]
        if len(flat) > MOST_PARTS:
            raise Problem(
                f"{letter.id} has {len(flat) // 2} fields, too many to put back in one step: "
                "publish its event again, then discard it."
            )
        return bool(flat and await self._forget_entry(letter, stream, flat))

    async def _forget_entry(self, letter: DeadLetter, stream: str, flat: "list[bytes] | tuple[()]") -> int:
        keys = self._keys
        names = (
            keys.rejected(letter.id), keys.named("dead"), keys.named("dead:changes"), keys.named("ledger"),
            stream or keys.named("unused"),
        )  # fmt: skip
        return int(await self._server.script("entry_replay", names, (letter.id, UNREADABLE, *flat)))

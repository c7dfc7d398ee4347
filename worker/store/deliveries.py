"""Delivery records: what became of each, with every call to Slack that told it."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType

from worker.domain.delivery import Attempt, Death, Delivery, Outcome, State, lane_parts
from worker.store.pages import LOOKED_AT, LOOKS, MOST, Page, Where, every, place, read_place
from worker.store.server import Server, Value, fields, text, texts

EVERYTHING = Where()
_CLOSED_WITHIN_MS = 1_000  # a call is closed in the step that finishes what it told


class Deliveries:
    """Find and list; changed only by the lanes' scripts."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys = server.keys

    async def find(self, delivery_id: str) -> Delivery | None:
        """One by its id, as long as it is kept."""
        kept = fields(await self._server.command("HGETALL", self._keys.delivery(delivery_id)))
        if not kept:
            return None
        parked = await self._parked_lanes([kept["lane"]]) if kept["state"] == State.PENDING else set()
        return _delivery(delivery_id, kept, parked)

    async def page(self, where: Where, after: str | None = None, limit: int = 50) -> Page[Delivery]:
        """Some of them, newest first: by when they were made, or where only a state is asked for that lasts,
        by when they came to it. Problem when `after` is no place in this list.
        """
        limit = min(limit, MOST)
        match where.state:
            case State.PENDING | State.PARKED:
                ids, following = await self._waiting_page(where, after, limit)
            case State.DEAD if await self._is_in_dead(where.lane, after):
                ids, following = await dead_page(
                    self._server, self._keys.named("dead"), after, limit, of_deliveries=True,
                    where={} if where.lane is None else {"lane": where.lane},
                )  # fmt: skip
            case _:
                ids, following = await self._index_page(where, after, limit)
        found = await self.some(ids)
        return Page(tuple(one for one in found if where.state in (None, one.state)), following)

    async def newest(self, where: Where = EVERYTHING) -> AsyncIterator[Delivery]:
        """All of them, in the order of their pages."""
        async for delivery in every(lambda after: self.page(where, after, MOST)):
            yield delivery

    async def kept(self, ids: Sequence[str]) -> list[str]:
        """Which of these there are."""
        arguments = (self._keys.delivery(""), *ids)
        return texts(await self._server.script("deliveries_kept", (), arguments)) if ids else []

    async def waiting(self, lane: str, *, most: int) -> list[str]:
        """The ids that wait in a lane, oldest first; last those held in quiet hours."""
        key = self._keys.lane(lane)
        taken, pending, quiet = await self._server.together(
            ("LRANGE", f"{key}:taken", 0, most - 1),
            ("LRANGE", f"{key}:pending", 0, most - 1),
            ("ZRANGE", f"{key}:quiet", 0, most - 1),
        )
        held = (member.partition(":")[2] for member in texts(quiet))
        return [*texts([*taken, *pending]), *held][:most]

    async def held_until_ms(self, delivery: Delivery) -> int:
        """Until when it is held in quiet hours; 0 when it is not."""
        key, member = self._keys.lane(delivery.lane, "quiet"), f"{delivery.seq:012}:{delivery.id}"
        return int(float(await self._server.command("ZSCORE", key, member) or 0))

    async def attempts(self, delivery: Delivery) -> list[Attempt]:
        """Every call to Slack that told it, or tried to, oldest first."""
        before = await self._server.command("HGET", self._keys.delivery(delivery.id), "seqs")
        seqs = {delivery.seq, *map(int, text(before).split())}  # a replay gives it a new place in its lane
        since = min(delivery.accepted_at_ms, delivery.created_at_ms)  # an entry may come with any id
        until = delivery.finished_at_ms or math.inf
        last = delivery.finished_at_ms + _CLOSED_WITHIN_MS if delivery.finished_at_ms else "+"
        calls = await self._server.command("XRANGE", self._keys.lane(delivery.lane, "attempts"), since, last)
        found = (fields(pairs) for _, pairs in calls)
        return [
            Attempt(
                int(call["at"]),
                call["method"],
                Outcome(call["outcome"]),
                call["code"],
                int(call["wait"]) / 1000,
            )
            for call in found
            if int(call["at"]) <= until
            and any(int(call["first"]) <= seq <= int(call["last"]) for seq in seqs)
            and (not call.get("of") or delivery.id in call["of"].split())
        ]

    async def some(self, ids: Sequence[str]) -> list[Delivery]:
        """Those with these ids, in that order, leaving out those no longer kept."""
        replies = await self._server.each([("HGETALL", self._keys.delivery(id_)) for id_ in ids])
        kept = [fields(reply) for reply in replies]
        waiting = sorted({record["lane"] for record in kept if record and record["state"] == State.PENDING})
        parked = await self._parked_lanes(waiting)
        return [_delivery(id_, record, parked) for id_, record in zip(ids, kept, strict=True) if record]

    async def _is_in_dead(self, lane: str | None, after: str | None) -> bool:
        """Whether dead ones are looked for among all that are dead: not where their lane had fewer."""
        if lane is None or after is not None:  # places of the two lists look different
            return lane is None or ":" in (after or "")
        dead, made = await self._server.each(
            [("ZCARD", self._keys.named("dead")), ("XLEN", self._keys.lane(lane, "deliveries"))]
        )
        return int(dead) < int(made)

    async def _index_page(self, where: Where, after: str | None, limit: int) -> tuple[list[str], str | None]:
        """Of a lane, of a state that lasts, or of all."""
        keys, (entry,) = self._keys, read_place(after, r"\d+-\d+")
        asked: list[Value] = []
        if where.lane is not None:
            index = keys.lane(where.lane, "deliveries")
            asked += ("state", where.state) if where.state else ()
        else:
            index = keys.named(f"deliveries:{where.state}" if where.state else "deliveries")
        ids: list[str] = []
        for _ in range(LOOKS):
            arguments = [
                f"({entry}" if entry else "+",
                limit - len(ids),
                LOOKED_AT,
                keys.delivery(""),
                *asked,
            ]
            entry, *found = texts(await self._server.script("deliveries_page", (index,), arguments))
            ids += found
            if not entry or len(ids) >= limit:
                break
        return ids, entry or None

    async def _waiting_page(
        self, where: Where, after: str | None, limit: int
    ) -> tuple[list[str], str | None]:
        keys = self._keys
        born, seq, lane = read_place(after, r"\d+", r"\d+", "(?s:.+)")
        parked = int(where.state is State.PARKED)
        arguments = (
            keys.lane(""), keys.integration(""), keys.delivery(""), parked, where.lane or "", limit,
            born, lane, seq,
        )  # fmt: skip
        answer = texts(await self._server.script("waiting_page", (keys.named("lanes"),), arguments))
        born, lane, seq, *ids = answer
        return ids, place((born, seq, lane))

    async def _parked_lanes(self, lanes: Sequence[str]) -> set[str]:
        """Which of these lanes wait for a person, by themselves or with their integration."""
        if not lanes:
            return set()
        keys = self._keys
        own = await self._server.each([("HEXISTS", keys.lane(lane), "parked") for lane in lanes])
        whole = await self._server.each(
            [("EXISTS", keys.integration_parked(lane_parts(lane)[0])) for lane in lanes]
        )
        return {lane for lane, one, all_ in zip(lanes, own, whole, strict=True) if one or all_}


def _deaths(written: Sequence[str]) -> tuple[Death, ...]:
    return tuple(Death(int(at_ms), reason) for at_ms, reason in zip(written[::2], written[1::2], strict=True))


def _delivery(delivery_id: str, kept: dict[str, str], parked_lanes: set[str]) -> Delivery:
    state = State(kept["state"])
    if state is State.PENDING and kept["lane"] in parked_lanes:
        state = State.PARKED
    return Delivery(
        id=delivery_id,
        event_ref=kept["event"],
        subscription_id=kept["sub"],
        lane=kept["lane"],
        seq=int(kept["seq"]),
        state=state,
        created_at_ms=int(kept["born"]),
        accepted_at_ms=int(kept["accepted"]),
        finished_at_ms=int(kept.get("finished", 0)),
        channel=kept.get("channel", ""),
        ts=kept.get("ts", ""),
        merged_into=kept.get("into", ""),
        error=kept.get("error", ""),
        detail=kept.get("detail", ""),
        attempts=int(kept.get("tries", 0)),
        repeated=kept.get("repeated") == "1",
        replays=int(kept.get("replays", 0)),
        deaths=_deaths(kept.get("deaths", "").split()),
    )


async def dead_page(
    server: Server,
    name: str,
    after: str | None,
    limit: int,
    *,
    of_deliveries: bool,
    where: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[str], str | None]:
    """Ids of one list of dead letters, those that died last first, and from where it goes on."""
    keys, (died, id_) = server.keys, read_place(after, r"\d+", "[0-9A-Za-z-]+")
    asked: list[Value] = [part for pair in where.items() for part in pair]
    ids: list[str] = []
    for _ in range(LOOKS):
        arguments: Sequence[Value] = (
            died, id_, limit - len(ids), LOOKED_AT, keys.delivery(""), keys.rejected(""), int(of_deliveries),
            *asked,
        )  # fmt: skip
        died, id_, *found = texts(await server.script("dead_page", (name,), arguments))
        ids += found
        if not died or len(ids) >= limit:
            break
    return ids, place((died, id_))

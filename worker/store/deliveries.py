"""Delivery records: what became of each, with every call to Slack that told it."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence

from worker.domain.delivery import Attempt, Delivery, Outcome, State, lane_parts
from worker.store.server import Server, Value, fields, text, texts

_PAGE, _LOOKED_AT = 500, 2_000
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

    async def newest(
        self,
        *,
        only: Sequence[str] | None = None,
        where: Mapping[str, str] | None = None,
        since_ms: int = 0,
    ) -> AsyncIterator[Delivery]:
        """All that are kept, newest first; or those with the given ids.

        `where` asks for fields of the record as stored (state, lane, event), `since_ms` when it was created.
        """
        if only is not None:
            for delivery in await self._some(only):
                yield delivery
            return
        asked = [part for pair in (where or {}).items() for part in pair]
        keys, after = self._keys, "+"
        while after:
            arguments: list[Value] = [after, since_ms, _LOOKED_AT, keys.delivery(""), *asked]
            answer = await self._server.script("deliveries_page", (keys.named("deliveries"),), arguments)
            last, *ids = texts(answer)
            for start in range(0, len(ids), _PAGE):
                for delivery in await self._some(ids[start : start + _PAGE]):
                    yield delivery
            after = last and f"({last}"

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

    async def _some(self, ids: Sequence[str]) -> list[Delivery]:
        """Records of ids, leaving out those no longer kept."""
        if not ids:
            return []
        replies = await self._server.each([("HGETALL", self._keys.delivery(id_)) for id_ in ids])
        kept = [fields(reply) for reply in replies]
        waiting = sorted({record["lane"] for record in kept if record and record["state"] == State.PENDING})
        parked = await self._parked_lanes(waiting)
        return [_delivery(id_, record, parked) for id_, record in zip(ids, kept, strict=True) if record]

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
    )

"""Deliveries as stored: the state of each, and every call to Slack that was made for it."""

import math
from collections.abc import Callable, Iterator, Sequence

from worker.domain.delivery import Attempt, Change, Delivery, HistoryStep, Outcome, State, lane_parts
from worker.domain.event import Severity
from worker.store import pagination
from worker.store.pagination import DeliveryFilter, Page
from worker.store.redis_client import RedisClient, RedisStore, Value, fields, rows, text, texts, unpack_name

FINISHED = (State.DELIVERED, State.MERGED, State.DISCARDED)
TRIMMED_LANES, ASKED_AT_ONCE = 25, 100
_CLOSED_WITHIN_MS = 1_000  # an attempt is closed in the step that finishes its deliveries


class Deliveries(RedisStore):
    """The stored deliveries; only the lanes' scripts change them."""

    def __init__(self, server: RedisClient) -> None:
        super().__init__(server)
        self._trimmed_up_to: Value = 0  # the cursor of the lanes that were trimmed last

    async def find(self, delivery_id: str) -> Delivery | None:
        """Return a delivery by its id; None when it is not kept any more."""
        deliveries = await self.find_many([delivery_id])
        return deliveries[0] if deliveries else None

    async def find_many(self, ids: Sequence[str]) -> list[Delivery]:
        """Return the deliveries with these ids in their order, without those not kept any more."""
        replies = await self._server.pipeline([("HGETALL", self._keys.delivery(id_)) for id_ in ids])
        records = [fields(reply) for reply in replies]
        lanes = sorted({record["lane"] for record in records if record and record["state"] == State.PENDING})
        parked = await self._find_parked(lanes)
        return [_delivery(id_, record, parked) for id_, record in zip(ids, records, strict=True) if record]

    async def filter_existing(self, ids: Sequence[str]) -> list[str]:
        """Return those of these ids whose deliveries are kept."""
        keys = self._keys
        batches = [ids[start : start + ASKED_AT_ONCE] for start in range(0, len(ids), ASKED_AT_ONCE)]
        counts = await self._server.pipeline([("EXISTS", *map(keys.delivery, batch)) for batch in batches])
        some = [id_ for batch, count in zip(batches, counts, strict=True) if count for id_ in batch]
        replies = await self._server.pipeline([("EXISTS", keys.delivery(id_)) for id_ in some])
        return [id_ for id_, exists in zip(some, replies, strict=True) if exists]

    async def page(self, where: DeliveryFilter, after: str | None = None, limit: int = 50) -> Page[Delivery]:
        """Return a page of deliveries, newest first. Raises `UsageError` when `after` is no cursor of this list.

        They are in the order of their creation, dead ones in that of their death, and those filtered by another final
        state alone in that of reaching it.
        """
        limit, state, keys = min(limit, pagination.PAGE_LIMIT), where.state, self._keys
        if where.lanes == ():
            return Page(())
        if state in (State.PENDING, State.PARKED):
            ids, following = await self._load_pending_page(where, after, limit)
        else:
            cursor, conditions = pagination.ENTRY_CURSOR, list[str]()
            lanes = where.lanes or ()
            if state is State.DEAD:
                index, cursor = keys.named("dead"), pagination.DEAD_CURSOR
            elif len(lanes) == 1:
                index, conditions = keys.lane(lanes[0], "deliveries"), ["state", state] if state else []
            else:
                index = keys.named("deliveries", state) if state else keys.named("deliveries")
            conditions += _conditions(where)
            ids, following = await pagination.load_index_page(
                self._server, index, cursor, after, limit, conditions=conditions, since_ms=where.since_ms
            )
        deliveries = await self.find_many(ids)
        return Page(tuple(found for found in deliveries if where.state in (None, found.state)), following)

    async def list_pending_ids(self, lane: str, *, limit: int) -> list[str]:
        """Return the ids of a lane's pending deliveries, oldest first, then of those held in quiet hours."""
        key = self._keys.lane(lane)
        taken, pending, quiet = await self._server.transaction(
            ("LRANGE", f"{key}:taken", 0, limit - 1),
            ("LRANGE", f"{key}:pending", 0, limit - 1),
            ("ZRANGE", f"{key}:quiet", 0, limit - 1),
        )
        held = (member.partition(":")[2] for member in texts(quiet))
        return [*texts([*taken, *pending]), *held][:limit]

    async def get_held_until_ms(self, delivery: Delivery) -> int:
        """Return when the quiet hours end that hold a delivery; 0 when none do."""
        key, member = self._keys.lane(delivery.lane, "quiet"), f"{delivery.seq:012}:{delivery.id}"
        return int(float(await self._server.command("ZSCORE", key, member) or 0))

    async def list_attempts(self, delivery: Delivery) -> list[Attempt]:
        """Return every call to Slack that was made for a delivery, oldest first."""
        before = await self._server.command("HGET", self._keys.delivery(delivery.id), "seqs")
        seqs = {delivery.seq, *map(int, text(before).split())}  # a replay gives it a new place in its lane
        since = min(delivery.accepted_at_ms, delivery.created_at_ms)  # an entry may come with any id
        until = delivery.finished_at_ms or math.inf
        last = delivery.finished_at_ms + _CLOSED_WITHIN_MS if delivery.finished_at_ms else "+"
        entries = await self._server.command("XRANGE", self._keys.lane(delivery.lane, "attempts"), since, last)
        calls = (fields(pairs) for _, pairs in entries)
        return [
            Attempt(int(call["at"]), call["method"], Outcome(call["outcome"]), call["code"], int(call["wait"]) / 1000)
            for call in calls
            if int(call["at"]) <= until
            and any(int(call["first"]) <= seq <= int(call["last"]) for seq in seqs)
            and _is_of(call.get("of", ""), delivery.id)
        ]

    async def trim_indexes(
        self, *, deliveries_before_ms: int, finished_before_ms: int, is_kept: Callable[[str], bool] = lambda _: True
    ) -> None:
        """Remove index entries and attempts that are older than every delivery they are about.

        The lanes are looked at in turn, about `TRIMMED_LANES` a call, so that many lanes cost no more than a few. One
        with nothing left is forgotten with its address, unless `is_kept`.
        """
        keys, created_ms, finished_ms = self._keys, max(deliveries_before_ms, 0), max(finished_before_ms, 0)
        old = [(keys.named("deliveries"), created_ms)]
        old += [(keys.named(f"deliveries:{state}"), finished_ms) for state in FINISHED]
        await self._server.pipeline([("XTRIM", key, "MINID", "~", before_ms) for key, before_ms in old])
        lanes = keys.named("lanes")
        words = ("SSCAN", lanes, self._trimmed_up_to, "COUNT", TRIMMED_LANES)
        self._trimmed_up_to, names = await self._server.command(*words)
        looked_at = [word for lane in texts(list(names)) for word in (lane, int(is_kept(lane)))]
        await self._server.run_script("lanes_trim", (lanes,), (keys.lane(""), created_ms, finished_ms, *looked_at))
        await self._server.command("ZREMRANGEBYSCORE", keys.named("subscriptions:removed"), "-inf", created_ms)

    async def _load_pending_page(
        self, where: DeliveryFilter, after: str | None, limit: int
    ) -> tuple[list[str], str | None]:
        keys = self._keys
        born, seq, lane = pagination.decode_cursor(after, r"\d+", r"\d+", "(?s:.+)")
        prefixes = (keys.lanes_of_parked_integration(""), keys.lane(""), keys.integration(""), keys.delivery(""))
        arguments: tuple[Value, ...] = (
            *prefixes, int(where.state is State.PARKED), limit, born, lane, seq, pagination.SCRIPT_RECORDS,
            where.since_ms, *_conditions(where),
        )  # fmt: skip
        answer = await self._server.run_script("pending_page", keys.of_waiting_lanes, arguments)
        born, lane, seq, *ids = texts(answer)
        return ids, pagination.encode_cursor((born, seq, lane))

    async def _find_parked(self, lanes: Sequence[str]) -> set[str]:
        """Return those of these lanes that are parked, by themselves or with their integration."""
        keys = self._keys
        own = await self._server.pipeline([("HEXISTS", keys.lane(lane), "parked") for lane in lanes])
        whole = await self._server.pipeline(
            [("EXISTS", keys.integration(lane_parts(lane)[0], "parked")) for lane in lanes]
        )
        return {lane for lane, *parked in zip(lanes, own, whole, strict=True) if any(parked)}


def _conditions(where: DeliveryFilter) -> list[str]:
    """Return the fields that a delivery must have and their values, as scripts take them."""
    lanes = [word for lane in where.lanes or () for word in ("lane", lane)]
    return lanes + [word for severity in where.severities for word in ("severity", str(int(severity)))]


def _is_of(listed: str, delivery_id: str) -> bool:
    """Return whether a call in whose range a delivery is was for it; `listed` has all ids, or after `-` the others."""
    return not listed or (delivery_id in listed.split()) != listed.startswith("- ")


def _delivery(delivery_id: str, stored: dict[str, str], parked_lanes: set[str]) -> Delivery:
    state = State(stored["state"])
    if state is State.PENDING and stored["lane"] in parked_lanes:
        state = State.PARKED
    deaths = tuple(HistoryStep(int(at), Change.DIED, reason=why) for at, why in _pairs(stored, "deaths"))
    return Delivery(
        id=delivery_id, event_ref=stored["event"], subscription_id=stored["sub"], lane=stored["lane"],
        seq=int(stored["seq"]), state=state, created_at_ms=int(stored["born"]), accepted_at_ms=int(stored["accepted"]),
        finished_at_ms=int(stored.get("finished", 0)), channel=stored.get("channel", ""), ts=stored.get("ts", ""),
        merged_into=stored.get("into", ""), error=stored.get("error", ""),
        detail=stored.get("detail") or stored.get("note", ""),
        attempts=int(stored.get("tries", 0)), repeated=stored.get("repeated") == "1",
        replays=int(stored.get("replays", 0)), deaths=deaths, history=_history(stored, state, deaths),
        severity=Severity(int(stored["severity"])) if "severity" in stored else None,
    )  # fmt: skip


def _pairs(stored: dict[str, str], name: str) -> Iterator[tuple[str, str]]:
    return rows(stored.get(name, "").split(), 2)


def _history(stored: dict[str, str], state: State, deaths: tuple[HistoryStep, ...]) -> tuple[HistoryStep, ...]:
    queued = [*_pairs(stored, "queued")] or [(stored["born"], "%")]
    steps = [HistoryStep(int(at), Change.REPLAYED, unpack_name(who)) for at, who in queued]
    steps[0] = HistoryStep(steps[0].at_ms, Change.QUEUED)
    ended_ms, error = int(stored.get("finished", 0)), stored.get("error", "")
    if state is State.DEAD:
        steps.append(HistoryStep(ended_ms, Change.DIED, reason=error))
    if state is State.DISCARDED:
        reason = "" if deaths and deaths[-1].reason == error else error
        steps.append(HistoryStep(ended_ms, Change.DISCARDED, unpack_name(stored.get("by", "")), reason))
    return tuple(sorted([*steps[:1], *deaths, *steps[1:]], key=lambda step: step.at_ms))

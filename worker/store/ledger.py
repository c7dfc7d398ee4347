"""The ledger: the balance of all events and deliveries, in one consistent look."""

from dataclasses import dataclass
from typing import Any

from worker.store.server import Server, fields, text


@dataclass(frozen=True, slots=True)
class Balance:
    """`created` = delivered + merged + pending + parked + dead + discarded; `unaccounted` is the rest."""

    accepted: int
    repeats_ignored: int
    rejected: int
    suppressed: int
    created: int
    delivered: int
    merged: int
    pending: int
    parked: int
    dead: int
    discarded: int
    repeated: int
    unaccounted: int


@dataclass(frozen=True, slots=True)
class LaneCount:
    """A lane with something to say of: how many wait, and the code it or its integration is parked for."""

    lane: str
    waiting: int
    parked: str
    integration_parked: str


async def take_census(server: Server) -> tuple[Balance, list[LaneCount]]:
    """The balance, and every lane that waits or is parked, as of one moment."""
    keys = server.keys
    prefixes = (keys.lane(""), keys.integration(""))
    counters, *flat = await server.script("census", (keys.named("lanes"), keys.named("ledger")), prefixes)
    lanes = [LaneCount(text(a), int(b), text(c), text(d)) for a, b, c, d in _in_fours(flat)]
    return _balance(fields(counters), lanes), lanes


def _balance(counters: dict[str, str], lanes: list[LaneCount]) -> Balance:
    def count(name: str) -> int:
        return int(counters.get(name, 0))

    parked = sum(lane.waiting for lane in lanes if lane.parked or lane.integration_parked)
    pending = sum(lane.waiting for lane in lanes) - parked
    finished = sum(map(count, ("delivered", "merged", "dead", "discarded")))
    events = count("accepted") - count("suppressed") - count("routed")
    return Balance(
        accepted=count("accepted"),
        repeats_ignored=count("repeats_ignored"),
        rejected=count("rejected"),
        suppressed=count("suppressed"),
        created=count("created"),
        delivered=count("delivered"),
        merged=count("merged"),
        pending=pending,
        parked=parked,
        dead=count("dead"),
        discarded=count("discarded"),
        repeated=count("repeated"),
        unaccounted=abs(count("created") - finished - pending - parked) + abs(events),
    )


def _in_fours(flat: list[Any]) -> "zip[tuple[Any, ...]]":
    return zip(*(flat[i::4] for i in range(4)), strict=True)

"""The ledger: the balance of all events and deliveries, in one consistent snapshot."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from worker.store.redis_client import RedisClient, fields, rows, texts


@dataclass(frozen=True, slots=True)
class Balance:
    """The counts of events and deliveries.

    `accepted` = `suppressed` + events with deliveries, `created` = `delivered` + `merged` + `pending` + `parked` +
    `dead` + `discarded`; `unaccounted` is what is missing from, or too much in, these sums.
    """

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
    lost: int  #: Stream entries that were removed before they were read.
    unaccounted: int


@dataclass(frozen=True, slots=True)
class LaneCount:
    """A lane with pending deliveries, or a parked one."""

    lane: str
    pending: int  #: How many deliveries are pending.
    parked: str  #: The code for which the lane is parked; empty while it is not.
    integration_parked: str  #: The code for which its integration is parked; empty while it is not.
    since_ms: int = 0  #: Since when the lane is parked.
    integration_since_ms: int = 0  #: Since when its integration is parked.
    due_ms: int = 0  #: Since when its first delivery is due; 0 when none is.
    held: int = 0  #: How many of the pending deliveries are held in quiet hours.
    failure: str = ""  #: The failure that a snoozed lane waits out.


@dataclass(frozen=True, slots=True)
class LedgerSnapshot:
    """The balance and the lanes of one moment."""

    balance: Balance
    lanes: list[LaneCount]


async def take_ledger_snapshot(server: RedisClient) -> LedgerSnapshot:
    """Return the balance, and every lane that has pending deliveries or is parked."""
    keys = server.keys
    prefixes = (keys.lanes_of_parked_integration(""), keys.lane(""), keys.integration(""), keys.delivery(""))
    names = (*keys.of_waiting_lanes, keys.named("ledger"))
    return parse_snapshot(await server.run_script("ledger_snapshot", names, prefixes))


def parse_snapshot(reply: list[Any]) -> LedgerSnapshot:
    """Return the snapshot in a reply of `ledger_snapshot.lua`."""
    counters, *flat = reply
    lanes = [
        LaneCount(lane, int(pending), own_code, code, int(since_ms), int(whole_ms), int(due_ms), int(held), failure)
        for lane, pending, own_code, code, since_ms, whole_ms, due_ms, held, failure in rows(texts(flat), 9)
    ]
    counts = defaultdict(int, {name: int(count) for name, count in fields(counters).items()})
    parked = sum(lane.pending for lane in lanes if lane.parked or lane.integration_parked)
    pending = sum(lane.pending for lane in lanes) - parked
    finished = sum(counts[state] for state in ("delivered", "merged", "dead", "discarded"))
    unrouted = counts["accepted"] - counts["suppressed"] - counts["routed"]
    unaccounted = abs(counts["created"] - finished - pending - parked) + abs(unrouted)
    counts |= {"pending": pending, "parked": parked, "unaccounted": unaccounted}
    return LedgerSnapshot(Balance(**{name: counts[name] for name in Balance.__slots__}), lanes)

"""Faults planted in the program, one at a time: what a simulation that is worth its name finds."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha1
from itertools import count
from typing import Any

import pytest

from worker.pipeline.delivery import outcome_handler
from worker.store import redis_client as server
from worker.store.events import Events, SaveResult
from worker.store.lanes import LaneRemainder, Lanes, Lease
from worker.store.rate_limiter import RateLimiter
from worker.store.schedule import Schedule
from worker.store.stream import EventStream

STREAM, GROUP = "infrakitchen:events", "ik-slack"


def _without(patch: pytest.MonkeyPatch, script: str, line: str, instead: str = "") -> None:
    """One script says something else."""
    source = server.script_source
    assert source(script).count(line) == 1, f"{script}.lua has not this line once: {line}"

    def changed(name: str) -> str:
        return source(name).replace(line, instead) if name.startswith(script) else source(name)

    patch.setattr(server, "script_source", changed)
    patch.setattr(server, "script_sha", lambda name: sha1(changed(name).encode(), usedforsecurity=False).hexdigest())


def settle_without_token_check(patch: pytest.MonkeyPatch) -> None:
    """A worker that lost its lease still records."""
    _without(patch, "lane_settle", "return {'fenced'} end", "end")


def ack_before_append(patch: pytest.MonkeyPatch) -> None:
    """An entry is acknowledged before its deliveries are in their lanes."""
    remember = Events.save_bodies

    async def hasty(self: Events, events: Sequence[Any], *more: Any) -> list[SaveResult]:
        statuses = await remember(self, events, *more)
        for event, _ in events:
            await self._server.command("XACK", STREAM, GROUP, event.entry_id)
        return statuses

    patch.setattr(Events, "save_bodies", hasty)


def release_in_two_steps(patch: pytest.MonkeyPatch) -> None:
    """The lane is found empty in one step and given back in the next."""
    _without(patch, "lane_settle", "if left == 0 or release then", "if release then")
    settle = Lanes.settle

    async def slowly(self: Lanes, held: Lease, *about: Any, **more: Any) -> LaneRemainder:
        left = await settle(self, held, *about, **more)
        if left.pending or not left.holds_lease:
            return left
        await self._server.command("DEL", self._keys.lane(held.lane, "lease"))
        await self._server.command("ZREM", self._keys.named("due"), held.lane)
        return replace(left, holds_lease=False)

    patch.setattr(Lanes, "settle", slowly)


def no_sweep(patch: pytest.MonkeyPatch) -> None:
    """No sweep wakes lanes whose wake-up call was lost."""

    async def nothing(self: Schedule, *, limit: int, horizon_ms: int) -> list[str]:
        return []

    patch.setattr(Schedule, "claim_due_lanes", nothing)


def pace_not_shared(patch: pytest.MonkeyPatch) -> None:
    """Each worker keeps the pace for itself alone."""
    make, numbers = RateLimiter.__init__, count()

    def alone(self: RateLimiter, of: server.RedisClient, **rates: Any) -> None:
        make(self, of, **rates)
        self._keys = replace(self._keys, prefix=f"{self._keys.prefix}:{next(numbers)}")

    patch.setattr(RateLimiter, "__init__", alone)


def no_claims(patch: pytest.MonkeyPatch) -> None:
    """Entries that a dead ingest had read are never claimed."""

    async def nothing(self: EventStream, *, idle_ms: int, limit: int) -> list[Any]:
        return []

    patch.setattr(EventStream, "claim_abandoned", nothing)


def doubt_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A repeat does not say that it is one."""
    _without(patch, "lane_settle", "if known[3] then", "if false then")


def digest_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The states that a digest showed are not recorded."""
    patch.setattr(outcome_handler, "records_after", lambda *_: {})


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    plant.__name__: plant
    for plant in (
        settle_without_token_check, ack_before_append, release_in_two_steps, no_sweep, pace_not_shared,
        no_claims, doubt_forgotten, digest_forgotten,
    )
}  # fmt: skip


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The program with this fault, for as long; the empty name is none."""
    with pytest.MonkeyPatch.context() as patch:
        if name:
            MUTANTS[name](patch)
        yield

"""Faults planted in the program, one at a time: what a simulation that is worth its name finds."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha1
from itertools import count
from typing import Any

import pytest

from worker.pipeline import record
from worker.store import server
from worker.store.events import Events
from worker.store.held import Held, Left
from worker.store.lanes import Lanes
from worker.store.pace import Pace
from worker.store.stream import EventStream
from worker.store.upkeep import Upkeep

STREAM, GROUP = "infrakitchen:events", "ik-slack"


def _without(patch: pytest.MonkeyPatch, script: str, line: str, instead: str = "") -> None:
    """One script says something else."""
    source = server.script_source
    assert source(script).count(line) == 1, f"{script}.lua has not this line once: {line}"

    def changed(name: str) -> str:
        return source(name).replace(line, instead) if name.startswith(script) else source(name)

    patch.setattr(server, "script_source", changed)
    patch.setattr(
        server, "_sha", lambda name: sha1(changed(name).encode(), usedforsecurity=False).hexdigest()
    )


def settle_without_token_check(patch: pytest.MonkeyPatch) -> None:
    """Whoever lost the lane still records."""
    _without(patch, "lane_settle", "if not holds() then return {'fenced'} end\n")


def ack_before_append(patch: pytest.MonkeyPatch) -> None:
    """An entry is acknowledged before its deliveries are in their lanes."""
    remember = Events.remember

    async def hasty(self: Events, events: Sequence[Any]) -> list[str]:
        statuses = await remember(self, events)
        for event, _ in events:
            await self._server.command("XACK", STREAM, GROUP, event.entry_id)
        return statuses

    patch.setattr(Events, "remember", hasty)


def release_in_two_steps(patch: pytest.MonkeyPatch) -> None:
    """The lane is found empty in one step and given back in the next."""
    _without(patch, "lane_settle", "if left == 0 or leave then", "if leave then")
    settle = Lanes.settle

    async def slowly(self: Lanes, held: Held, *about: Any, **more: Any) -> Left:
        left = await settle(self, held, *about, **more)
        if left.waiting or not left.held:
            return left
        await self._server.command("DEL", self._keys.lane(held.lane, "lease"))
        await self._server.command("ZREM", self._keys.named("due"), held.lane)
        return replace(left, held=False)

    patch.setattr(Lanes, "settle", slowly)


def no_sweep(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks after lanes whose wake-up call was lost."""

    async def nothing(self: Upkeep, *, most: int, horizon_ms: int) -> list[str]:
        return []

    patch.setattr(Upkeep, "due_lanes", nothing)


def pace_not_shared(patch: pytest.MonkeyPatch) -> None:
    """Each worker keeps the pace for itself alone."""
    make, numbers = Pace.__init__, count()

    def alone(self: Pace, of: server.Server, **rates: Any) -> None:
        make(self, of, **rates)
        self._keys = replace(self._keys, prefix=f"{self._keys.prefix}:{next(numbers)}")

    patch.setattr(Pace, "__init__", alone)


def nobody_claims(patch: pytest.MonkeyPatch) -> None:
    """What a dead ingest had read stays with it."""

    async def nothing(self: EventStream, *, idle_ms: int, most: int) -> list[Any]:
        return []

    patch.setattr(EventStream, "claim", nothing)


def doubt_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A repeat does not say that it is one."""
    _without(patch, "lane_settle", "if redis.call('HDEL', key, 'doubt') == 1 then", "if false then")


def digest_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Nobody remembers what a digest told."""
    patch.setattr(record, "_records", lambda *_: {})


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    plant.__name__: plant
    for plant in (
        settle_without_token_check, ack_before_append, release_in_two_steps, no_sweep, pace_not_shared,
        nobody_claims, doubt_forgotten, digest_forgotten,
    )
}  # fmt: skip


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The program with this fault, for as long; the empty name is none."""
    with pytest.MonkeyPatch.context() as patch:
        if name:
            MUTANTS[name](patch)
        yield

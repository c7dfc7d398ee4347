"""One run from its seed, in a world whose clock, names and luck are all made up."""

import asyncio
import contextlib
import logging
import random
import secrets
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from checks import check
from fakeredis.commands_mixins import scripting_mixin
from far_end import BEGAN, TELLING
from machine import WHERE
from mutants import planted
from pipeline_house import server_clock
from real_server import RealServer
from virtual_loop import VirtualLoop
from world import World

import worker.bootstrap
import worker.pipeline.attempt
import worker.pipeline.sweep
from worker.domain.integration import Secret
from worker.pipeline.telling import Teller
from worker.telemetry import COUNTERS

TICK_S = 1.5
"""Of the sweep: three times as long as ours, for a run's sake."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: nothing wrong, or what; a hash of all that happened, and what Slack was told."""

    seed: int
    wrongs: tuple[str, ...]
    trace: str
    steps: int
    told: tuple[str, ...]

    def is_same(self, other: "Outcome") -> bool:
        """Whether the same happened on another server, which may give what has no order in another one."""
        return (self.wrongs, self.steps, self.told) == (other.wrongs, other.steps, other.told)


def run(seed: int, *, mutant: str = "", show: bool = False, real: RealServer | None = None) -> Outcome:
    """One run from its seed, always the same; with a `mutant`, of a program that has that fault."""
    with _everything_made_up(seed), planted(mutant):
        world = World(seed, real)
        if show:
            world.watch.show = print
        with server_clock(world.clock), pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker.pipeline.attempt, "time", world.clock)
            with _faults_of_ours(world):
                world.loop.run_until_complete(world.story())
                if not world.watch.wrongs:
                    check(world)
            _abandon(world.loop)
    watch = world.watch
    told = tuple(f"{one.at_s:.4f} {one.call} {one.lane} {one.ts} {' '.join(one.ids)}" for one in watch.told)
    return Outcome(seed, tuple(watch.wrongs), watch.trace, world.steps, told)


@contextlib.contextmanager
def _everything_made_up(seed: int) -> Iterator[None]:
    """Names, tokens, jitter and whom a call tells come from the seed."""
    random.seed(seed)
    names = random.Random(~seed)
    COUNTERS.taken()
    told = Teller._told

    async def telling(self: Teller, token: Secret, one: Any, choice: Any) -> Any:
        before = TELLING.set((one, choice))
        try:
            return await told(self, token, one, choice)
        finally:
            TELLING.reset(before)

    tell_once = Teller.tell_once

    async def beginning(self: Teller) -> Any:
        machine = WHERE.get()
        assert machine is not None
        BEGAN.set(machine.troubles)
        return await tell_once(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Teller, "tell_once", beginning)
        patch.setattr(secrets, "token_hex", lambda size=8: f"{names.getrandbits(8 * size):0{2 * size}x}")
        patch.setattr(worker.bootstrap, "socket", types.SimpleNamespace(gethostname=lambda: "here"))
        patch.setattr(worker.bootstrap, "os", types.SimpleNamespace(getpid=lambda: 1))
        patch.setattr(worker.pipeline.sweep, "TICK_S", TICK_S)
        patch.setattr(Teller, "_told", telling)
        patch.setattr(
            scripting_mixin, "_check_for_lua_globals", lambda *_: None
        )  # a third of a script's time
        yield


@contextlib.contextmanager
def _faults_of_ours(world: World) -> Iterator[None]:
    """A traceback in the log is a fault of the program, whatever it did next."""

    class Reading(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info or record.levelno >= logging.CRITICAL:
                world.watch.wrong(f"logged: {record.getMessage()} {record.exc_info and record.exc_info[1]!r}")

    log, reading = logging.getLogger("worker"), Reading()
    log.addHandler(reading)
    propagates, log.propagate = log.propagate, False
    try:
        yield
    finally:
        log.removeHandler(reading)
        log.propagate = propagates


def _abandon(loop: VirtualLoop) -> None:
    """What still sleeps is cancelled."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=100.0))
    loop.close()

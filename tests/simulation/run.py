"""One run from its seed, in a world whose clock, names and luck are all made up."""

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from checks import check
from fakeredis.commands_mixins import scripting_mixin
from mutants import planted
from real_server import RealServer
from support.pipeline import server_clock
from virtual_loop import VirtualLoop
from world import World

import worker.bootstrap
import worker.pipeline.maintenance.sweeper
from worker.telemetry import COUNTERS

TICK_S = 1.5
"""Of the sweep: three times as long as ours, for a run's sake."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run: its violations, a hash of all steps, and the calls that Slack accepted."""

    seed: int
    wrongs: tuple[str, ...]
    trace: str
    steps: int
    slack_calls: tuple[str, ...]

    def is_same(self, other: "Outcome") -> bool:
        """Return whether the run was the same on another server, which may order unordered replies differently."""
        return (self.wrongs, self.steps, self.slack_calls) == (other.wrongs, other.steps, other.slack_calls)


def run(seed: int, *, mutant: str = "", show: bool = False, real: RealServer | None = None) -> Outcome:
    """One run from its seed, always the same; with a `mutant`, of a program that has that fault."""
    with _everything_made_up(seed), planted(mutant):
        world = World(seed, real)
        if show:
            world.watch.show = print
        with server_clock(world.clock), _program_faults(world):
            world.loop.run_until_complete(world.story())
            if not world.watch.wrongs:
                check(world)
            _abandon(world.loop)
    watch = world.watch
    slack_calls = tuple(
        f"{one.at_s:.4f} {one.call} {one.lane} {one.ts} {' '.join(one.ids)}" for one in watch.slack_calls
    )
    return Outcome(seed, tuple(watch.wrongs), watch.trace, world.steps, slack_calls)


@contextlib.contextmanager
def _everything_made_up(seed: int) -> Iterator[None]:
    """Names, tokens and jitter come from the seed."""
    random.seed(seed)
    names = random.Random(~seed)
    COUNTERS.take()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "token_hex", lambda size=8: f"{names.getrandbits(8 * size):0{2 * size}x}")
        patch.setattr(worker.pipeline.maintenance.sweeper, "TICK_S", TICK_S)
        patch.setattr(scripting_mixin, "_check_for_lua_globals", lambda *_: None)  # a third of a script's time
        yield


@contextlib.contextmanager
def _program_faults(world: World) -> Iterator[None]:
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
    """Cancel the sleeping tasks."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=100.0))
    loop.close()

"""Chaos on real processes: blows at random under steady load, then the balance event by event.

Two workers and two ingests under `ik-slack up`, 40 channels, 40 events a second, a Redis with its append-only
file on. The balance is looked at all the time, the way anyone can (`ik-slack ledger`) and more often from
inside.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from accounts import CHANNELS, assert_accounted, load
from blows import Blows, Kept
from installation import Installation, installed
from redis.exceptions import RedisError

from worker.sandbox.machine import free_port

PER_S = 40
LOOK_S, ASK_EVERY = 1.0, 8  # each eighth look is the command's
TOLD_EVERY_S = 30.0
ENDED = re.compile(r"^(\w+) +\| ended \((.+?)\)", re.MULTILINE)
FAULT = (
    "a fault of this program",
    "EMERGENCY",
    "Traceback (most recent call last)",
    "the ledger does not balance",
)
QUICK = "ingest,ingest2,worker,worker2"


@dataclass
class Watch:
    """Looks at the ledger as long as the run lasts."""

    one: Installation
    blows: Blows
    looks: int = 0
    answers: int = 0
    asked: int = 0
    stopping: bool = False
    wrong: list[str] = field(default_factory=list)

    async def run(self) -> None:
        while not self.stopping:
            self.looks += 1
            with suppress(RedisError):
                self.note((await self.one.balance()).unaccounted, "from inside")
            if self.looks % ASK_EVERY == 0:
                await self._ask()
            await asyncio.sleep(LOOK_S)

    async def _ask(self) -> None:
        said = await self.one.cli("ledger", "--json")
        if said.code == 0:
            self.asked += 1
            self.note(json.loads(said.out)["unaccounted"], "`ik-slack ledger`")
        elif said.code != 1 or said.err.count("\n") != 1:  # Redis may be away, and that is one line
            self.wrong.append(f"`ik-slack ledger` ended with {said.code}: {said.err}")

    def note(self, unaccounted: int, who: str) -> None:
        self.answers += 1
        if unaccounted:
            self.wrong.append(f"unaccounted {unaccounted} ({who}) after {self.blows.last}")


async def chaos(
    folder: Path, seed: int, seconds: float, *, say: Callable[[str], None] = print, quick: bool = False
) -> str:
    """One run, and what it cost in words. `quick` leaves out what only takes its time to start."""
    say(f"seed {seed}: blows for {seconds:g} s")
    ports = {name: str(free_port()) for name in ("WEB_PORT", "FLOWER_PORT")}
    pace = {
        "POST_RATE_PER_CHANNEL": "20",
        "POST_RATE_PER_WORKSPACE": "60000",
        "UPDATE_RATE_PER_WORKSPACE": "60000",
    }
    async with installed(folder, **ports, **pace) as one:
        _prepare(one)
        await one.connect(*(f"#{name}" for name in CHANNELS))
        kept = Kept(one, QUICK if quick else "")
        try:
            return await _run(one, kept, seed, seconds, say)
        finally:
            kept.kill()


async def _run(one: Installation, kept: Kept, seed: int, seconds: float, say: Callable[[str], None]) -> str:
    await kept.begin()
    blows = Blows(one, kept, Random(seed))
    watch = Watch(one, blows)
    watching = asyncio.create_task(watch.run())
    published = await _under_blows(one, blows, watch, seconds, say)
    began = time.monotonic()
    await blows.heal()
    figures = await assert_accounted(one, published, most_s=300)
    took_s = time.monotonic() - began
    watch.stopping = True
    await watching
    await kept.end()
    assert not watch.wrong, watch.wrong
    assert watch.answers > watch.looks / 3
    log = "".join(up.log for up in kept.ups)
    faults = [line for line in log.splitlines() if any(said in line for said in FAULT)]
    assert not faults, "\n".join(faults[:5])
    endings = Counter(f"{name} by {how}" for name, how in ENDED.findall(log) if how != "SIGKILL")
    befell = ", ".join(f"{what} × {times}" for what, times in sorted(blows.count.items()))
    return (
        f"seed {seed}, {seconds:g} s: {blows.count.total()} blows ({befell}); balance looked at "
        f"{watch.answers} times, {watch.asked} of them by the command, always whole; "
        f"ended by themselves: {dict(endings)}; all told and counted {took_s:.1f} s after the last; {figures}"
    )


def _prepare(one: Installation) -> None:
    one.sandbox.set_rate(0)
    one.sandbox.tiers = False
    one.sandbox.latency_s = 0.05
    for name in CHANNELS:
        one.workspace.add_channel(name)


async def _under_blows(
    one: Installation, blows: Blows, watch: Watch, seconds: float, say: Callable[[str], None]
) -> int:
    """Publish evenly while blows fall, about one a second: how many events there were."""
    published = int(PER_S * seconds)
    loading = asyncio.create_task(one.load(load(published), over_s=seconds))
    await blows.pause("worker")  # also a short run has one that outlasts its leases
    told_at = time.monotonic()
    while not loading.done() and not watch.wrong:
        await asyncio.sleep(blows.chance.uniform(0.3, 1.2))
        await blows.one_more()
        if time.monotonic() > told_at + TOLD_EVERY_S:
            told_at = time.monotonic()
            say(f"{blows.count.total()} blows, the balance looked at {watch.answers} times")
    await loading
    return published

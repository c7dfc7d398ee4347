"""Chaos on real processes: random faults under a steady load, then the ledger's balance event by event.

Two workers and two ingests under `ik-slack up`, 40 channels, 40 events a second, a Redis with its append-only file.
The balance is checked all the time: with `ik-slack ledger`, and more often directly in the store.
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

from redis.exceptions import RedisError

from support.faults import FaultInjector, SupervisedInstallation
from support.installation import Installation, run_installation
from support.ledger_checks import CHANNELS, assert_accounted, make_load
from worker.local_machine import free_port
from worker.store.redis_errors import StoreUnavailable

PER_S = 40
CHECK_S, ASK_EVERY = 1.0, 8  # each eighth check runs the command
REPORT_EVERY_S = 30.0
ENDED = re.compile(r"^(\w+) +\| exited \((.+?)\)", re.MULTILINE)
LOG_ERRORS = (
    "unexpected error",
    "EMERGENCY",
    "Traceback (most recent call last)",
    "ledger not balanced",
)
QUICK = "ingest,ingest2,worker,worker2"


@dataclass
class Watch:
    """Checks the ledger as long as the run lasts."""

    installation: Installation
    faults: FaultInjector
    checks: int = 0
    answers: int = 0
    asked: int = 0
    stopping: bool = False
    wrong: list[str] = field(default_factory=list)

    async def run(self) -> None:
        while not self.stopping:
            self.checks += 1
            with suppress(RedisError, StoreUnavailable):
                self.note((await self.installation.balance()).unaccounted, "from inside")
            if self.checks % ASK_EVERY == 0:
                await self._ask()
            await asyncio.sleep(CHECK_S)

    async def _ask(self) -> None:
        said = await self.installation.cli("ledger", "--json")
        if said.code == 0:
            self.asked += 1
            self.note(json.loads(said.out)["unaccounted"], "`ik-slack ledger`")
        elif said.code != 1 or said.err.count("\n") != 1:  # Redis may be away, and that is one line
            self.wrong.append(f"`ik-slack ledger` ended with {said.code}: {said.err}")

    def note(self, unaccounted: int, who: str) -> None:
        self.answers += 1
        if unaccounted:
            self.wrong.append(f"unaccounted {unaccounted} ({who}) after {self.faults.last}")


async def run_chaos(
    folder: Path, seed: int, seconds: float, *, report: Callable[[str], None] = print, quick: bool = False
) -> str:
    """Run once and return a summary. `quick` leaves out the processes that start slowly."""
    report(f"seed {seed}: faults for {seconds:g} s")
    ports = {name: str(free_port()) for name in ("WEB_PORT", "FLOWER_PORT")}
    pace = {
        "POST_RATE_PER_CHANNEL": "20",
        "POST_RATE_PER_WORKSPACE": "60000",
        "UPDATE_RATE_PER_WORKSPACE": "60000",
    }
    async with run_installation(folder, **ports, **pace) as installation:
        _prepare(installation)
        await installation.connect(*(f"#{name}" for name in CHANNELS))
        supervised = SupervisedInstallation(installation, QUICK if quick else "")
        try:
            return await _run(installation, supervised, seed, seconds, report)
        finally:
            supervised.kill()


async def _run(
    installation: Installation,
    supervised: SupervisedInstallation,
    seed: int,
    seconds: float,
    report: Callable[[str], None],
) -> str:
    await supervised.begin()
    faults = FaultInjector(installation, supervised, Random(seed))
    watch = Watch(installation, faults)
    watching = asyncio.create_task(watch.run())
    published = await _load_with_faults(installation, faults, watch, seconds, report)
    began = time.monotonic()
    await faults.repair()
    figures = await assert_accounted(installation, published, most_s=300)
    took_s = time.monotonic() - began
    watch.stopping = True
    await watching
    await supervised.end()
    assert not watch.wrong, watch.wrong
    assert watch.answers > watch.checks / 3
    log = "".join(up.log for up in supervised.ups)
    log_errors = [line for line in log.splitlines() if any(text in line for text in LOG_ERRORS)]
    assert not log_errors, "\n".join(log_errors[:5])
    endings = Counter(f"{name} by {how}" for name, how in ENDED.findall(log) if how != "SIGKILL")
    injected = ", ".join(f"{what} × {times}" for what, times in sorted(faults.count.items()))
    return (
        f"seed {seed}, {seconds:g} s: {faults.count.total()} faults ({injected}); balance checked {watch.answers} "
        f"times, {watch.asked} of them with the command, always complete; exits without a signal: {dict(endings)}; "
        f"all events delivered {took_s:.1f} s after the last one; {figures}"
    )


def _prepare(installation: Installation) -> None:
    installation.sandbox.set_rate(0)
    installation.sandbox.tiers = False
    installation.sandbox.latency_s = 0.05
    for name in CHANNELS:
        installation.workspace.add_channel(name)


async def _load_with_faults(
    installation: Installation, faults: FaultInjector, watch: Watch, seconds: float, report: Callable[[str], None]
) -> int:
    """Publish evenly while faults are injected, about one a second; return the number of events."""
    published = int(PER_S * seconds)
    loading = asyncio.create_task(installation.load(make_load(published), over_s=seconds))
    await faults.pause("worker")  # also a short run has one that outlasts its leases
    reported_at = time.monotonic()
    while not loading.done() and not watch.wrong:
        await asyncio.sleep(faults.random.uniform(0.3, 1.2))
        await faults.inject()
        if time.monotonic() > reported_at + REPORT_EVERY_S:
            reported_at = time.monotonic()
            report(f"{faults.count.total()} faults, balance checked {watch.answers} times")
    await loading
    return published

"""A soak: steady load for a long time, to find memory and keys that grow.

It runs `ik-slack up` with the Procfile's processes, a Redis and a sandbox Slack: 50 events a second to 40 channels,
one worker, so that one process has all of the load. Retention is minutes, so that keys level off long before the end.

The first half, in which caches fill, is not judged; a run of less than half an hour says little about memory.
Exits with code 1 when a check failed.
"""

import argparse
import asyncio
import os
import signal
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from key_census import Census, take_key_census
from redis.exceptions import RedisError
from soak_load import CHANNELS, RULES, count_deliveries, entry
from soak_report import SoakResult, report
from support.installation import Installation, Program, run_installation, until
from support.processes import child_processes, resident_mb

from worker.local_machine import free_port
from worker.store.redis_errors import StoreUnavailable

BATCH_S, SAMPLE_S, PROGRESS_S = 0.2, 5.0, 30.0
FLOWER_MAX_TASKS = 1000
MAX_POSTS = 200  # per channel: the sandbox would keep every message
PACE = {
    "POST_RATE_PER_CHANNEL": "10",
    "POST_RATE_PER_WORKSPACE": "12000",
    "UPDATE_RATE_PER_WORKSPACE": "6000",
}


@dataclass
class Soak:
    """A run of the soak."""

    one: Installation
    up: Program
    minutes: float
    per_s: float
    kept_s: int
    began: float = field(default_factory=time.monotonic)
    published: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    samples: defaultdict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    pids: dict[str, set[int]] = field(default_factory=dict)
    unaccounted: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def now_s(self) -> float:
        return time.monotonic() - self.began

    @property
    def warm_s(self) -> float:
        """When judging starts: the oldest events have expired, and caches are full."""
        return self.minutes * 30

    async def run(self) -> SoakResult:
        """Publish the load, measure, and return the result."""
        before = await take_key_census(self.one.redis)
        tasks = [asyncio.create_task(work()) for work in (self._publish, self._sample, self._request_pages)]
        censuses = [await self._census_at(self.warm_s), await self._census_at(self.minutes * 60)]
        self.stopping.set()
        for failed in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(failed, BaseException):
                self.faults.append(f"a task of the soak failed: {failed!r}")
        return await self._ended([before, *censuses])

    async def _census_at(self, second: float) -> Census:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(second - self.now_s, 0.01)):
                await self.stopping.wait()
        return await take_key_census(self.one.redis)

    async def _publish(self) -> None:
        """Publish evenly; a late publisher catches up by at most two seconds of load."""
        owed, last = 0.0, time.monotonic()
        while not self.stopping.is_set():
            owed, last = min(owed + (time.monotonic() - last) * self.per_s, 2 * self.per_s), time.monotonic()
            whole = int(owed)
            await self.one.publish(*(entry(self.published + number) for number in range(whole)))
            self.published, owed = self.published + whole, owed - whole
            await asyncio.sleep(BATCH_S)

    async def _sample(self) -> None:
        printed_at = 0.0
        while not self.stopping.is_set():
            pids = {self.up.pid: "up", **child_processes(self.up.pid)}
            for pid, role in pids.items():
                with suppress(OSError, StopIteration):
                    self.samples[role].append((self.now_s, resident_mb(pid)))
                    self.pids.setdefault(role, set()).add(pid)
            memory, balance = await self.one.redis.info("memory"), await self.one.balance()
            self.samples["Redis's data"].append((self.now_s, memory["used_memory"] / 2**20))
            self.samples["waiting"].append((self.now_s, balance.pending + balance.parked))
            self.unaccounted = max(self.unaccounted, balance.unaccounted)
            for channel in self.one.workspace.channels.values():
                for ts in list(channel.posts)[:-MAX_POSTS]:
                    del channel.posts[ts]
            if self.now_s > printed_at + PROGRESS_S:
                printed_at = self.now_s
                now = ", ".join(f"{role} {points[-1][1]:.0f}" for role, points in self.samples.items())
                print(f"{self.now_s / 60:5.1f} min, {self.published} events; {now}", flush=True)
            await asyncio.sleep(SAMPLE_S)

    async def _request_pages(self) -> None:
        """Request pages as Prometheus and a load balancer do."""
        port = self.one.environment["WEB_PORT"]
        async with aiohttp.ClientSession() as session:
            while not self.stopping.is_set():
                for page in ("metrics", "readyz"):
                    with suppress(aiohttp.ClientError):
                        async with session.get(f"http://127.0.0.1:{port}/{page}") as answer:
                            await answer.read()
                await asyncio.sleep(SAMPLE_S)

    async def _ended(self, censuses: list[Census]) -> SoakResult:
        expected = count_deliveries(self.published)

        async def all_delivered() -> bool:
            balance = await self.one.balance()
            return balance.delivered + balance.merged == balance.created == expected

        try:
            await until(all_delivered, f"{expected} deliveries delivered", most_s=60, told=lambda: self.unaccounted)
        except AssertionError as late:
            self.faults.append(str(late))
        balance = await self.one.balance()
        if balance.unaccounted or self.unaccounted:
            self.faults.append(f"unaccounted was {max(balance.unaccounted, self.unaccounted)}")
        died = {role: pids for role, pids in self.pids.items() if len(pids) > 1 and role != "starting"}
        self.faults += [f"{role} was started {len(pids)} times" for role, pids in died.items()]
        samples = {role: points for role, points in self.samples.items() if role not in ("starting", "waiting")}
        waiting = [count for _, count in self.samples["waiting"]]
        lasted_s = self.now_s
        return SoakResult(
            lasted_s,
            self.warm_s,
            self.published,
            balance,
            max(waiting, default=0),
            samples,
            censuses,
            self.faults,
        )


async def soak(minutes: float, per_s: float, kept_s: int) -> bool:
    """Run the soak, print the report and return whether every check passed."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {"RETENTION_S": kept_s, "DELIVERY_MAX_AGE_S": kept_s, "PARKED_MAX_AGE_S": kept_s}
        ports = {"WEB_PORT": free_port(), "FLOWER_PORT": free_port()}
        settings = {name: str(value) for name, value in (kept | ports).items()}
        async with run_installation(Path(folder), **PACE, **settings) as installation:
            installation.sandbox.set_rate(0)
            installation.sandbox.tiers, installation.sandbox.latency_s = False, 0.05
            for name in CHANNELS:
                installation.workspace.add_channel(name)
            await installation.connect(*(f"#{name}" for name in CHANNELS), rules=RULES)
            (installation.directory / "Procfile").write_text(_procfile())
            up = installation.start("up", ("ik-slack", "up"), LOG_LEVEL="WARNING")
            await until(lambda: _runs(installation, up), "everything runs")
            run = Soak(installation, up, minutes, per_s, kept_s)
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, run.stopping.set)
            print(
                f"soaking for {minutes:g} minutes; judged from minute {run.warm_s / 60:.1f}; Ctrl-C ends it",
                flush=True,
            )
            result = await run.run()
            log = up.log
            await up.stop(most_s=60)
            installation.programs.clear()  # so that their logs are not printed
    if os.environ.get("SOAK_LOG"):
        print(log)
    return report(result)


def _procfile() -> str:
    """Return the shipped Procfile, with a Flower whose list of tasks is full after minutes."""
    shipped = (Path(__file__).parents[2] / "Procfile").read_text()
    return shipped.replace(" flower ", f" flower --max-tasks={FLOWER_MAX_TASKS} ")


async def _runs(installation: Installation, up: Program) -> bool:
    with suppress(RedisError, StoreUnavailable):
        roles = set(child_processes(up.pid).values())
        processes = installation.app.processes
        alive = await processes.list_alive("worker") and await processes.list_alive("ingest")
        return bool(alive) and {"web", "flower"} <= roles
    return False


def main() -> int:
    """Return the exit code: 0 when every check passed, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="duration of the load (30)")
    parser.add_argument("--per-second", type=float, default=50.0, help="events a second (50)")
    parser.add_argument("--kept-s", type=int, default=0, help="RETENTION_S (two minutes, less in a short run)")
    options = parser.parse_args()
    kept_s = options.kept_s or max(int(min(120, options.minutes * 6)), 20)
    return 0 if asyncio.run(soak(options.minutes, options.per_second, kept_s)) else 1

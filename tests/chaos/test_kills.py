"""kill -9 of every process under load: nothing is lost, and what may have been told twice is marked.

A lane whose worker was killed is free again when its lease ends, 30 s later; entries of a killed ingest are
claimed after 10 s.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from accounts import REPORT, assert_accounted, load
from installation import Installation, Program, until

EVENTS = 1000
FAULTS = (
    "http_500", "http_502_html", "ratelimited", "reset_before", "reset_after", "close_before", "close_after",
    "bad_json", "truncated_json", "internal_error", "service_unavailable",
)  # fmt: skip

Blow = Callable[[], Awaitable[None]]


async def under_load(one: Installation, seed: int, blow: Blow, times: int, what: str) -> None:
    """Publish for nine seconds while blows fall, then account for everything."""
    chance = Random(seed)
    loading = asyncio.create_task(one.load(load(EVENTS), over_s=9))
    for _ in range(times):
        await asyncio.sleep(chance.uniform(0.5, 1.5) * 9 / (times + 1))
        await blow()
    await loading
    await account(one, EVENTS, f"{what} (seed {seed})")


async def account(one: Installation, events: int, what: str) -> None:
    """All of them are told: how long that took from now, and what it cost."""
    began = time.monotonic()
    figures = await assert_accounted(one, events)
    REPORT.append(f"{what}: all told {time.monotonic() - began:.1f} s after the last event; {figures}")


async def test_a_worker_killed_again_and_again_loses_nothing(one: Installation, seed: int):
    one.ingest()
    workers = [one.worker()]
    await one.running(*workers)

    async def blow() -> None:
        await workers[-1].kill()
        workers.append(one.worker())

    await under_load(one, seed, blow, 3, "worker killed 3 times")


async def test_an_ingest_killed_again_and_again_loses_nothing(one: Installation, seed: int):
    ingests = [one.ingest()]
    await one.running(one.worker(), *ingests)

    async def blow() -> None:
        await ingests[-1].kill()
        ingests.append(one.ingest())

    await under_load(one, seed, blow, 5, "ingest killed 5 times")


async def test_a_redis_killed_again_and_again_loses_nothing(one: Installation, seed: int):
    programs = [one.ingest(), one.worker()]
    await one.running(*programs)

    async def blow() -> None:
        await one.kill_redis()
        await one.start_redis()

    await under_load(one, seed, blow, 3, "Redis killed 3 times")
    assert [program.process.poll() for program in programs] == [None, None]


async def test_celerys_keys_deleted_again_and_again_lose_nothing(one: Installation, seed: int):
    await one.running(one.ingest(), one.worker())
    await under_load(one, seed, lambda: flush_celery(one), 5, "Celery's keys deleted 5 times")


async def test_everything_at_once_at_random_loses_nothing(one: Installation, seed: int, seconds: float):
    chance = Random(seed)
    chaos = Chaos(one, chance)
    await chaos.begin()
    until_s, published = time.monotonic() + seconds, 0
    while time.monotonic() < until_s:
        loading = asyncio.create_task(one.load(load(40, published), over_s=1))
        await asyncio.sleep(chance.uniform(0, 1))
        await chance.choice(chaos.blows)()
        await loading
        published += 40
    await chaos.end()
    befell = ", ".join(f"{what} × {times}" for what, times in chaos.count.items())
    await account(one, published, f"everything for {seconds:g} s (seed {seed}; {befell})")


@dataclass
class Chaos:
    """Two ingests, two workers, a Redis and a Slack, and everything that can befall them."""

    one: Installation
    chance: Random
    ingests: list[Program] = field(default_factory=list)
    workers: list[Program] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)

    @property
    def blows(self) -> list[Blow]:
        return [self.kill_ingest, self.kill_worker, self.kill_redis, self.flush, self.fault, self.fault]

    async def begin(self) -> None:
        self.ingests += [self.one.ingest(), self.one.ingest()]
        self.workers += [self.one.worker(), self.one.worker()]
        await self.one.running(*self.ingests, *self.workers)

    async def end(self) -> None:
        """Everything is well again."""
        self.one.sandbox.faults.clear()
        self.one.workspace.reinstate(self.one.workspace.token)

    async def kill_ingest(self) -> None:
        self.count["ingest killed"] += 1
        await self.ingests.pop(self.chance.randrange(2)).kill()
        self.ingests.append(self.one.ingest())

    async def kill_worker(self) -> None:
        self.count["worker killed"] += 1
        await self.workers.pop(self.chance.randrange(2)).kill()
        self.workers.append(self.one.worker())

    async def kill_redis(self) -> None:
        self.count["Redis killed"] += 1
        await self.one.kill_redis()
        await asyncio.sleep(self.chance.uniform(0, 1))
        await self.one.start_redis()

    async def flush(self) -> None:
        self.count["Celery's keys deleted"] += 1
        await flush_celery(self.one)

    async def fault(self) -> None:
        """Slack fails in one of its ways; a token that is revoked works again with the next fault."""
        self.one.workspace.reinstate(self.one.workspace.token)
        name = self.chance.choice((*FAULTS, "token_revoked"))
        self.count[name] += 1
        if name == "token_revoked":
            self.one.workspace.revoke(self.one.workspace.token)
        else:
            self.one.sandbox.fault(name, times=self.chance.randint(1, 5))


async def flush_celery(one: Installation) -> None:
    """Everything Celery keeps in Redis: its queues, what is unacknowledged, its bindings."""

    async def flush() -> bool:
        keys = [key async for key in one.redis.scan_iter("ik:celery:*")]
        return not keys or await one.redis.delete(*keys) >= 0

    await until(flush, "Celery's keys are deleted")

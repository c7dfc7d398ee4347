"""kill -9 of every process under load: nothing is lost, and what may have been told twice is marked.

A lane whose worker was killed is free again when its lease ends, 30 s later; entries of a killed ingest are
claimed after 10 s.
"""

import asyncio
import time
from random import Random

from accounts import REPORT, assert_accounted, load
from blows import Blow, flush_celery
from installation import Installation

EVENTS = 1000


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

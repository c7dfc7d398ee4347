"""kill -9 of every process under load: nothing is lost, and what may have been told twice is marked.

A lane whose worker was killed is free again when its lease ends, 30 s later; entries of a killed ingest are
claimed after 10 s.
"""

import asyncio
import time
from random import Random

from support.faults import Fault, flush_celery
from support.installation import Installation
from support.ledger_checks import REPORT, assert_accounted, make_load

EVENTS = 1000


async def under_load(installation: Installation, seed: int, blow: Fault, times: int, what: str) -> None:
    """Publish for nine seconds while blows fall, then account for everything."""
    chance = Random(seed)
    loading = asyncio.create_task(installation.load(make_load(EVENTS), over_s=9))
    for _ in range(times):
        await asyncio.sleep(chance.uniform(0.5, 1.5) * 9 / (times + 1))
        await blow()
    await loading
    await account(installation, EVENTS, f"{what} (seed {seed})")


async def account(installation: Installation, events: int, what: str) -> None:
    """All of them are told: how long that took from now, and what it cost."""
    began = time.monotonic()
    figures = await assert_accounted(installation, events)
    REPORT.append(f"{what}: all told {time.monotonic() - began:.1f} s after the last event; {figures}")


async def test_a_worker_killed_repeatedly_loses_no_delivery(installation: Installation, seed: int):
    installation.ingest()
    workers = [installation.worker()]
    await installation.running(*workers)

    async def blow() -> None:
        await workers[-1].kill()
        workers.append(installation.worker())

    await under_load(installation, seed, blow, 3, "worker killed 3 times")


async def test_an_ingest_killed_repeatedly_loses_no_event(installation: Installation, seed: int):
    ingests = [installation.ingest()]
    await installation.running(installation.worker(), *ingests)

    async def blow() -> None:
        await ingests[-1].kill()
        ingests.append(installation.ingest())

    await under_load(installation, seed, blow, 5, "ingest killed 5 times")


async def test_a_redis_killed_repeatedly_loses_no_delivery(installation: Installation, seed: int):
    programs = [installation.ingest(), installation.worker()]
    await installation.running(*programs)

    async def blow() -> None:
        await installation.kill_redis()
        await installation.start_redis()

    await under_load(installation, seed, blow, 3, "Redis killed 3 times")
    assert [program.process.poll() for program in programs] == [None, None]


async def test_celerys_keys_deleted_repeatedly_lose_no_delivery(installation: Installation, seed: int):
    await installation.running(installation.ingest(), installation.worker())
    await under_load(installation, seed, lambda: flush_celery(installation), 5, "Celery's keys deleted 5 times")

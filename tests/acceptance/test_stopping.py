"""A worker that is asked to end finishes what it has begun, and another one goes on at once."""

import time

import pytest
from support.events import marks, numbered_alert
from support.installation import Installation, until

CHANNELS = [f"c{number}" for number in range(8)]


@pytest.mark.slow
async def test_posts_under_way_are_finished_and_recorded_and_their_lanes_released(fast: Installation):
    for name in CHANNELS:
        fast.workspace.add_channel(name)
    await fast.connect(*(f"#{name}" for name in CHANNELS))
    ingest, worker = fast.ingest(), fast.worker()
    await fast.running(ingest, worker)
    fast.sandbox.latency_s = 1.5
    await fast.publish(*(numbered_alert(number, name) for number, name in enumerate(CHANNELS)))
    await until(lambda: fast.sandbox.calls["chat.postMessage"] == 8, "eight posts are under way")
    assert (await fast.balance()).delivered == 0
    await fast.publish(*(numbered_alert(100 + number, name) for number, name in enumerate(CHANNELS)))
    await until(lambda: _created(fast, 16), "more waits in each lane")

    assert await worker.stop(most_s=20) == 0
    balance = await fast.balance()
    assert (balance.delivered, balance.pending, balance.repeated, balance.unaccounted) == (8, 8, 0, 0)
    assert [key async for key in fast.redis.scan_iter("ik:lane:*:lease")] == []

    fast.sandbox.latency_s = 0
    second = fast.worker()
    await fast.running(second)
    began = time.monotonic()
    balance = await fast.settled(16)
    assert time.monotonic() - began < 10, "nobody waited for a lease"
    assert (balance.repeated, balance.merged) == (0, 0)
    for number, name in enumerate(CHANNELS):
        assert fast.marks(name) == marks(number, 100 + number)
    assert await ingest.stop() == 0
    assert "Traceback" not in worker.log + ingest.log


async def _created(installation: Installation, count: int) -> bool:
    return (await installation.balance()).created == count


@pytest.mark.slow
async def test_idle_programs_stop_immediately(fast: Installation):
    programs = [fast.ingest(), fast.worker()]
    await fast.running(*programs)
    for one in programs:
        assert await one.stop(most_s=10) == 0
    assert await fast.app.processes.list_alive("worker") == []
    assert await fast.app.processes.list_alive("ingest") == []

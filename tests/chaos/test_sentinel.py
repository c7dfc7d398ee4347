"""The master of a Redis with sentinels is killed again and again under load.

Replication is asynchronous: what the master confirmed in its last moments may not have reached a replica. So an event
that its publisher saw confirmed may be lost, and a message may be posted again. An event whose publisher waited for a
replica (`WAIT 1`) is not lost. A master that is replaced while it lives confirms writes until it misses its replicas
(`min-replicas-to-write`). Whatever is lost, the balance of what is left is complete.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.events import numbered_alert, ref_of_mark
from support.installation import STREAM, Installation, run_installation, until
from support.ledger_checks import CHANNELS, REPORT
from support.sentinel import MAX_LAG_S, ReplicatedRedis, needs_redis_server, run_replicated_redis

from worker.domain.delivery import State

PER_S, KILL_EVERY_S = 30, 20.0
LOST_PER_FAILOVER = PER_S * (MAX_LAG_S + 1)  #: What a master confirms that the sentinels have replaced already.

pytestmark = [
    needs_redis_server,
    pytest.mark.slow,
    # redis-py leaves connections that fail while no master is known to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[ReplicatedRedis]:
    async with run_replicated_redis(tmp_path / "replicated") as redis:
        yield redis


@pytest.fixture
async def installation(tmp_path: Path, redis: ReplicatedRedis) -> AsyncIterator[Installation]:
    """Return an installation on the sentinels, subscribed and empty; nothing runs yet."""
    rates = dict.fromkeys(("POST_RATE_PER_WORKSPACE", "UPDATE_RATE_PER_WORKSPACE"), "60000")
    async with run_installation(tmp_path, REDIS_URL=redis.url, POST_RATE_PER_CHANNEL="20", **rates) as installation:
        installation.sandbox.set_rate(0)
        installation.sandbox.tiers = False
        for name in CHANNELS:
            installation.workspace.add_channel(name)
        await installation.connect(*(f"#{name}" for name in CHANNELS))
        yield installation


async def publish(installation: Installation, number: int) -> None:
    """Publish an event until Redis confirms it; each second one until a replica has it too."""
    body, waits = json.dumps(numbered_alert(number, CHANNELS[number % len(CHANNELS)])), number % 2 == 0

    async def is_confirmed() -> bool:
        async with installation.redis.pipeline(transaction=False) as pipeline:
            pipeline.xadd(STREAM, {"event": body})
            if waits:
                pipeline.execute_command("WAIT", 1, 1000)
            replies = await pipeline.execute()
        return not waits or replies[-1] >= 1

    await until(is_confirmed, f"event {number} is published", most_s=60)


async def test_failovers_under_load_lose_only_what_no_replica_had(
    installation: Installation, redis: ReplicatedRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = float(os.environ.get("MINUTES") or 0) * 60 or 8.0
    programs = [installation.ingest(), installation.worker()]
    await installation.running(*programs)
    events, began = int(PER_S * seconds), time.monotonic()
    publishing: set[asyncio.Task[None]] = set()

    async def load() -> None:
        for number in range(events):
            await asyncio.sleep(max(0.0, began + number / PER_S - time.monotonic()))
            publishing.add(asyncio.create_task(publish(installation, number)))

    loading, away_s, kill_at = asyncio.create_task(load()), [], began
    while not loading.done():
        kill_at = max(kill_at + min(KILL_EVERY_S, seconds / 3), time.monotonic())
        await asyncio.sleep(kill_at - time.monotonic())
        await redis.have_two_replicas()
        if not loading.done():
            away_s.append(await redis.kill_master())
            with capsys.disabled():
                print(f"  {redis.failovers} failovers, {len(publishing)} events", flush=True)
    await asyncio.gather(loading, *publishing)

    last: list[object] = []

    async def all_delivered() -> bool:
        balance = await installation.balance()
        last[:] = [balance, unread := await installation.app.stream.lag()]
        return not unread and balance.created == balance.delivered + balance.merged > 0

    await until(all_delivered, "everything delivered", most_s=120, told=lambda: last)
    balance = await installation.balance()
    assert (balance.unaccounted, balance.lost, balance.dead) == (0, 0, 0)
    deliveries = {delivery.event_ref: delivery for delivery in await installation.deliveries()}
    assert all(delivery.state in (State.DELIVERED, State.MERGED) for delivery in deliveries.values())
    missing = [number for number in range(events) if ref_of_mark(f"evt-{number}") not in deliveries]
    assert not [number for number in missing if number % 2 == 0], "a replica had these"
    assert len(missing) <= LOST_PER_FAILOVER * redis.failovers, missing
    shown = [mark for name in CHANNELS for mark in installation.marks(f"#{name}")]
    posted = {(delivery.channel, delivery.ts) for delivery in deliveries.values()}
    messages = [message for name in CHANNELS for message in installation.messages(f"#{name}")]
    assert posted <= {(message["channel"], message["ts"]) for message in messages}
    again = len(shown) - len(set(shown))
    REPORT.append(
        f"{events} events, {redis.failovers} failovers, at most {max(away_s):.1f} s without a master: {len(missing)} "
        f"confirmed events lost, none of those with WAIT; {again} shown twice, {balance.repeated} marked as repeated"
    )

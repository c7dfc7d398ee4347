"""The installation marker: lost data is reported once, and older data is migrated, newer data not touched."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis
from support.store import World
from test_store_redis_errors import serve_redis

from worker.domain.errors import UserError
from worker.local_machine import free_port
from worker.store.installation import LAYOUT, LOST, InstallationMarker
from worker.store.keys import Keys
from worker.store.redis_client import RedisClient, connect
from worker.store.redis_errors import StoreUnavailable


def log_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.message for line in caplog.records if line.levelno == logging.CRITICAL]


async def test_all_processes_see_one_start_time_of_the_data(world: World) -> None:
    first, second = InstallationMarker(world.server), InstallationMarker(world.server)
    data = await first.check()
    assert (data.lost_ms, data.began_ms > 0) == (0, True)
    assert await second.check() == await first.check() == data


async def test_lost_data_is_logged_once_by_one_process_that_had_seen_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    knowing = [InstallationMarker(world.server) for _ in range(3)]
    for one in knowing:
        await one.check()
    await world.redis.delete("t:origin")
    found = [await one.check() for one in (*knowing, *knowing)]
    assert log_messages(caplog) == [LOST]
    assert len({one.began_ms for one in found}) == 1
    assert found[0].lost_ms == found[0].began_ms


async def test_a_process_that_starts_on_an_empty_server_reports_no_lost_data(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await InstallationMarker(world.server).check()
    await world.redis.delete("t:origin")
    assert (await InstallationMarker(world.server).check()).lost_ms == 0
    assert log_messages(caplog) == []


async def test_data_of_a_newer_version_is_not_touched(world: World) -> None:
    await world.redis.hset("t:origin", mapping={"id": "a", "layout": LAYOUT + 1, "began": 1, "lost": ""})
    with pytest.raises(UserError, match=r"newer version .* KEY_PREFIX t .layout 2, this version knows 1"):
        await InstallationMarker(world.server).require_compatible()


async def test_the_version_check_passes_while_redis_is_away() -> None:
    await InstallationMarker(RedisClient(Redis(port=9))).require_compatible()


Sleep = Callable[[float], Awaitable[None]]


class Migrations:
    """Two migrations of a counter, of which the second can fail."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.fails = False

    async def rename(self, server: RedisClient) -> None:
        self.ran.append("rename")
        await server.command("SET", "t:renamed", "1")

    async def count(self, server: RedisClient) -> None:
        self.ran.append("count")
        if self.fails:
            raise StoreUnavailable
        await server.command("SET", "t:counted", "1")

    def marker(
        self, server: RedisClient, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> InstallationMarker:
        return InstallationMarker(server, (self.rename, self.count), sleep)


async def stored_layout(world: World) -> int:
    return int(await world.redis.hget("t:origin", "layout") or 0)


async def test_new_data_has_the_newest_layout_and_is_not_migrated(world: World) -> None:
    migrations = Migrations()
    assert (await migrations.marker(world.server).check()).layout == 3
    assert migrations.ran == []


async def test_older_data_is_migrated_once_step_by_step(world: World) -> None:
    before, migrations = await InstallationMarker(world.server, ()).check(), Migrations()
    await migrations.marker(world.server).require_compatible()
    after = await migrations.marker(world.server).check()
    assert migrations.ran == ["rename", "count"]
    assert (after.layout, after.began_ms) == (3, before.began_ms)
    assert await world.redis.exists("t:lock:migration") == 0


async def test_a_migration_that_was_cut_off_continues_at_its_step(world: World) -> None:
    await InstallationMarker(world.server, ()).check()
    migrations = Migrations()
    migrations.fails = True
    with pytest.raises(StoreUnavailable):
        await migrations.marker(world.server).check()
    assert await stored_layout(world) == 2
    migrations.fails = False
    await migrations.marker(world.server).check()
    assert migrations.ran == ["rename", "count", "count"]
    assert await stored_layout(world) == 3


async def test_a_process_waits_while_another_migrates(world: World) -> None:
    await InstallationMarker(world.server, ()).check()
    first, second = Migrations(), Migrations()
    await world.processes.lock("migration", "another", 60_000)

    async def other_ends(_: float) -> None:
        await world.processes.unlock("migration", "another")
        await first.marker(world.server).check()

    await second.marker(world.server, other_ends).check()
    assert (first.ran, second.ran) == (["rename", "count"], [])


async def test_the_version_before_does_not_touch_migrated_data(world: World) -> None:
    await Migrations().marker(world.server).check()
    with pytest.raises(UserError, match="newer version"):
        await InstallationMarker(world.server, ()).check()


def test_a_redis_cluster_is_refused_with_one_line(tmp_path: Path) -> None:
    async def check(port: int) -> None:
        server = RedisClient(connect(f"redis://127.0.0.1:{port}"), Keys("t"))
        try:
            await InstallationMarker(server).require_compatible()
        finally:
            await server.aclose()

    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with serve_redis(tmp_path, *options) as (client, _), pytest.raises(UserError) as refused:
        asyncio.run(check(client.connection_pool.connection_kwargs["port"]))
    assert "part of a cluster" in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_a_server_that_forbids_the_question_is_taken_for_no_cluster(real: Redis) -> None:
    await real.execute_command("ACL SETUSER", "default", "-info")
    try:
        assert (await InstallationMarker(RedisClient(real, Keys("t"))).check()).layout == LAYOUT
    finally:
        await real.execute_command("ACL SETUSER", "default", "+info")

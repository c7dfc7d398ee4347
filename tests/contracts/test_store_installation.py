"""The installation marker: lost data is reported once, and data of a newer version is not touched."""

import logging

import pytest
from redis.asyncio import Redis
from support.store import World

from worker.domain.errors import UserError
from worker.store.installation import LAYOUT, LOST, InstallationMarker
from worker.store.redis_client import RedisClient


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

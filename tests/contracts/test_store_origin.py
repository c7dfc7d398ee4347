"""Since when the data are there: said once when they are gone, and left alone when newer ones are there."""

import logging

import pytest
from redis.asyncio import Redis
from store_world import World

from worker.domain.errors import Problem
from worker.store.origin import LAYOUT, LOST, Origin
from worker.store.server import Server


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.message for line in caplog.records if line.levelno == logging.CRITICAL]


async def test_the_data_have_one_origin_for_all(world: World) -> None:
    first, second = Origin(world.server), Origin(world.server)
    data = await first.look()
    assert (data.lost_ms, data.began_ms > 0) == (0, True)
    assert await second.look() == await first.look() == data


async def test_data_that_are_gone_are_said_once_by_one_of_those_who_knew_them(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    knowing = [Origin(world.server) for _ in range(3)]
    for one in knowing:
        await one.look()
    await world.redis.delete("t:origin")
    found = [await one.look() for one in (*knowing, *knowing)]
    assert said(caplog) == [LOST]
    assert len({one.id for one in found}) == 1
    assert found[0].lost_ms == found[0].began_ms


async def test_a_process_that_starts_on_an_empty_server_misses_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await Origin(world.server).look()
    await world.redis.delete("t:origin")
    assert (await Origin(world.server).look()).lost_ms == 0
    assert said(caplog) == []


async def test_what_a_newer_version_wrote_is_not_touched(world: World) -> None:
    await world.redis.hset("t:origin", mapping={"id": "a", "layout": LAYOUT + 1, "began": 1, "lost": ""})
    with pytest.raises(Problem, match=r"newer version .* KEY_PREFIX t .layout 2, this version knows 1"):
        await Origin(world.server).require()


async def test_a_redis_that_is_away_is_looked_at_later() -> None:
    await Origin(Server(Redis(port=9))).require()

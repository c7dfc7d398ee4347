"""Lanes near a limit are reported once, until their backlog has shrunk."""

from collections.abc import Sequence
from typing import Any

from support.store import LANE, World

from worker.domain.backlog_warning import BacklogWarning, LimitKind
from worker.domain.hints import Hint
from worker.store.redis_client import RedisClient, Value
from worker.store.schedule import NEAR_LANES, Backlogs, PendingWarning, WarningKind

HOUR_S = 3_600


async def limits_near(world: World, *, only_new: bool = True) -> list[tuple[LimitKind, int, int]]:
    backlogs = Backlogs(world.server, longest=10)
    found = await backlogs.find_near_limit(running_s=HOUR_S, parked_s=10 * HOUR_S, only_new=only_new)
    assert all(one.lane == LANE for one in found)
    return [(one.kind, round(one.reached, -5) if one.reached > 100 else one.reached, one.limit) for one in found]


async def set_age(world: World, id_: str, seconds: float) -> None:
    """Make a delivery this old."""
    await world.redis.hset(f"t:delivery:{id_}", "born", await world.server.now_ms() - int(seconds * 1000))


async def warnings(world: World) -> list[str]:
    return await world.warnings.list_pending(limit=9)


async def test_a_nearly_full_lane_is_reported_once_until_its_backlog_shrank(world: World):
    await world.append(*(f"a{n}" for n in range(7)))
    assert await limits_near(world) == []
    await world.append("a7", until_ms=await world.server.now_ms() + 10**6)  # held, and counted too
    assert await limits_near(world, only_new=False) == [(LimitKind.LENGTH, 8, 10)]
    assert await warnings(world) == []
    assert await limits_near(world) == [(LimitKind.LENGTH, 8, 10)]
    assert await warnings(world) == [PendingWarning(WarningKind.NEAR_LENGTH, LANE)]
    note = await world.lanes.get_status(LANE)
    assert note.near_limits[LimitKind.LENGTH].backlog == BacklogWarning(LANE, LimitKind.LENGTH, 8, 10)
    await world.deliver(most=2)
    assert await limits_near(world) == []
    await world.append("a8", "a9")
    assert await limits_near(world) == []  # it was never far from it
    await world.deliver(most=6)
    assert await limits_near(world) == []
    await world.append(*(f"b{n}" for n in range(6)))
    assert await limits_near(world) == [(LimitKind.LENGTH, 8, 10)]


async def test_a_lane_whose_oldest_delivery_nearly_expires_is_reported_once(world: World):
    await world.append("a", "b")
    await world.take(await world.hold())  # a post that may fail is under way
    await set_age(world, "a", HOUR_S * 0.79)
    assert await limits_near(world) == []
    await set_age(world, "a", HOUR_S * 0.81)
    assert await limits_near(world) == [(LimitKind.AGE, 2_900_000, 3_600_000)]
    assert await limits_near(world) == []
    assert await warnings(world) == [PendingWarning(WarningKind.NEAR_AGE, LANE)]
    await world.lose_lease()
    await world.deliver(most=1)
    assert await limits_near(world) == []
    await set_age(world, "b", HOUR_S * 0.9)
    assert await limits_near(world) == [(LimitKind.AGE, 3_200_000, 3_600_000)]


async def test_the_age_limit_of_a_parked_lane_is_longer_and_time_parked_does_not_count_later(
    world: World,
):
    await world.append("a")
    await set_age(world, "a", 5 * HOUR_S)
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=9, called=False)
    assert await limits_near(world) == []
    await set_age(world, "a", 9 * HOUR_S)
    assert await limits_near(world, only_new=False) == [(LimitKind.AGE, 32_400_000, 36_000_000)]
    await world.lanes.resume(LANE, permanently=True)
    assert await limits_near(world, only_new=False) == []
    await world.integrations.park("ops", "x", "y", Hint.of("z"), probe_s=9)
    assert await limits_near(world, only_new=False) == [(LimitKind.AGE, 32_400_000, 36_000_000)]


async def test_the_age_of_a_held_delivery_begins_when_quiet_hours_end(world: World):
    await world.append("a")
    await set_age(world, "a", HOUR_S)
    await world.redis.hset("t:delivery:a", "out", await world.server.now_ms())
    assert await limits_near(world) == []


async def test_in_a_parked_lane_a_held_delivery_grows_old_from_the_end_of_quiet_hours_on(world: World):
    await world.append("a", until_ms=await world.server.now_ms() + 10**6)
    await world.append("b")
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=9, called=False)
    ended_ms = await world.server.now_ms() - 2 * HOUR_S * 1000
    await set_age(world, "a", 3 * HOUR_S)
    await world.redis.zadd(world.keys.lane(LANE, "quiet"), {"000000000001:a": ended_ms})
    assert await world.backlogs.find_too_old(running_s=9, parked_s=HOUR_S) == {LANE: True}
    assert await world.lanes.expire(LANE, ended_ms + HOUR_S * 1000, "old", running=False) == 1
    assert await world.backlogs.find_too_old(running_s=9, parked_s=HOUR_S) == {}


async def test_a_lane_that_empties_at_once_is_reported_again_when_it_fills_again(world: World):
    for first in (0, 8):
        await world.append(*(f"a{n}" for n in range(first, first + 8)))
        assert await limits_near(world) == [(LimitKind.LENGTH, 8, 10)]
        await world.deliver(most=8)
        assert LANE not in await world.redis.zrange("t:due", 0, -1)
        assert await limits_near(world) == []
        assert await world.backlogs.list_lanes() == []


async def test_idle_lanes_are_not_looked_at(world: World):
    await world.append("a")
    await world.deliver()
    server = ArgumentCounter(world.redis, world.keys)
    assert await Backlogs(server, longest=1).find_near_limit(running_s=0, parked_s=0, only_new=True) == []
    assert server.most == 0


def test_a_backlog_warning_has_a_text_and_a_consequence():
    full = BacklogWarning(LANE, LimitKind.LENGTH, 8_012, 10_000)
    old = BacklogWarning(LANE, LimitKind.AGE, 69_200_000, 86_400_000)
    assert full.text == "8,012 of at most 10,000 deliveries wait"
    assert full.consequence == "When the lane is full, its oldest deliveries become dead letters (overflow)."
    assert old.text == "the oldest delivery has waited 19 h 13 min of at most 1 d"
    assert old.consequence == "A delivery that waits longer becomes a dead letter (expired)."


class ArgumentCounter(RedisClient):
    """A server that records the largest number of arguments of a script."""

    most = 0

    async def run_script(self, name: str, keys: Sequence[str], arguments: Sequence[Value] = ()) -> Any:
        self.most = max(self.most, len(arguments))
        return await super().run_script(name, keys, arguments)


async def test_no_script_reads_all_lanes(world: World):
    """With ten thousand lanes such a script would block Redis for all processes."""
    await world.append(*(f"a{n}" for n in range(9)))
    others = [f"ops/#{n}" for n in range(5 * NEAR_LANES)]
    await world.redis.zadd("t:parked", dict.fromkeys(others, 1))
    server = ArgumentCounter(world.redis, world.keys)
    found = await Backlogs(server, longest=10).find_near_limit(running_s=9, parked_s=9, only_new=True)
    assert [(one.lane, one.kind, one.reached) for one in found] == [(LANE, LimitKind.LENGTH, 9)]
    assert NEAR_LANES < server.most < 2 * NEAR_LANES
    await world.redis.zrem("t:parked", *others)

"""Lanes near a limit are found, and noted once until far less waits."""

from collections.abc import Sequence
from typing import Any

from store_world import LANE, World

from worker.domain.pressure import Limit, Near
from worker.store.lanes import Lanes
from worker.store.server import MEMBERS_AT_ONCE, Server, Value

HOUR_S = 3_600


async def near(world: World, *, only_new: bool = True) -> list[tuple[Limit, int, int]]:
    lanes = Lanes(world.server, retention_s=9, longest=10)
    found = await lanes.near(running_s=HOUR_S, parked_s=10 * HOUR_S, only_new=only_new)
    assert all(one.lane == LANE for one in found)
    return [
        (one.limit, round(one.reached, -5) if one.reached > 100 else one.reached, one.most) for one in found
    ]


async def age(world: World, id_: str, seconds: float) -> None:
    """It has waited for so long."""
    await world.redis.hset(f"t:delivery:{id_}", "born", await world.server.now_ms() - int(seconds * 1000))


async def warnings(world: World) -> list[str]:
    return await world.upkeep.warnings(most=9)


async def test_a_lane_that_is_nearly_full_is_noted_once_until_far_less_waits(world: World):
    await world.append(*(f"a{n}" for n in range(7)))
    assert await near(world) == []
    await world.append("a7", until_ms=await world.server.now_ms() + 10**6)  # held, and counted too
    assert await near(world, only_new=False) == [(Limit.LENGTH, 8, 10)]
    assert await warnings(world) == []
    assert await near(world) == [(Limit.LENGTH, 8, 10)]
    assert await warnings(world) == [f"length:{LANE}"]
    note = await world.upkeep.lane_note(LANE)
    assert note["near_length"].split()[1:] == ["8", "10"]
    await world.tell(most=2)
    assert await near(world) == []
    await world.append("a8", "a9")
    assert await near(world) == []  # it was never far from it
    await world.tell(most=6)
    assert await near(world) == []
    await world.append(*(f"b{n}" for n in range(6)))
    assert await near(world) == [(Limit.LENGTH, 8, 10)]


async def test_a_lane_whose_oldest_has_waited_for_long_is_noted_once(world: World):
    await world.append("a", "b")
    await world.take(await world.hold())  # a post that may fail is under way
    await age(world, "a", HOUR_S * 0.79)
    assert await near(world) == []
    await age(world, "a", HOUR_S * 0.81)
    assert await near(world) == [(Limit.AGE, 2_900_000, 3_600_000)]
    assert await near(world) == []
    assert await warnings(world) == [f"age:{LANE}"]
    await world.lose_lease()
    await world.tell(most=1)
    assert await near(world) == []
    await age(world, "b", HOUR_S * 0.9)
    assert await near(world) == [(Limit.AGE, 3_200_000, 3_600_000)]


async def test_what_waits_for_a_person_may_wait_longer_and_the_time_until_then_does_not_count_after(
    world: World,
):
    await world.append("a")
    await age(world, "a", 5 * HOUR_S)
    await world.lanes.park(await world.hold(), "x", "y", "z", probe_s=9, called=False)
    assert await near(world) == []
    await age(world, "a", 9 * HOUR_S)
    assert await near(world, only_new=False) == [(Limit.AGE, 32_400_000, 36_000_000)]
    await world.lanes.resume(LANE, certain=True)
    assert await near(world, only_new=False) == []
    await world.integrations.park("ops", "x", "y", "z", probe_s=9)
    assert await near(world, only_new=False) == [(Limit.AGE, 32_400_000, 36_000_000)]


async def test_what_was_held_in_quiet_hours_waits_since_these_ended(world: World):
    await world.append("a")
    await age(world, "a", HOUR_S)
    await world.redis.hset("t:delivery:a", "out", await world.server.now_ms())
    assert await near(world) == []


def test_how_near_it_is_is_said_in_words():
    full = Near(LANE, Limit.LENGTH, 8_012, 10_000)
    old = Near(LANE, Limit.AGE, 69_200_000, 86_400_000)
    assert full.words == "8,012 of at most 10,000 deliveries wait"
    assert full.then == "When it is full, its oldest become dead letters (overflow)."
    assert old.words == "the oldest delivery has waited 19 h 13 min of at most 1 d"
    assert old.then == "What waits longer becomes a dead letter (expired)."


class Weighed(Server):
    """A server that notes how much each script was given."""

    most = 0

    async def script(self, name: str, keys: Sequence[str], arguments: Sequence[Value] = ()) -> Any:
        self.most = max(self.most, len(arguments))
        return await super().script(name, keys, arguments)


async def test_no_script_looks_at_all_lanes(world: World):
    """Of an installation with ten thousand of them each look would hold up everybody."""
    await world.append(*(f"a{n}" for n in range(9)))
    others = [f"ops/#{n}" for n in range(5 * MEMBERS_AT_ONCE)]
    await world.redis.sadd("t:lanes", *others)
    server = Weighed(world.redis, world.keys)
    found = await Lanes(server, retention_s=9, longest=10).near(running_s=9, parked_s=9, only_new=True)
    assert [(one.lane, one.limit, one.reached) for one in found] == [(LANE, Limit.LENGTH, 9)]
    assert MEMBERS_AT_ONCE < server.most < 2 * MEMBERS_AT_ONCE
    await world.redis.srem("t:lanes", *others)

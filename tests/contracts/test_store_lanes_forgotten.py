"""A lane with neither history nor deliveries is forgotten, so that lanes made from events do not pile up."""

import pytest
from support.store import LANE, World

from worker.domain.hints import Hint

LATER_MS = 10**14
OTHER = "ops/#other"


async def trim(world: World, *, kept: str = "") -> None:
    """Trim as if everything that is finished were old."""
    await world.deliveries.trim_indexes(
        deliveries_before_ms=LATER_MS, finished_before_ms=LATER_MS, is_kept=lambda lane: lane == kept
    )


async def lanes_with_keys(world: World) -> set[str]:
    keys = [key.decode() for key in await world.redis.keys("t:lane:*")]
    return {":".join(key.split(":")[2:3]) for key in keys if not key.endswith(":wake")}


async def test_an_old_lane_leaves_no_key(world: World):
    await world.dead("a")
    await world.dead("b", lane=OTHER)
    await trim(world, kept=OTHER)
    assert await world.lanes.list_names() == [OTHER]
    assert await lanes_with_keys(world) == {OTHER}
    await world.append("c")
    assert await world.listed(LANE, "pending") == ["c"]


@pytest.mark.parametrize("young", ["deliveries_before_ms", "finished_before_ms"])
async def test_a_lane_with_history_is_kept(world: World, young: str):
    await world.dead("a")
    before = {"deliveries_before_ms": LATER_MS, "finished_before_ms": LATER_MS, young: 5}
    await world.deliveries.trim_indexes(**before, is_kept=lambda _: False)
    assert await world.lanes.list_names() == [LANE]


async def test_a_lane_with_deliveries_is_kept(world: World):
    await world.append("pending")
    await trim(world)
    held = await world.hold()
    await world.take(held)
    await trim(world)
    await world.lanes.park(held, "x", "y", Hint.of("z"), probe_s=9, called=False)
    await trim(world)
    assert await world.listed(LANE, "pending") == ["pending"]
    assert await world.lanes.list_names() == [LANE]


async def test_a_lane_with_deliveries_in_quiet_hours_is_kept(world: World):
    await world.append("a", until_ms=await world.server.now_ms() + 10**6)
    await trim(world)
    assert await world.quiet() == ["a"]
    assert await world.lanes.list_names() == [LANE]


async def test_a_replay_brings_a_forgotten_lane_back(world: World):
    await world.dead("a")
    await trim(world)
    assert await world.lanes.list_names() == []
    assert (await world.lanes.replay(LANE, "a", 9)).replayed == 1
    assert await world.deliver() == ["a"]


async def test_many_lanes_are_looked_at_in_turn(real):
    world = World(real)
    await real.sadd("t:lanes", *(f"ops/#c{number}" for number in range(900)))
    await trim(world)
    assert 0 < len(await world.lanes.list_names()) < 900
    for _ in range(60):
        await trim(world)
    assert await world.lanes.list_names() == []

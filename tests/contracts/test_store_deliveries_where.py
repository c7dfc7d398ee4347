"""Deliveries by what their records say: the server looks, page after page."""

from store_world import LANE, RECEIPT, World

from worker.domain.delivery import Outcome


async def ids(world: World, *, since_ms: int = 0, **where: str) -> list[str]:
    return [one.id async for one in world.deliveries.newest(where=where, since_ms=since_ms)]


async def test_those_of_a_lane_are_found_on_every_page(world: World):
    many = [f"d{n}" for n in range(2_100)]
    await world.append("first", lane="ops/#other")
    await world.append(*many)
    await world.append("last", lane="ops/#other")
    assert await ids(world, lane="ops/#other") == ["last", "first"]
    assert await ids(world, lane=LANE) == many[::-1]
    await world.redis.flushdb()


async def test_all_that_is_asked_for_must_be_so(world: World):
    await world.append("a", "b")
    await world.tell()
    await world.append("c", "d")
    assert await ids(world, state="merged") == ["b"]
    assert await ids(world, event="c.src", state="pending") == ["c"]
    assert await ids(world, event="c.src", state="merged") == []


async def test_what_was_created_before_is_left_out(world: World):
    await world.append("a")
    assert await ids(world, since_ms=await world.server.now_ms() + 60_000) == []
    assert await ids(world, since_ms=await world.server.now_ms() - 60_000) == ["a"]


async def test_calls_made_after_a_delivery_was_told_are_not_read(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.settle(held, RECEIPT, "a")
    told = await world.deliveries.find("a")
    late = told.finished_at_ms + 5_000
    await world.redis.xadd(f"t:lane:{LANE}:attempts", {"not": "an attempt"}, id=f"{late}-0")
    assert [one.outcome for one in await world.deliveries.attempts(told)] == [Outcome.DELIVERED]

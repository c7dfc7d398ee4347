"""Upkeep: locks, signs of life, what is due, and what is thrown away."""

from store_world import LANE, World

from worker.domain.delivery import Receipt

HORIZON_MS = 3_700_000


async def due(world: World, most: int = 10) -> list[str]:
    return await world.upkeep.due_lanes(most=most, horizon_ms=HORIZON_MS)


async def test_a_lock_is_one_holders_until_it_gives_it_back(world: World):
    upkeep = world.upkeep
    assert await upkeep.lock("sweep", "one", 5_000)
    assert await upkeep.lock("sweep", "one", 9_000)
    assert 5_000 < await world.redis.pttl("t:lock:sweep") <= 9_000
    assert not await upkeep.lock("sweep", "two", 5_000)
    await upkeep.unlock("sweep", "two")
    assert not await upkeep.lock("sweep", "two", 5_000)
    await upkeep.unlock("sweep", "one")
    await upkeep.unlock("sweep", "one")
    assert await upkeep.lock("sweep", "two", 5_000)
    assert await upkeep.lock("other", "one", 5_000)


async def test_who_was_seen_lately_is_alive(world: World):
    upkeep = world.upkeep
    await upkeep.beat("worker", "one")
    await upkeep.beat("worker", "two")
    await upkeep.beat("ingest", "three")
    assert await upkeep.alive("worker") == ["one", "two"]
    await upkeep.leave("worker", "one")
    assert await upkeep.alive("worker") == ["two"]
    await world.redis.zadd("t:beat:worker", {"two": await world.server.now_ms() - 20_000})
    assert await upkeep.alive("worker") == []
    await upkeep.beat("worker", "four")
    assert await world.redis.zrange("t:beat:worker", 0, -1) == [b"four"]


async def test_what_parks_is_to_be_warned_of_until_somebody_was(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "is_archived", "why", "how", probe_s=60, called=False)
    await world.integrations.park("other", "token_revoked", "why", "how", probe_s=60)
    assert set(await world.upkeep.warnings(most=10)) == {f"lane:{LANE}", "integration:other"}
    assert len(await world.upkeep.warnings(most=1)) == 1
    await world.upkeep.warned(f"lane:{LANE}")
    assert await world.upkeep.warnings(most=10) == ["integration:other"]


async def test_a_lane_that_parks_anew_is_to_be_warned_of_only_after_it_told_something(world: World):
    await world.append("a")
    for told, again in ((False, []), (True, [f"lane:{LANE}"])):
        await world.lanes.park(await world.hold(), "is_archived", "why", "how", probe_s=60, called=False)
        await world.upkeep.warned(f"lane:{LANE}")
        await world.lanes.resume(LANE, certain=True)
        if told:
            held = await world.hold()
            await world.take(held)
            await world.lanes.settle(held, Receipt("C1", "1.0"), "a")
            await world.append("b")
        await world.lanes.park(await world.hold(), "is_archived", "why", "how", probe_s=60, called=False)
        assert await world.upkeep.warnings(most=10) == again
        await world.lanes.resume(LANE, certain=True)


async def test_a_lane_emptied_while_it_was_parked_is_news_when_it_parks_again(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "is_archived", "why", "how", probe_s=60, called=False)
    await world.upkeep.warned(f"lane:{LANE}")
    assert await world.lanes.expire(LANE, await world.server.now_ms() + 60_000, "old", running=False) == 1
    await world.append("b")
    await world.lanes.park(await world.hold(), "is_archived", "why", "how", probe_s=60, called=False)
    assert await world.upkeep.warnings(most=10) == [f"lane:{LANE}"]


async def test_an_integration_that_parks_anew_is_to_be_warned_of_only_after_it_told_something(world: World):
    await world.append("a")
    assert await world.integrations.park("ops", "token_revoked", "why", "how", probe_s=60)
    await world.upkeep.warned("integration:ops")
    await world.integrations.resume("ops")
    assert await world.integrations.park("ops", "token_revoked", "why", "how", probe_s=60)
    assert await world.upkeep.warnings(most=10) == []
    await world.integrations.resume("ops")
    held = await world.hold()
    await world.take(held)
    await world.lanes.settle(held, Receipt("C1", "1.0"), "a")
    assert await world.integrations.park("ops", "token_revoked", "why", "how", probe_s=60)
    assert await world.upkeep.warnings(most=10) == ["integration:ops"]


async def test_a_due_lane_is_called_once_at_a_time(world: World):
    await world.append("a")
    assert await due(world) == []  # whoever appended calls
    await world.redis.delete(f"t:lane:{LANE}:wake")
    assert await due(world) == [LANE]
    assert await due(world) == []
    assert 0 < await world.redis.pttl(f"t:lane:{LANE}:wake") <= 5_000


async def test_lanes_that_lie_down_or_are_held_are_passed_over(world: World):
    for n, lane in enumerate(("ops/#held", "ops/#lying", "ops/#due")):
        await world.append(f"d{n}", lane=lane)
    await world.redis.delete("t:lane:ops/#due:wake")
    await world.hold("ops/#held")
    await world.redis.zadd("t:due", {"ops/#held": 1})
    await world.lanes.release(await world.hold("ops/#lying"), wait_s=60, reason="x")
    assert await due(world) == ["ops/#due"]


async def test_lanes_behind_many_that_were_called_are_found(world: World):
    for n in range(7):
        await world.append(f"d{n}", lane=f"ops/#{n}")
    await world.redis.delete("t:lane:ops/#5:wake", "t:lane:ops/#6:wake")
    await world.redis.zadd("t:due", {f"ops/#{n}": n + 1 for n in range(7)})
    assert await due(world, most=1) == ["ops/#5"]
    assert await due(world, most=2) == ["ops/#6"]
    assert await due(world, most=2) == []


async def test_a_lane_that_a_jumping_clock_put_to_sleep_is_called(world: World):
    await world.append("a")
    await world.redis.delete(f"t:lane:{LANE}:wake")
    await world.redis.zadd("t:due", {LANE: await world.server.now_ms() + 10 * HORIZON_MS})
    assert await due(world) == [LANE]


async def test_what_is_parked_is_probed_now_and_then_again_later(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", "z", probe_s=0, called=False)
    await world.integrations.park("dev", "x", "y", "z", probe_s=100)
    assert await world.upkeep.due_probes(again_in_s=60, most=10) == [f"lane:{LANE}"]
    assert await world.upkeep.due_probes(again_in_s=60, most=10) == []
    now = await world.server.now_ms()
    assert now + 50_000 < await world.redis.zscore("t:probes", f"lane:{LANE}") <= now + 60_000


async def test_a_probe_comes_sooner_never_later_and_only_for_what_is_parked(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", "z", probe_s=60, called=False)
    for in_s, at_s in ((90, 60), (5, 5)):
        await world.upkeep.probe_soon(f"lane:{LANE}", in_s)
        at_ms = await world.redis.zscore("t:probes", f"lane:{LANE}")
        assert abs(at_ms - await world.server.now_ms() - at_s * 1000) < 2_000
    await world.lanes.resume(LANE, certain=True)
    await world.upkeep.probe_soon(f"lane:{LANE}", 5)
    assert await world.redis.zcard("t:probes") == 0


async def test_a_probe_that_a_jumping_clock_put_off_is_made(world: World):
    await world.integrations.park("dev", "x", "y", "z", probe_s=60)
    await world.redis.zincrby("t:probes", 86_400_000, "integration:dev")
    assert await world.upkeep.due_probes(again_in_s=60, most=10) == ["integration:dev"]


async def test_lanes_that_wait_are_told_apart_by_what_they_wait_for(world: World):
    for n, lane in enumerate(("ops/#running", "ops/#parked", "dev/#held")):
        await world.append(f"d{n}", lane=lane)
    await world.lanes.park(await world.hold("ops/#parked"), "x", "y", "z", probe_s=9, called=False)
    await world.redis.hset("t:integrations", "dev", "{}")
    await world.integrations.park("dev", "x", "y", "z", probe_s=9)
    await world.lanes.acquire("dev/#held", "h1")
    assert sorted(await world.upkeep.lanes_waiting()) == [
        ("dev/#held", True),
        ("ops/#parked", True),
        ("ops/#running", False),
    ]


async def test_what_is_older_than_anything_it_speaks_of_is_thrown_away(world: World):
    for n in range(300):
        await world.redis.xadd("t:deliveries", {"id": f"old{n}"}, id=f"{n + 1}-1")
        await world.redis.xadd(f"t:lane:{LANE}:deliveries", {"id": f"old{n}"}, id=f"{n + 1}-1")
        for index in ("deliveries:delivered", f"lane:{LANE}:attempts"):
            await world.redis.xadd(f"t:{index}", {"id": f"old{n}"}, id=f"{n + 1}-1")
    await world.redis.zadd("t:subscriptions:removed", {"long ago": 4_999, "lately": 5_001})
    await world.append("a")
    await world.upkeep.throw_away(deliveries_before_ms=-5, finished_before_ms=-5)
    assert await world.redis.xlen("t:deliveries") == 301
    await world.upkeep.throw_away(deliveries_before_ms=5_000, finished_before_ms=100)
    assert await world.redis.xlen("t:deliveries") <= 101
    assert await world.redis.xlen(f"t:lane:{LANE}:deliveries") <= 101
    for index in ("deliveries:delivered", f"lane:{LANE}:attempts"):
        assert 200 <= await world.redis.xlen(f"t:{index}") <= 300
    assert await world.redis.zrange("t:subscriptions:removed", 0, -1) == [b"lately"]
    assert [one.id async for one in world.deliveries.newest()] == ["a"]


async def test_the_server_says_what_it_is(real):
    info = await World(real).upkeep.info("server")
    assert int(info["redis_version"].split(".")[0]) >= 6

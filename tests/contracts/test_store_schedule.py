"""Upkeep: locks, heartbeats, due lanes and probes, and trimmed indexes."""

from support.store import LANE, World

from worker.domain.delivery import Receipt
from worker.domain.hints import Hint
from worker.store.schedule import PendingWarning, ProbeKind, ProbeTarget, WarningKind

HORIZON_MS = 3_700_000
LANE_PARKED = PendingWarning(WarningKind.LANE_PARKED, LANE)
INTEGRATION_PARKED = PendingWarning(WarningKind.INTEGRATION_PARKED, "ops")
LANE_PROBE = ProbeTarget(ProbeKind.LANE, LANE)


async def list_due_lanes(world: World, most: int = 10) -> list[str]:
    return await world.schedule.claim_due_lanes(limit=most, horizon_ms=HORIZON_MS)


async def test_a_lock_has_one_holder_until_it_is_released(world: World):
    processes = world.processes
    assert await processes.lock("sweep", "one", 5_000)
    assert await processes.lock("sweep", "one", 9_000)
    assert 5_000 < await world.redis.pttl("t:lock:sweep") <= 9_000
    assert not await processes.lock("sweep", "two", 5_000)
    await processes.unlock("sweep", "two")
    assert not await processes.lock("sweep", "two", 5_000)
    await processes.unlock("sweep", "one")
    await processes.unlock("sweep", "one")
    assert await processes.lock("sweep", "two", 5_000)
    assert await processes.lock("other", "one", 5_000)


async def test_a_process_with_a_recent_heartbeat_is_alive(world: World):
    processes = world.processes
    await processes.record_heartbeat("worker", "one")
    await processes.record_heartbeat("worker", "two")
    await processes.record_heartbeat("ingest", "three")
    assert await processes.list_alive("worker") == ["one", "two"]
    await processes.remove_heartbeat("worker", "one")
    assert await processes.list_alive("worker") == ["two"]
    await world.redis.zadd("t:beat:worker", {"two": await world.server.now_ms() - 20_000})
    assert await processes.list_alive("worker") == []
    await processes.record_heartbeat("worker", "four")
    assert await world.redis.zrange("t:beat:worker", 0, -1) == [b"four"]


async def test_a_parked_lane_or_integration_has_a_pending_warning_until_it_is_reported(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "is_archived", "why", Hint.of("how"), probe_s=60, called=False)
    other_parked = PendingWarning(WarningKind.INTEGRATION_PARKED, "other")
    await world.integrations.park("other", "token_revoked", "why", Hint.of("how"), probe_s=60)
    assert set(await world.warnings.list_pending(limit=10)) == {LANE_PARKED, other_parked}
    assert len(await world.warnings.list_pending(limit=1)) == 1
    await world.warnings.finish(LANE_PARKED)
    assert await world.warnings.list_pending(limit=10) == [other_parked]


async def test_a_lane_that_parks_again_has_a_new_warning_only_if_it_delivered_in_between(world: World):
    await world.append("a")
    for delivers_between, again in ((False, []), (True, [LANE_PARKED])):
        await world.lanes.park(await world.hold(), "is_archived", "why", Hint.of("how"), probe_s=60, called=False)
        await world.warnings.finish(LANE_PARKED)
        await world.lanes.resume(LANE, permanently=True)
        if delivers_between:
            held = await world.hold()
            await world.take(held)
            await world.lanes.settle(held, Receipt("C1", "1.0"), "a")
            await world.append("b")
        await world.lanes.park(await world.hold(), "is_archived", "why", Hint.of("how"), probe_s=60, called=False)
        assert await world.warnings.list_pending(limit=10) == again
        await world.lanes.resume(LANE, permanently=True)


async def test_a_lane_whose_deliveries_expired_while_parked_has_a_new_warning_when_it_parks_again(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "is_archived", "why", Hint.of("how"), probe_s=60, called=False)
    await world.warnings.finish(LANE_PARKED)
    assert await world.lanes.expire(LANE, await world.server.now_ms() + 60_000, "old", running=False) == 1
    await world.append("b")
    await world.lanes.park(await world.hold(), "is_archived", "why", Hint.of("how"), probe_s=60, called=False)
    assert await world.warnings.list_pending(limit=10) == [LANE_PARKED]


async def test_an_integration_that_parks_again_has_a_new_warning_only_if_it_delivered_in_between(world: World):
    await world.append("a")
    assert await world.integrations.park("ops", "token_revoked", "why", Hint.of("how"), probe_s=60)
    await world.warnings.finish(INTEGRATION_PARKED)
    await world.integrations.resume("ops")
    assert await world.integrations.park("ops", "token_revoked", "why", Hint.of("how"), probe_s=60)
    assert await world.warnings.list_pending(limit=10) == []
    await world.integrations.resume("ops")
    held = await world.hold()
    await world.take(held)
    await world.lanes.settle(held, Receipt("C1", "1.0"), "a")
    assert await world.integrations.park("ops", "token_revoked", "why", Hint.of("how"), probe_s=60)
    assert await world.warnings.list_pending(limit=10) == [INTEGRATION_PARKED]


async def test_a_due_lane_gets_one_wake_up_call_at_a_time(world: World):
    await world.append("a")
    assert await list_due_lanes(world) == []  # the process that appended has sent the wake-up call
    await world.redis.delete(f"t:lane:{LANE}:wake")
    assert await list_due_lanes(world) == [LANE]
    assert await list_due_lanes(world) == []
    assert 0 < await world.redis.pttl(f"t:lane:{LANE}:wake") <= 5_000


async def test_snoozed_and_leased_lanes_get_no_wake_up_call(world: World):
    for n, lane in enumerate(("ops/#held", "ops/#lying", "ops/#due")):
        await world.append(f"d{n}", lane=lane)
    await world.redis.delete("t:lane:ops/#due:wake")
    await world.hold("ops/#held")
    await world.redis.zadd("t:due", {"ops/#held": 1})
    await world.lanes.release(await world.hold("ops/#lying"), wait_s=60, reason="x")
    assert await list_due_lanes(world) == ["ops/#due"]


async def test_due_lanes_after_many_lanes_with_a_wake_up_call_are_found(world: World):
    for n in range(7):
        await world.append(f"d{n}", lane=f"ops/#{n}")
    await world.redis.delete("t:lane:ops/#5:wake", "t:lane:ops/#6:wake")
    await world.redis.zadd("t:due", {f"ops/#{n}": n + 1 for n in range(7)})
    assert await list_due_lanes(world, most=1) == ["ops/#5"]
    assert await list_due_lanes(world, most=2) == ["ops/#6"]
    assert await list_due_lanes(world, most=2) == []


async def test_a_lane_that_a_clock_jump_snoozed_for_too_long_gets_a_wake_up_call(world: World):
    await world.append("a")
    await world.redis.delete(f"t:lane:{LANE}:wake")
    await world.redis.zadd("t:due", {LANE: await world.server.now_ms() + 10 * HORIZON_MS})
    assert await list_due_lanes(world) == [LANE]


async def test_a_due_probe_is_claimed_once_and_due_again_later(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=0, called=False)
    await world.integrations.park("dev", "x", "y", Hint.of("z"), probe_s=100)
    assert await world.schedule.claim_due_probes(again_in_s=60, limit=10) == [LANE_PROBE]
    assert await world.schedule.claim_due_probes(again_in_s=60, limit=10) == []
    now = await world.server.now_ms()
    assert now + 50_000 < await world.redis.zscore("t:probes", f"lane:{LANE}") <= now + 60_000


async def test_a_probe_can_only_be_moved_earlier_and_only_for_a_parked_lane(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=60, called=False)
    for in_s, at_s in ((90, 60), (5, 5)):
        await world.schedule.probe_within(LANE_PROBE, in_s)
        at_ms = await world.redis.zscore("t:probes", f"lane:{LANE}")
        assert abs(at_ms - await world.server.now_ms() - at_s * 1000) < 2_000
    await world.lanes.resume(LANE, permanently=True)
    await world.schedule.probe_within(LANE_PROBE, 5)
    assert await world.redis.zcard("t:probes") == 0


async def test_a_probe_that_a_clock_jump_delayed_is_due(world: World):
    await world.integrations.park("dev", "x", "y", Hint.of("z"), probe_s=60)
    await world.redis.zincrby("t:probes", 86_400_000, "integration:dev")
    assert await world.schedule.claim_due_probes(again_in_s=60, limit=10) == [ProbeTarget(ProbeKind.INTEGRATION, "dev")]


async def test_lanes_with_pending_deliveries_are_listed_and_the_old_ones_with_whether_they_are_parked(world: World):
    for n, lane in enumerate(("ops/#running", "ops/#parked", "dev/#held")):
        await world.append(f"d{n}", lane=lane)
    await world.lanes.park(await world.hold("ops/#parked"), "x", "y", Hint.of("z"), probe_s=9, called=False)
    await world.redis.hset("t:integrations", "dev", "{}")
    await world.integrations.park("dev", "x", "y", Hint.of("z"), probe_s=9)
    await world.lanes.acquire("dev/#held", "h1")
    assert sorted(await world.backlogs.list_lanes()) == ["dev/#held", "ops/#parked", "ops/#running"]
    assert world.backlogs.size == 3
    old = await world.backlogs.find_too_old(running_s=0, parked_s=0)
    assert old == {"dev/#held": True, "ops/#parked": True, "ops/#running": False}
    assert await world.backlogs.find_too_old(running_s=9, parked_s=9) == {}


async def test_index_entries_older_than_their_deliveries_are_trimmed(world: World):
    for n in range(300):
        await world.redis.xadd("t:deliveries", {"id": f"old{n}"}, id=f"{n + 1}-1")
        await world.redis.xadd(f"t:lane:{LANE}:deliveries", {"id": f"old{n}"}, id=f"{n + 1}-1")
        for index in ("deliveries:delivered", f"lane:{LANE}:attempts"):
            await world.redis.xadd(f"t:{index}", {"id": f"old{n}"}, id=f"{n + 1}-1")
    await world.redis.zadd("t:subscriptions:removed", {"long ago": 4_999, "lately": 5_001})
    await world.append("a")
    await world.deliveries.trim_indexes(deliveries_before_ms=-5, finished_before_ms=-5)
    assert await world.redis.xlen("t:deliveries") == 301
    await world.deliveries.trim_indexes(deliveries_before_ms=5_000, finished_before_ms=100)
    assert await world.redis.xlen("t:deliveries") <= 101
    assert await world.redis.xlen(f"t:lane:{LANE}:deliveries") <= 101
    for index in ("deliveries:delivered", f"lane:{LANE}:attempts"):
        assert 200 <= await world.redis.xlen(f"t:{index}") <= 300
    assert await world.redis.zrange("t:subscriptions:removed", 0, -1) == [b"lately"]
    assert [one.id for one in await world.newest()] == ["a"]


async def test_the_server_information_has_the_redis_version(real):
    info = await World(real).server.info("server")
    assert int(info["redis_version"].split(".")[0]) >= 6


async def test_an_unreadable_warning_is_removed(world: World):
    await world.redis.zadd("t:warnings", {"unknown:x": 3, f"lane:{LANE}": 4})
    assert await world.warnings.list_pending(limit=9) == [LANE_PARKED]
    assert await world.redis.zcard("t:warnings") == 1

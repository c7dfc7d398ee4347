"""Deliveries held in quiet hours: they block no others, and are posted together afterwards."""

from support.store import LANE, OPEN_SCOPES, RECEIPT, World

from worker.domain.delivery import State
from worker.domain.hints import Hint
from worker.store.lanes import AppendResult, Denial, LaneRemainder, LeaseDenied, NewDelivery, ResumeResult

HOUR_MS = 3_600_000
HORIZON_MS = 3_700_000


async def later(world: World, hours: float = 9) -> int:
    return await world.server.now_ms() + int(hours * HOUR_MS)


async def due_in_ms(world: World) -> float:
    at_ms = await world.redis.zscore("t:due", LANE)
    assert at_ms is not None
    return at_ms - await world.server.now_ms()


async def test_a_held_delivery_is_pending_and_sends_no_wake_up_call(world: World):
    assert await world.append("a", "b", until_ms=await later(world)) == AppendResult(2, 0, False)
    assert await world.lanes.acquire(LANE, "h1") == LeaseDenied(Denial.EMPTY)
    assert (await world.balance()).pending == 2
    assert await world.deliveries.list_pending_ids(LANE, limit=10) == ["a", "b"]
    assert await world.state("a") == State.PENDING


async def test_a_past_time_holds_no_delivery(world: World):
    assert await world.append("a", until_ms=await later(world, -1)) == AppendResult(1, 0, True)
    assert await world.quiet() == []


async def test_the_end_of_quiet_hours_is_known_for_a_held_delivery(world: World):
    until_ms = await later(world)
    await world.append("a", until_ms=until_ms)
    await world.append("b")
    found = [await world.deliveries.find(id_) for id_ in "ab"]
    assert [await world.deliveries.get_held_until_ms(one) for one in found if one] == [until_ms, 0]


async def test_other_deliveries_of_the_lane_are_posted_during_quiet_hours(world: World):
    await world.append("a", until_ms=await later(world))
    assert await world.append("b", subscription="s2") == AppendResult(1, 0, True)
    assert await world.deliver() == ["b"]
    assert await world.state("a") == State.PENDING
    await world.append("c", subscription="s2")
    assert await world.deliver(token="h2") == ["c"]


async def test_a_held_delivery_does_not_stop_the_retry_of_a_post(world: World):
    await world.append("a")
    await world.append("held", until_ms=await later(world))
    held = await world.hold()
    (taken,) = await world.lanes.take(held, OPEN_SCOPES)
    assert await world.lanes.open_attempt(held, newest_seq=taken.seq)
    await world.append("held too", until_ms=await later(world))
    assert await world.lanes.open_attempt(held, newest_seq=taken.seq)
    await world.append("b")
    assert not await world.lanes.open_attempt(held, newest_seq=taken.seq)


async def test_a_lane_with_only_held_deliveries_is_due_when_the_first_quiet_hours_end(world: World):
    await world.append("a", until_ms=await later(world, 0.5))
    await world.append("b", until_ms=await later(world, 0.25))
    assert 0.2 * HOUR_MS < await due_in_ms(world) <= 0.25 * HOUR_MS
    held = await world.lanes.acquire(LANE, "h1")
    assert held == LeaseDenied(Denial.EMPTY)
    assert 0.2 * HOUR_MS < await due_in_ms(world) <= 0.25 * HOUR_MS


async def test_long_quiet_hours_are_not_mistaken_for_a_clock_jump(world: World):
    await world.append("a", until_ms=await later(world, 9))
    assert 0 < await due_in_ms(world) < HORIZON_MS
    assert await world.schedule.claim_due_lanes(limit=10, horizon_ms=HORIZON_MS) == []


async def test_deliveries_are_posted_in_their_order_when_quiet_hours_end(world: World):
    await world.append("a", until_ms=await later(world, 2))
    await world.append("b", until_ms=await later(world, 1))
    await world.append("c", until_ms=await later(world, 3))
    await world.hours_end()
    await world.append("d")
    assert await world.deliver() == ["a", "b", "c", "d"]


async def test_only_deliveries_whose_quiet_hours_ended_are_released(world: World):
    await world.append("a", until_ms=await later(world))
    await world.hours_end()
    await world.append("b", until_ms=await later(world))
    assert await world.deliver() == ["a"]
    assert await world.quiet() == ["b"]


async def test_older_pending_deliveries_stay_before_a_released_delivery(world: World):
    await world.append("a")
    await world.append("b", until_ms=await later(world))
    await world.append("c")
    await world.hours_end()
    held = await world.hold()
    assert await world.take(held) == ["a", "b", "c"]
    await world.lanes.settle(held, RECEIPT, "a")
    for id_ in "abc":
        delivery = await world.deliveries.find(id_)
        assert delivery
        assert len(await world.deliveries.list_attempts(delivery)) == 1


async def test_the_holder_of_the_lease_also_releases_held_deliveries(world: World):
    await world.append("a", until_ms=await later(world))
    await world.append("b")
    held = await world.hold()
    await world.hours_end()
    assert await world.take(held) == ["a", "b"]


async def test_a_snoozed_lane_is_not_woken_when_quiet_hours_end(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.release(held, wait_s=600, failed=True, reason="why")
    assert await world.append("b", until_ms=await later(world)) == AppendResult(1, 0, False)
    assert await world.append("c") == AppendResult(1, 0, False)
    answer = await world.lanes.acquire(LANE, "h2")
    assert isinstance(answer, LeaseDenied)
    assert answer.denial == "snoozed"


async def test_releasing_a_lane_with_only_held_deliveries_sends_no_wake_up_call(world: World):
    await world.append("a", until_ms=await later(world))
    await world.append("b")
    held = await world.hold()
    await world.take(held)
    await world.lanes.dead_letter(held, "invalid_blocks", "no")
    assert await world.lanes.release(held) == LaneRemainder(0, holds_lease=False)
    assert await due_in_ms(world) > 0


async def test_a_lane_released_with_a_wait_stays_snoozed_when_quiet_hours_end(world: World):
    await world.append("a", until_ms=await later(world))
    await world.hours_end()
    held = await world.hold()
    assert await world.lanes.release(held, wait_s=600, reason="why") == LaneRemainder(1, holds_lease=False)
    assert await due_in_ms(world) > 500_000


async def test_a_worker_killed_after_quiet_hours_ended_loses_no_delivery(world: World):
    await world.append("a", "b", until_ms=await later(world))
    await world.hours_end()
    await world.take(await world.hold(), 1)
    await world.lose_lease()
    assert await world.take(await world.hold(token="h2")) == ["a", "b"]


async def test_a_held_delivery_of_a_parked_lane_is_parked(world: World):
    await world.append("a", until_ms=await later(world))
    await world.append("b")
    held = await world.hold()
    await world.lanes.park(held, "not_in_channel", "why", Hint.of("how"), probe_s=60, called=False)
    assert ((await world.balance()).parked, (await world.balance()).pending) == (2, 0)
    await world.lanes.discard_of_subscription(LANE, "unknown")
    assert await world.lanes.resume(LANE, permanently=True) == ResumeResult(True, True)
    assert await world.deliver() == ["b"]


async def test_resuming_a_lane_with_only_held_deliveries_sends_no_wake_up_call(world: World):
    await world.append("a", until_ms=await later(world))
    await world.append("b", subscription="s2")
    held = await world.hold()
    await world.lanes.park(held, "not_in_channel", "why", Hint.of("how"), probe_s=60, called=False)
    await world.lanes.discard_of_subscription(LANE, "s2")
    assert await world.lanes.resume(LANE, permanently=True) == ResumeResult(True, False)
    assert await world.lanes.acquire(LANE, "h1") == LeaseDenied(Denial.EMPTY)


async def test_a_held_delivery_parks_and_resumes_with_its_integration(world: World):
    await world.append("a", until_ms=await later(world))
    await world.integrations.park("ops", "token_revoked", "why", Hint.of("how"), probe_s=60)
    assert await world.lanes.acquire(LANE, "h1") == LeaseDenied(Denial.PARKED)
    await world.integrations.resume("ops")
    await world.hours_end()
    assert await world.deliver() == ["a"]


async def test_a_held_delivery_ages_only_after_quiet_hours_ended(world: World):
    until_ms = await later(world, 1)
    await world.append("a", until_ms=until_ms)
    assert await world.lanes.expire(LANE, until_ms + HOUR_MS, "old", running=True) == 0
    key = f"t:lane:{LANE}:quiet"
    (member,) = await world.redis.zrange(key, 0, -1)
    over_ms = await later(world, -0.5)
    await world.redis.zadd(key, {member: over_ms})
    await world.redis.hset("t:delivery:a", "born", 7)
    assert await world.lanes.expire(LANE, over_ms, "old", running=True) == 0
    assert await world.lanes.expire(LANE, over_ms + 1, "old", running=True) == 1
    assert await world.state("a") == State.DEAD


async def test_the_oldest_pending_or_held_delivery_overflows(redis):  # type: ignore[no-untyped-def]
    world = World(redis, longest=2)
    until_ms = await later(world)
    await world.append("a", until_ms=until_ms)
    await world.append("b")
    assert await world.append("c", until_ms=until_ms) == AppendResult(1, 1, False)
    assert [await world.state(id_) for id_ in "ab"] == ["dead", "pending"]
    assert await world.append("d", until_ms=until_ms) == AppendResult(1, 1, False)
    assert {id_: await world.state(id_) for id_ in "abcd"} == {
        "a": "dead", "b": "dead", "c": "pending", "d": "pending",
    }  # fmt: skip
    await world.check()
    await world.server.aclose()


async def test_held_deliveries_of_a_removed_subscription_are_discarded(world: World):
    await world.append("a", until_ms=await later(world))
    await world.append("b", subscription="s2", until_ms=await later(world))
    assert await world.lanes.discard_of_subscription(LANE, "s1") == 1
    assert (await world.balance()).discarded == 1
    assert await world.quiet() == ["b"]
    assert await world.lanes.discard_of_subscription(LANE, "s2") == 1
    assert not await world.is_due()


async def test_a_snoozed_lane_whose_pending_deliveries_are_discarded_is_due_when_quiet_hours_end(world: World):
    await world.append("a")
    held = await world.hold()
    await world.lanes.release(held, wait_s=600, reason="why")
    await world.append("b", subscription="s2", until_ms=await later(world, 0.01))
    await world.lanes.discard_of_subscription(LANE, "s1")
    assert await due_in_ms(world) <= 0.01 * HOUR_MS
    assert await world.lanes.acquire(LANE, "h2") == LeaseDenied(Denial.EMPTY)


async def test_a_held_delivery_is_created_once_however_often_its_entry_is_read(world: World):
    entry = NewDelivery("a", "a.src", "s1", 7, await later(world))
    assert (await world.lanes.append(LANE, [entry, entry])).created == 1
    assert (await world.lanes.append(LANE, [entry])).created == 0
    assert await world.quiet() == ["a"]

"""What is held in quiet hours: it stands in nobody's way, and is told together when they end."""

from store_world import LANE, OPEN, RECEIPT, World

from worker.domain.delivery import State
from worker.store.held import Entry, Left, NotHeld

HOUR_MS = 3_600_000
HORIZON_MS = 3_700_000


async def later(world: World, hours: float = 9) -> int:
    return await world.server.now_ms() + int(hours * HOUR_MS)


async def due_in_ms(world: World) -> float:
    at_ms = await world.redis.zscore("t:due", LANE)
    assert at_ms is not None
    return at_ms - await world.server.now_ms()


async def test_what_is_held_wakes_nobody_and_is_pending(world: World):
    assert await world.append("a", "b", until_ms=await later(world)) == (2, 0, False)
    assert await world.lanes.acquire(LANE, "h1") == NotHeld("empty")
    assert (await world.balance()).pending == 2
    assert await world.deliveries.waiting(LANE, most=10) == ["a", "b"]
    assert await world.state("a") == State.PENDING


async def test_a_time_that_is_over_holds_nothing(world: World):
    assert await world.append("a", until_ms=await later(world, -1)) == (1, 0, True)
    assert await world.quiet() == []


async def test_until_when_a_delivery_is_held_is_known(world: World):
    until_ms = await later(world)
    await world.append("a", until_ms=until_ms)
    await world.append("b")
    found = [await world.deliveries.find(id_) for id_ in "ab"]
    assert [await world.deliveries.held_until_ms(one) for one in found if one] == [until_ms, 0]


async def test_others_of_the_lane_are_told_meanwhile(world: World):
    await world.append("a", until_ms=await later(world))
    assert await world.append("b", subscription="s2") == (1, 0, True)
    assert await world.tell() == ["b"]
    assert await world.state("a") == State.PENDING
    await world.append("c", subscription="s2")
    assert await world.tell(token="h2") == ["c"]


async def test_what_is_held_is_nothing_newer_for_which_a_post_would_not_be_tried_again(world: World):
    await world.append("a")
    await world.append("held", until_ms=await later(world))
    held = await world.hold()
    (taken,) = await world.lanes.take(held, OPEN)
    assert await world.lanes.open_attempt(held, newest_seq=taken.seq)
    await world.append("held too", until_ms=await later(world))
    assert await world.lanes.open_attempt(held, newest_seq=taken.seq)
    await world.append("b")
    assert not await world.lanes.open_attempt(held, newest_seq=taken.seq)


async def test_a_lane_in_which_all_is_held_is_looked_at_when_the_first_of_it_is_to_be_told(world: World):
    await world.append("a", until_ms=await later(world, 0.5))
    await world.append("b", until_ms=await later(world, 0.25))
    assert 0.2 * HOUR_MS < await due_in_ms(world) <= 0.25 * HOUR_MS
    held = await world.lanes.acquire(LANE, "h1")
    assert held == NotHeld("empty")
    assert 0.2 * HOUR_MS < await due_in_ms(world) <= 0.25 * HOUR_MS


async def test_a_long_night_is_not_taken_for_a_clock_that_jumped(world: World):
    await world.append("a", until_ms=await later(world, 9))
    assert 0 < await due_in_ms(world) < HORIZON_MS
    assert await world.upkeep.due_lanes(most=10, horizon_ms=HORIZON_MS) == []


async def test_when_they_end_all_is_told_in_the_order_it_came(world: World):
    await world.append("a", until_ms=await later(world, 2))
    await world.append("b", until_ms=await later(world, 1))
    await world.append("c", until_ms=await later(world, 3))
    await world.hours_end()
    await world.append("d")
    assert await world.tell() == ["a", "b", "c", "d"]


async def test_only_what_is_over_is_let_out(world: World):
    await world.append("a", until_ms=await later(world))
    await world.hours_end()
    await world.append("b", until_ms=await later(world))
    assert await world.tell() == ["a"]
    assert await world.quiet() == ["b"]


async def test_what_came_before_and_still_waits_stays_before_it(world: World):
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
        assert len(await world.deliveries.attempts(delivery)) == 1


async def test_whoever_holds_the_lane_lets_it_out_too(world: World):
    await world.append("a", until_ms=await later(world))
    await world.append("b")
    held = await world.hold()
    await world.hours_end()
    assert await world.take(held) == ["a", "b"]


async def test_a_lane_that_lies_down_is_not_woken_by_it(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.release(held, wait_s=600, failed=True, reason="why")
    assert await world.append("b", until_ms=await later(world)) == (1, 0, False)
    assert await world.append("c") == (1, 0, False)
    answer = await world.lanes.acquire(LANE, "h2")
    assert isinstance(answer, NotHeld)
    assert answer.why == "snoozed"


async def test_giving_back_a_lane_in_which_all_is_held_wakes_nobody(world: World):
    await world.append("a", until_ms=await later(world))
    await world.append("b")
    held = await world.hold()
    await world.take(held)
    await world.lanes.bury(held, "invalid_blocks", "no")
    assert await world.lanes.release(held) == Left(0, held=False)
    assert await due_in_ms(world) > 0


async def test_a_lane_that_must_lie_down_when_they_end_does(world: World):
    await world.append("a", until_ms=await later(world))
    await world.hours_end()
    held = await world.hold()
    assert await world.lanes.release(held, wait_s=600, reason="why") == Left(1, held=False)
    assert await due_in_ms(world) > 500_000


async def test_a_worker_killed_after_they_ended_loses_nothing(world: World):
    await world.append("a", "b", until_ms=await later(world))
    await world.hours_end()
    await world.take(await world.hold(), 1)
    await world.lose_lease()
    assert await world.take(await world.hold(token="h2")) == ["a", "b"]


async def test_in_a_lane_that_waits_for_a_person_it_is_parked(world: World):
    await world.append("a", until_ms=await later(world))
    await world.append("b")
    held = await world.hold()
    await world.lanes.park(held, "not_in_channel", "why", "how", probe_s=60, called=False)
    assert ((await world.balance()).parked, (await world.balance()).pending) == (2, 0)
    await world.lanes.forget(LANE, "nobody")
    assert await world.lanes.resume(LANE, certain=True) == (True, True)
    assert await world.tell() == ["b"]


async def test_resuming_a_lane_in_which_all_is_held_wakes_nobody(world: World):
    await world.append("a", until_ms=await later(world))
    await world.append("b", subscription="s2")
    held = await world.hold()
    await world.lanes.park(held, "not_in_channel", "why", "how", probe_s=60, called=False)
    await world.lanes.forget(LANE, "s2")
    assert await world.lanes.resume(LANE, certain=True) == (True, False)
    assert await world.lanes.acquire(LANE, "h1") == NotHeld("empty")


async def test_with_its_integration_it_waits_and_goes_on(world: World):
    await world.append("a", until_ms=await later(world))
    await world.integrations.park("ops", "token_revoked", "why", "how", probe_s=60)
    assert await world.lanes.acquire(LANE, "h1") == NotHeld("parked")
    await world.integrations.resume("ops")
    await world.hours_end()
    assert await world.tell() == ["a"]


async def test_it_grows_old_only_once_they_ended(world: World):
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


async def test_the_oldest_of_all_that_waits_overflows(redis):  # type: ignore[no-untyped-def]
    world = World(redis, longest=2)
    until_ms = await later(world)
    await world.append("a", until_ms=until_ms)
    await world.append("b")
    assert await world.append("c", until_ms=until_ms) == (1, 1, False)
    assert [await world.state(id_) for id_ in "ab"] == ["dead", "pending"]
    assert await world.append("d", until_ms=until_ms) == (1, 1, False)
    assert {id_: await world.state(id_) for id_ in "abcd"} == {
        "a": "dead", "b": "dead", "c": "pending", "d": "pending",
    }  # fmt: skip
    await world.check()
    await world.server.aclose()


async def test_what_waits_for_a_removed_subscription_is_discarded(world: World):
    await world.append("a", until_ms=await later(world))
    await world.append("b", subscription="s2", until_ms=await later(world))
    assert await world.lanes.forget(LANE, "s1") == 1
    assert (await world.balance()).discarded == 1
    assert await world.quiet() == ["b"]
    assert await world.lanes.forget(LANE, "s2") == 1
    assert not await world.is_due()


async def test_a_lane_that_lay_down_for_what_is_discarded_goes_by_what_is_held(world: World):
    await world.append("a")
    held = await world.hold()
    await world.lanes.release(held, wait_s=600, reason="why")
    await world.append("b", subscription="s2", until_ms=await later(world, 0.01))
    await world.lanes.forget(LANE, "s1")
    assert await due_in_ms(world) <= 0.01 * HOUR_MS
    assert await world.lanes.acquire(LANE, "h2") == NotHeld("empty")


async def test_it_is_created_once_however_often_it_is_read(world: World):
    entry = Entry("a", "a.src", "s1", 7, await later(world))
    assert (await world.lanes.append(LANE, [entry, entry]))[0] == 1
    assert (await world.lanes.append(LANE, [entry]))[0] == 0
    assert await world.quiet() == ["a"]

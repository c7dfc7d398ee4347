"""Lanes: order, leases, wake-up calls, and that every step may run twice."""

import asyncio

import pytest
from store_world import LANE, OPEN, RECEIPT, World

from worker.domain.delivery import Address, Outcome, Receipt
from worker.domain.errors import Fenced
from worker.store.held import Closed, Entry, Held, Left, NotHeld, Taken
from worker.store.ledger import LaneCount, take_census


async def test_what_is_appended_first_is_taken_first(world: World):
    assert await world.append("a", "b") == (2, 0, True)
    assert await world.append("c") == (1, 0, False)
    held = await world.hold()
    assert await world.take(held) == ["a", "b", "c"]


async def test_appending_twice_makes_one_delivery(world: World):
    await world.append("a", "b")
    assert (await world.append("a", "b"))[:2] == (0, 0)
    await world.tell()
    assert (await world.append("a", "b", "a"))[:2] == (0, 0)
    assert (await world.balance()).created == 2


async def test_the_same_delivery_twice_in_one_call_is_one(world: World):
    assert (await world.append("a", "a"))[0] == 1


async def test_appending_nothing_makes_nothing(world: World):
    assert await world.append() == (0, 0, False)
    assert not await world.is_due()


async def test_a_taken_delivery_says_what_it_is(world: World):
    await world.append("a")
    held = await world.hold()
    taken = await world.lanes.take(held, OPEN)
    assert taken == (Taken("a", "a.src", "s1", 1, 7, 0, kept=("", b"{}")),)
    assert (held.integration_id, held.destination) == ("ops", "#alerts")


async def test_many_thousand_deliveries_fit_in_one_call(world: World):
    ids = [f"d{n:05}" for n in range(9_000)]
    entries = [Entry(id_, f"{id_}.src", "s1", 7) for id_ in ids]
    assert (await world.lanes.append(LANE, entries))[0] == 9_000
    held = await world.hold()
    assert await world.take(held) == ids
    await world.lanes.split(held, "invalid_blocks")
    assert await world.take(held, 1) == ids[:1]
    await world.lanes.settle(held, RECEIPT, ids[0], leave=True)
    assert await world.lanes.forget(LANE, "s1") == 8_999
    assert (await world.balance()).discarded == 8_999
    await world.redis.flushdb()


async def test_only_one_wake_up_call_is_on_its_way(world: World):
    calls = [(await world.append(id_))[2] for id_ in "abc"]
    assert calls == [True, False, False]
    await world.hold()
    assert await world.redis.zscore("t:due", LANE) > await world.server.now_ms() + 20_000
    assert (await world.append("d"))[2] is False
    await world.redis.zadd("t:due", {LANE: 1})
    assert (await world.append("e"))[2] is False
    assert await world.redis.exists(f"t:lane:{LANE}:wake") == 0


async def test_who_answers_a_wake_up_call_clears_it_even_when_another_holds(world: World):
    await world.append("a")
    await world.hold()
    await world.redis.set(f"t:lane:{LANE}:wake", 1)
    assert await world.lanes.acquire(LANE, "h2") == NotHeld("held")
    assert await world.redis.exists(f"t:lane:{LANE}:wake") == 0


async def test_a_held_lane_is_held_by_one(world: World):
    await world.append("a")
    first = await world.hold(token="h1")
    assert await world.lanes.acquire(LANE, "h2") == NotHeld("held")
    assert await world.lanes.acquire(LANE, "h1") == first


async def test_an_empty_lane_is_not_held(world: World):
    assert await world.lanes.acquire(LANE, "h1") == NotHeld("empty")
    await world.append("a")
    await world.tell()
    assert await world.lanes.acquire(LANE, "h1") == NotHeld("empty")
    assert not await world.redis.exists(f"t:lane:{LANE}:lease")


async def test_a_holder_told_that_nothing_waits_holds_nothing(world: World):
    await world.append("a")
    await world.hold()
    await world.lanes.forget(LANE, "s1")
    assert await world.lanes.acquire(LANE, "h1") == NotHeld("empty")
    assert (await world.append("b"))[2] is True


async def test_a_holder_told_that_it_is_parked_holds_nothing(world: World):
    await world.append("a")
    await world.hold()
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=60)
    assert await world.lanes.acquire(LANE, "h1") == NotHeld("parked")
    assert not await world.redis.exists(f"t:lane:{LANE}:lease")


async def test_settling_delivers_the_lead_and_merges_the_others(world: World):
    await world.append("a", "b", "c")
    held = await world.hold()
    await world.take(held)
    assert await world.lanes.settle(held, RECEIPT, "b") == Left(0, held=False, wake=False)
    found = {id_: await world.deliveries.find(id_) for id_ in "abc"}
    assert [found[id_].state for id_ in "abc"] == ["merged", "delivered", "merged"]
    assert [found[id_].merged_into for id_ in "abc"] == ["b", "", "b"]
    assert {(one.channel, one.ts) for one in found.values()} == {(RECEIPT.channel, RECEIPT.ts)}
    balance = await world.balance()
    assert (balance.created, balance.delivered, balance.merged, balance.repeated) == (3, 1, 2, 0)


async def test_a_lane_stays_held_while_more_waits(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.lanes.settle(held, RECEIPT, "a") == Left(1, held=True)
    assert await world.take(held) == ["b"]
    assert await world.lanes.settle(held, RECEIPT, "b") == Left(0, held=False)
    assert not await world.is_due()


async def test_a_holder_may_leave_while_more_waits_and_says_so(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.lanes.settle(held, RECEIPT, "a", leave=True) == Left(1, held=False, wake=True)
    assert await world.is_due()


async def test_settling_twice_settles_once(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    await world.lanes.settle(held, RECEIPT, "a")
    assert await world.lanes.settle(held, RECEIPT, "a") == Left(1, held=True)
    assert (await world.balance()).delivered == 1
    assert await world.take(held) == ["b"]
    await world.lanes.settle(held, RECEIPT, "b")
    with pytest.raises(Fenced):
        await world.lanes.settle(held, RECEIPT, "b")


async def test_taking_twice_takes_the_same(world: World):
    await world.append("a", "b")
    held = await world.hold()
    assert await world.take(held, 1) == ["a"]
    await world.append("c")
    assert await world.take(held) == ["a"]


async def test_taking_from_an_empty_lane_takes_nothing(world: World):
    await world.append("a")
    held = await world.hold()
    await world.lanes.forget(LANE, "s1")
    assert await world.take(held) == []
    await world.lanes.open_attempt(held)
    await world.lanes.split(held, "invalid_blocks")
    await world.lanes.bury(held, "invalid_blocks", "no")
    assert await world.lanes.settle(held, RECEIPT, "a") == Left(0, held=False)


async def test_nothing_is_taken_while_slack_wants_to_be_left_alone(world: World):
    await world.append("a")
    held = await world.hold()
    await world.pace.close("T1", "C1", 30)
    closed = await world.lanes.take(held, world.pace.closed("T1", "C1"))
    assert isinstance(closed, Closed)
    assert 29 < closed.wait_s <= 30
    assert await world.listed(LANE, "taken") == []


@pytest.mark.parametrize("step", ["take", "open", "close", "settle", "release", "bury", "split", "park"])
async def test_a_stale_holder_is_refused_and_changes_nothing(world: World, step: str):
    await world.append("a", "b")
    stale = await world.hold(token="h1")
    await world.take(stale)
    await world.lose_lease()
    held = await world.hold(token="h2")
    await world.take(held, 1)
    before = {key: await world.redis.dump(key) async for key in world.redis.scan_iter("t:*")}
    lanes = world.lanes
    steps = {
        "take": lambda: lanes.take(stale, OPEN),
        "open": lambda: lanes.open_attempt(stale),
        "close": lambda: lanes.close_attempt(stale, Outcome.TRANSIENT, "x", 1),
        "settle": lambda: lanes.settle(stale, RECEIPT, "a"),
        "release": lambda: lanes.release(stale),
        "bury": lambda: lanes.bury(stale, "x", "y"),
        "split": lambda: lanes.split(stale, "x"),
        "park": lambda: lanes.park(stale, "x", "y", "z", probe_s=1, called=True),
    }
    with pytest.raises(Fenced, match="held by someone else"):
        await steps[step]()
    after = {key: await world.redis.dump(key) async for key in world.redis.scan_iter("t:*")}
    assert after == before


async def test_a_holder_whose_lease_ran_out_is_stale_even_when_nobody_took_over(world: World):
    await world.append("a")
    held = await world.hold()
    await world.lose_lease()
    with pytest.raises(Fenced):
        await world.take(held)


async def test_every_step_renews_the_lease(world: World):
    await world.append("a", "b", "c", "d")
    held = await world.hold()
    steps = [
        lambda: world.take(held, 3),
        lambda: world.lanes.close_attempt(held, Outcome.TRANSIENT, "x", 1),
        lambda: world.lanes.open_attempt(held),
        lambda: world.lanes.split(held, "x"),
        lambda: world.take(held, 1),
        lambda: world.lanes.bury(held, "x", "y"),
        lambda: world.take(held, 1),
        lambda: world.lanes.settle(held, RECEIPT, "b"),
    ]
    for step in steps:
        await world.redis.pexpire(f"t:lane:{LANE}:lease", 5_000)
        await step()
        assert await world.redis.pttl(f"t:lane:{LANE}:lease") > 20_000
        assert await world.redis.zscore("t:due", LANE) > await world.server.now_ms() + 20_000
        await world.redis.zadd("t:due", {LANE: 1})
        await world.check()


async def test_a_released_lane_is_due_at_once_and_keeps_its_order(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.lanes.release(held) == Left(2, held=False, wake=True)
    assert await world.take(await world.hold()) == ["a", "b"]
    await world.check()


async def test_a_lane_that_lies_down_is_left_alone_and_says_why(world: World):
    await world.append("a")
    held = await world.hold()
    left = await world.lanes.release(held, wait_s=60, failed=True, reason="Slack is away")
    assert left == Left(1, held=False, wake=False)
    assert (await world.append("b"))[2] is False
    lying = await world.lanes.acquire(LANE, "h2")
    assert isinstance(lying, NotHeld)
    assert (lying.why, lying.reason) == ("snoozed", "Slack is away")
    assert 59 < lying.wait_s <= 60
    await world.redis.zadd("t:due", {LANE: 0})
    held = await world.hold(token="h2")
    assert held.failures == 1
    assert await world.hold(token="h2") == held


async def test_a_lane_that_lies_down_for_ever_because_a_clock_jumped_is_held_again(world: World):
    await world.append("a")
    await world.lanes.release(await world.hold(), wait_s=60, reason="x")
    await world.redis.zadd("t:due", {LANE: 9e12})
    assert isinstance(await world.lanes.acquire(LANE, "h1"), Held)


async def test_releasing_with_nothing_left_leaves_nothing_due(world: World):
    await world.append("a")
    held = await world.hold()
    await world.lanes.forget(LANE, "s1")
    assert await world.lanes.release(held, wait_s=5, reason="x") == Left(0, held=False, wake=False)
    assert not await world.is_due()
    assert (await world.append("b"))[2] is True
    await world.hold()


async def test_failures_are_counted_until_something_is_told(world: World):
    await world.append("a", "b")
    for failures in range(3):
        held = await world.hold()
        assert held.failures == failures
        await world.take(held, 1)
        await world.lanes.release(held, outcome=Outcome.TRANSIENT, code="x", failed=True)
    await world.tell(most=1)
    held = await world.hold()
    assert held.failures == 0
    await world.lanes.release(held, failed=True)
    await world.lanes.park(await world.hold(), "x", "y", "z", probe_s=60, called=False)
    await world.lanes.resume(LANE, certain=False)
    held = await world.hold()
    assert held.failures == 0
    await world.lanes.release(held, failed=True)
    held = await world.hold()
    await world.take(held)
    await world.lanes.bury(held, "x", "y")
    await world.append("c")
    assert (await world.hold()).failures == 0


async def test_a_buried_delivery_leaves_the_lane_and_its_siblings_go_on(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.lanes.bury(held, "invalid_blocks", "no such block") == Left(1, held=True)
    assert await world.lanes.bury(held, "invalid_blocks", "no such block") == Left(1, held=True)
    assert await world.take(held) == ["b"]
    dead = await world.deliveries.find("a")
    assert (dead.state, dead.error, dead.detail) == ("dead", "invalid_blocks", "no such block")
    assert (await world.balance()).dead == 1


async def test_after_a_refused_message_of_several_each_is_told_alone(world: World):
    await world.append("a", "b", "c")
    held = await world.hold()
    assert held.singly == 0
    await world.take(held, 2)
    assert await world.lanes.split(held, "invalid_blocks") == Left(3, held=True)
    assert await world.lanes.split(held, "invalid_blocks") == Left(3, held=True)
    await world.lanes.release(held)
    held = await world.hold()
    assert held.singly == 2
    assert await world.take(held, 1) == ["a"]
    await world.lanes.bury(held, "invalid_blocks", "no")
    await world.lanes.release(held)
    assert (await world.hold()).singly == 2
    assert await world.take(held, 1) == ["b"]
    await world.lanes.settle(held, RECEIPT, "b", leave=True)
    assert (await world.hold()).singly == 0


async def test_telling_alone_ends_with_the_last_of_them_even_when_that_is_buried(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held)
    await world.lanes.split(held, "invalid_blocks")
    for id_, singly in (("a", 2), ("b", 0)):
        assert await world.take(held, 1) == [id_]
        await world.lanes.bury(held, "invalid_blocks", "no")
        await world.append(f"after {id_}")
        assert (await world.hold()).singly == singly


async def test_a_parked_lane_stops_and_says_why(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held)
    await world.lanes.park(held, "not_in_channel", "not a member", "/invite @bot", probe_s=60, called=True)
    assert await world.lanes.acquire(LANE, "h1") == NotHeld("parked")
    assert await world.append("c") == (1, 0, False)
    assert await world.state("a") == "parked"
    note = await world.upkeep.lane_note(LANE)
    assert (note["parked"], note["reason"], note["hint"]) == (
        "not_in_channel",
        "not a member",
        "/invite @bot",
    )
    balance, lanes = await take_census(world.server)
    assert (balance.parked, balance.pending) == (3, 0)
    assert lanes == [LaneCount(LANE, 3, "not_in_channel", "")]
    with pytest.raises(Fenced):
        await world.lanes.park(held, "not_in_channel", "", "", probe_s=60, called=True)


async def test_a_resumed_lane_goes_on_in_order(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    await world.lanes.park(held, "is_archived", "archived", "unarchive", probe_s=60, called=False)
    assert await world.lanes.resume(LANE, certain=True) == (True, True)
    assert await world.lanes.resume(LANE, certain=True) == (False, False)
    assert await world.tell() == ["a", "b"]
    assert (await world.upkeep.lane_note(LANE))["since"] == ""


async def test_a_lane_that_only_tries_keeps_its_reason_and_age_until_something_is_told(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "restricted", "why", "how", probe_s=60, called=False)
    since = (await world.upkeep.lane_note(LANE))["since"]
    assert await world.lanes.resume(LANE, certain=False) == (True, True)
    note = await world.upkeep.lane_note(LANE)
    assert (note["parked"], note["reason"], note["hint"], note["since"]) == ("", "why", "how", since)
    await world.lanes.park(await world.hold(), "restricted", "why", "how", probe_s=60, called=False)
    assert (await world.upkeep.lane_note(LANE))["since"] == since
    await world.lanes.resume(LANE, certain=False)
    await world.tell()
    assert (await world.upkeep.lane_note(LANE))["since"] == ""


async def test_resuming_a_lane_nobody_knows_makes_nothing(world: World):
    assert await world.lanes.resume("ops/#nowhere", certain=True) == (False, False)
    assert await world.redis.keys("t:*") == []


async def test_resuming_a_lane_that_is_held_wakes_nobody(world: World):
    await world.append("a")
    await world.hold()
    assert await world.lanes.resume(LANE, certain=False) == (False, False)


async def test_a_lane_resumed_while_its_integration_is_parked_waits_for_that(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", "z", probe_s=60, called=False)
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=60)
    assert await world.lanes.resume(LANE, certain=True) == (True, False)
    await world.check()
    assert await world.integrations.resume("ops") == 1
    assert await world.tell() == ["a"]


async def test_parking_resuming_and_acquiring_do_not_walk_what_waits(world: World):
    await world.lanes.append(LANE, [Entry(f"d{n}", f"d{n}.src", "s1", 7) for n in range(3_000)])
    held = await world.hold()
    await world.take(held, 1)
    pending = await world.listed(LANE, "pending")
    await world.redis.delete(f"t:lane:{LANE}:pending")
    await world.redis.rpush(f"t:lane:{LANE}:pending", *pending)
    for id_ in pending[:-1]:
        await world.redis.delete(f"t:delivery:{id_}")  # who walked them would write them anew
    await world.lanes.park(held, "x", "y", "z", probe_s=60, called=False)
    await world.lanes.resume(LANE, certain=True)
    await world.hold()
    assert not await world.redis.exists(*(f"t:delivery:{id_}" for id_ in pending[:-1]))
    assert await world.listed(LANE, "pending") == ["d0", *pending]
    await world.redis.flushdb()


async def test_a_long_taken_list_returns_in_front_of_a_short_pending_one(world: World):
    await world.append(*"abcd")
    held = await world.hold()
    await world.take(held)
    await world.append("e")
    await world.lanes.release(held)
    assert await world.listed(LANE, "pending") == list("abcde")


async def test_what_stays_behind_of_a_part_that_was_told_keeps_the_lanes_order(world: World):
    """Of what is taken some goes back at once; what is given back later does not overtake it."""
    await world.append(*"abcd")
    held = await world.hold()
    taken = await world.lanes.take(held, OPEN)
    await world.lanes.keep(held, taken, ["c"], method="chat.update")
    await world.append("e")
    await world.lanes.release(held, outcome=Outcome.THROTTLED, code="ratelimited")
    assert await world.listed(LANE, "pending") == list("abcde")


async def test_who_dies_while_telling_a_part_leaves_the_lanes_order(world: World):
    await world.append(*"abcd")
    held = await world.hold(token="dead")
    taken = await world.lanes.take(held, OPEN)
    await world.lanes.keep(held, taken, ["b", "d"], method="chat.update")
    await world.lose_lease()
    assert await world.take(await world.hold(token="h2")) == list("abcd")


async def test_what_is_owed_a_card_after_a_digest_keeps_its_place(world: World):
    await world.append(*"abcd")
    held = await world.hold()
    taken = await world.lanes.take(held, OPEN)
    await world.lanes.keep(held, taken, ["b", "c", "d"], method="chat.postMessage")
    await world.lanes.settle(held, RECEIPT, "b", leave=True, owed=["c", "d"])
    assert await world.listed(LANE, "pending") == list("acd")


async def test_a_full_lane_dead_letters_its_oldest(redis):
    world = World(redis, longest=3)
    await world.append("a", "b", "c")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.append("d", "e", "f") == (3, 2, False)
    assert await world.listed(LANE, "pending") == ["d", "e", "f"]
    found = await world.deliveries.find("b")
    assert (found.state, found.error) == ("dead", "overflow")
    assert found.detail == "more than 3 deliveries were waiting in this lane"
    await world.lanes.settle(held, RECEIPT, "a", leave=True)
    await world.check()


async def test_what_waited_too_long_is_dead_lettered_oldest_first(world: World):
    await world.append("a", "b", "c")
    later = await world.server.now_ms() + 60_000
    assert await world.lanes.expire(LANE, later - 120_000, "too old", running=True) == 0
    assert await world.lanes.expire(LANE, later, "too old", running=True, most=2) == 2
    assert await world.listed(LANE, "pending") == ["c"]
    assert await world.is_due()
    assert await world.lanes.expire(LANE, later, "too old", running=True) == 1
    assert not await world.is_due()
    found = await world.deliveries.find("b")
    assert (found.state, found.error, found.detail) == ("dead", "expired", "too old")


async def test_what_is_being_posted_does_not_expire(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.lanes.expire(LANE, await world.server.now_ms() + 60_000, "old", running=True) == 1
    assert await world.is_due()
    await world.lanes.settle(held, RECEIPT, "a")
    assert await world.state("b") == "dead"


async def test_what_a_dead_holder_took_expires_too(world: World):
    await world.append("a", "b")
    await world.take(await world.hold(), 1)
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=60)
    await world.lose_lease()
    assert await world.lanes.expire(LANE, await world.server.now_ms() + 60_000, "old", running=False) == 2
    await world.check()


async def test_a_parked_lane_in_which_everything_expired_is_parked_no_longer(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", "z", probe_s=60, called=False)
    assert await world.lanes.expire(LANE, await world.server.now_ms() + 60_000, "old", running=False) == 1
    assert (await world.upkeep.lane_note(LANE))["parked"] == ""
    assert (await world.append("b"))[2] is True


async def test_the_time_spent_parked_does_not_count_once_the_lane_goes_on(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", "z", probe_s=60, called=False)
    resumed_before = await world.server.now_ms()
    await world.lanes.resume(LANE, certain=True)
    await world.redis.hset("t:delivery:a", "born", 1)
    assert await world.lanes.expire(LANE, resumed_before, "old", running=True) == 0
    assert await world.lanes.expire(LANE, resumed_before + 60_000, "old", running=True) == 1


async def test_what_waits_for_a_removed_subscription_is_discarded(world: World):
    await world.append("a", "b", subscription="gone")
    await world.append("c", subscription="kept")
    held = await world.hold()
    await world.take(held, 1)
    await world.append("d", subscription="gone")
    assert await world.lanes.forget(LANE, "gone") == 2
    assert await world.lanes.forget(LANE, "gone") == 0
    assert await world.listed(LANE, "pending") == ["c"]
    assert await world.listed(LANE, "taken") == ["a"]
    assert (await world.deliveries.find("b")).error == "subscription_removed"
    await world.lanes.release(held)
    assert await world.lanes.forget(LANE, "gone") == 1
    assert await world.tell() == ["c"]


async def test_a_parked_lane_with_nothing_left_is_parked_no_longer(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", "z", probe_s=60, called=False)
    assert await world.lanes.forget(LANE, "s1") == 1
    assert await world.upkeep.due_probes(again_in_s=0, most=10) == []
    assert await take_census(world.server) == (await world.balance(), [])


async def test_a_dead_letter_is_replayed_at_the_end_of_its_lane(world: World):
    await world.dead("a")
    await world.append("b")
    await world.redis.delete(f"t:lane:{LANE}:wake")
    assert await world.lanes.replay(LANE, {"a": "t:event:a"}, 100) == (True, True)
    assert await world.lanes.replay(LANE, {"a": "t:event:a"}, 100) == (False, False)
    assert 0 < await world.redis.ttl("t:event:a") <= 100
    assert (await world.deliveries.find("a")).finished_at_ms == 0
    held = await world.hold()
    taken = await world.lanes.take(held, OPEN)
    assert [(one.delivery_id, one.seq, one.replays) for one in taken] == [("b", 2, 0), ("a", 3, 1)]
    await world.lanes.settle(held, RECEIPT, "b")
    found = await world.deliveries.find("a")
    assert (found.state, found.error, found.detail, found.replays) == ("merged", "", "", 1)


async def test_a_dead_letter_replayed_into_a_lane_that_lies_down_parks_or_is_held_wakes_nobody(world: World):
    await world.dead("a", "b", "c", "d")
    await world.append("e")
    held = await world.hold()
    await world.redis.zadd("t:due", {LANE: 1})
    assert await world.lanes.replay(LANE, {"a": "t:event:a"}, 100) == (True, False)
    await world.lanes.release(held, wait_s=60, reason="x")
    assert await world.lanes.replay(LANE, {"b": "t:event:b"}, 100) == (True, False)
    await world.redis.zadd("t:due", {LANE: 0})
    await world.lanes.park(await world.hold(), "x", "y", "z", probe_s=60, called=False)
    assert await world.lanes.replay(LANE, {"c": "t:event:c"}, 100) == (True, False)
    await world.lanes.resume(LANE, certain=True)
    assert await world.tell() == ["e", "a", "b", "c"]
    await world.redis.delete(f"t:lane:{LANE}:wake")
    assert await world.lanes.replay(LANE, {"d": "t:event:d"}, 100) == (True, True)


async def test_a_dead_letter_whose_event_is_no_longer_kept_is_not_replayed(world: World):
    await world.dead("a")
    assert await world.lanes.replay(LANE, {"a": "t:event:nothing"}, 100) == (False, False)


async def test_a_dead_letter_is_discarded_once(world: World):
    await world.dead("a")
    assert await world.lanes.discard(LANE, "a") is True
    assert await world.lanes.discard(LANE, "a") is False
    assert await world.lanes.discard(LANE, "nothing") is False
    assert await world.state("a") == "discarded"
    assert await world.lanes.replay(LANE, {"a": "t:event:a"}, 100) == (False, False)


async def test_an_address_is_remembered_until_it_is_forgotten(world: World):
    await world.append("a")
    assert (await world.hold()).address is None
    await world.lanes.pin(LANE, Address("C1", "#alerts"))
    assert (await world.hold()).address == Address("C1", "#alerts")
    await world.lanes.unpin([LANE])
    assert (await world.hold()).address is None


async def test_lanes_do_not_touch_each_other(world: World):
    await world.append("a", lane="ops/#one")
    await world.append("b", lane="ops/#two")
    held = await world.hold("ops/#one")
    await world.take(held)
    await world.lanes.park(held, "x", "y", "z", probe_s=60, called=True)
    assert await world.tell("ops/#two") == ["b"]


async def test_many_holders_at_once_tell_everything_exactly_once_and_in_order(world: World):
    """Leases vanish under the holders' hands; every receipt that counts is for the next in line."""
    lanes = [f"ops/#{n}" for n in range(3)]
    told: dict[str, list[str]] = {lane: [] for lane in lanes}
    appended: dict[str, list[str]] = {lane: [] for lane in lanes}

    async def appends(lane: str) -> None:
        for n in range(20):
            appended[lane].append(f"{lane}-{n}")
            await world.append(f"{lane}-{n}", lane=lane)

    async def drains(token: str, lane: str, unlucky: int) -> None:
        for turn in range(60):
            held = await world.lanes.acquire(lane, f"{token}{turn}")
            if not isinstance(held, Held):
                await asyncio.sleep(0)
                continue
            try:
                taken = await world.take(held, 3)
                if turn % unlucky == 0:
                    await world.lose_lease(lane)
                if taken:
                    await world.lanes.settle(held, Receipt("C1", token), taken[0], leave=True)
                    told[lane] += taken
                else:
                    await world.lanes.release(held)
            except Fenced:
                continue

    await asyncio.gather(
        *(appends(lane) for lane in lanes),
        *(drains(token, lane, unlucky) for lane in lanes for token, unlucky in (("x", 3), ("y", 5))),
    )
    for lane in lanes:
        await world.lose_lease(lane)
        while isinstance(await world.lanes.acquire(lane, "last"), Held):
            told[lane] += await world.tell(lane, "last")
    assert told == appended

"""Lanes: their order, leases and wake-up calls, and steps that may run twice."""

import asyncio

import pytest
from support.store import LANE, OPEN_SCOPES, RECEIPT, World

from worker.domain.delivery import Address, Outcome, Receipt
from worker.domain.errors import LeaseLost
from worker.domain.event import Severity
from worker.domain.hints import Hint
from worker.store.events import EventBody
from worker.store.lanes import (
    AppendResult,
    Denial,
    LaneRemainder,
    Lease,
    LeaseDenied,
    NewDelivery,
    PaceClosed,
    ReplayResult,
    ResumeResult,
    TakenDelivery,
)
from worker.store.ledger import LedgerSnapshot, take_ledger_snapshot


async def test_deliveries_are_taken_in_the_order_they_were_appended(world: World):
    assert await world.append("a", "b") == AppendResult(2, 0, True)
    assert await world.append("c") == AppendResult(1, 0, False)
    held = await world.hold()
    assert await world.take(held) == ["a", "b", "c"]


async def test_appending_a_delivery_twice_creates_one(world: World):
    await world.append("a", "b")
    assert await world.append("a", "b") == AppendResult(0, 0, False)
    await world.deliver()
    assert await world.append("a", "b", "a") == AppendResult(0, 0, False)
    assert (await world.balance()).created == 2


async def test_a_delivery_that_one_append_contains_twice_is_created_once(world: World):
    assert (await world.append("a", "a")).created == 1


async def test_appending_no_deliveries_creates_no_keys(world: World):
    assert await world.append() == AppendResult(0, 0, False)
    assert not await world.is_due()


async def test_a_taken_delivery_has_its_fields(world: World):
    await world.append("a")
    held = await world.hold()
    taken = await world.lanes.take(held, OPEN_SCOPES)
    assert taken == (TakenDelivery("a", "a.src", "s1", 1, 7, 0, event_body=EventBody("", b"{}")),)
    assert (held.integration_id, held.destination) == ("ops", "#alerts")


async def test_one_append_accepts_many_thousand_deliveries(large_world: World):
    ids = [f"d{n:05}" for n in range(9_000)]
    entries = [NewDelivery(id_, f"{id_}.src", "s1", 7) for id_ in ids]
    assert (await large_world.lanes.append(LANE, entries)).created == 9_000
    held = await large_world.hold()
    assert await large_world.take(held) == ids
    await large_world.lanes.split(held, "invalid_blocks")
    assert await large_world.take(held, 1) == ids[:1]
    await large_world.lanes.settle(held, RECEIPT, ids[0], release=True)
    assert await large_world.lanes.discard_of_subscription(LANE, "s1") == 8_999
    assert (await large_world.balance()).discarded == 8_999


async def test_a_lane_has_at_most_one_wake_up_call_under_way(world: World):
    calls = [(await world.append(id_)).wake for id_ in "abc"]
    assert calls == [True, False, False]
    await world.hold()
    assert await world.redis.zscore("t:due", LANE) > await world.server.now_ms() + 20_000
    assert (await world.append("d")).wake is False
    await world.redis.zadd("t:due", {LANE: 1})
    assert (await world.append("e")).wake is False
    assert await world.redis.exists(f"t:lane:{LANE}:wake") == 0


async def test_acquiring_a_lane_clears_its_wake_up_mark_even_if_it_is_leased(world: World):
    await world.append("a")
    await world.hold()
    await world.redis.set(f"t:lane:{LANE}:wake", 1)
    assert await world.lanes.acquire(LANE, "h2") == LeaseDenied(Denial.LEASED)
    assert await world.redis.exists(f"t:lane:{LANE}:wake") == 0


async def test_a_lane_has_one_lease_at_a_time(world: World):
    await world.append("a")
    first = await world.hold(token="h1")
    assert await world.lanes.acquire(LANE, "h2") == LeaseDenied(Denial.LEASED)
    assert await world.lanes.acquire(LANE, "h1") == first


async def test_an_empty_lane_gives_no_lease(world: World):
    assert await world.lanes.acquire(LANE, "h1") == LeaseDenied(Denial.EMPTY)
    await world.append("a")
    await world.deliver()
    assert await world.lanes.acquire(LANE, "h1") == LeaseDenied(Denial.EMPTY)
    assert not await world.redis.exists(f"t:lane:{LANE}:lease")


async def test_a_holder_that_acquires_its_lane_when_it_is_empty_loses_the_lease(world: World):
    await world.append("a")
    await world.hold()
    await world.lanes.discard_of_subscription(LANE, "s1")
    assert await world.lanes.acquire(LANE, "h1") == LeaseDenied(Denial.EMPTY)
    assert (await world.append("b")).wake is True


async def test_a_holder_that_acquires_its_lane_when_it_is_parked_loses_the_lease(world: World):
    await world.append("a")
    await world.hold()
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=60)
    assert await world.lanes.acquire(LANE, "h1") == LeaseDenied(Denial.PARKED)
    assert not await world.redis.exists(f"t:lane:{LANE}:lease")


async def test_settling_delivers_the_first_delivery_and_merges_the_others(world: World):
    await world.append("a", "b", "c")
    held = await world.hold()
    await world.take(held)
    assert await world.lanes.settle(held, RECEIPT, "b") == LaneRemainder(0, holds_lease=False, wake=False)
    found = {id_: await world.deliveries.find(id_) for id_ in "abc"}
    assert [found[id_].state for id_ in "abc"] == ["merged", "delivered", "merged"]
    assert [found[id_].merged_into for id_ in "abc"] == ["b", "", "b"]
    assert {(one.channel, one.ts) for one in found.values()} == {(RECEIPT.channel, RECEIPT.ts)}
    balance = await world.balance()
    assert (balance.created, balance.delivered, balance.merged, balance.repeated) == (3, 1, 2, 0)


async def test_settling_keeps_the_lease_while_deliveries_are_pending(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.lanes.settle(held, RECEIPT, "a") == LaneRemainder(1, holds_lease=True)
    assert await world.take(held) == ["b"]
    assert await world.lanes.settle(held, RECEIPT, "b") == LaneRemainder(0, holds_lease=False)
    assert not await world.is_due()


async def test_settling_with_release_wakes_a_lane_with_pending_deliveries(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.lanes.settle(held, RECEIPT, "a", release=True) == LaneRemainder(1, holds_lease=False, wake=True)
    assert await world.is_due()


async def test_settling_twice_counts_once(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    await world.lanes.settle(held, RECEIPT, "a")
    assert await world.lanes.settle(held, RECEIPT, "a") == LaneRemainder(1, holds_lease=True)
    assert (await world.balance()).delivered == 1
    assert await world.take(held) == ["b"]
    await world.lanes.settle(held, RECEIPT, "b")
    with pytest.raises(LeaseLost):
        await world.lanes.settle(held, RECEIPT, "b")


async def test_taking_twice_takes_the_same_deliveries(world: World):
    await world.append("a", "b")
    held = await world.hold()
    assert await world.take(held, 1) == ["a"]
    await world.append("c")
    assert await world.take(held) == ["a"]


async def test_taking_from_an_empty_lane_takes_nothing(world: World):
    await world.append("a")
    held = await world.hold()
    await world.lanes.discard_of_subscription(LANE, "s1")
    assert await world.take(held) == []
    await world.lanes.open_attempt(held)
    await world.lanes.split(held, "invalid_blocks")
    await world.lanes.dead_letter(held, "invalid_blocks", "no")
    assert await world.lanes.settle(held, RECEIPT, "a") == LaneRemainder(0, holds_lease=False)


async def test_no_delivery_is_taken_while_the_channel_is_closed_by_slack(world: World):
    await world.append("a")
    held = await world.hold()
    await world.pace.close_channel("T1", "C1", 30)
    closed = await world.lanes.take(held, world.pace.get_closed_keys("T1", "C1"))
    assert isinstance(closed, PaceClosed)
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
        "take": lambda: lanes.take(stale, OPEN_SCOPES),
        "open": lambda: lanes.open_attempt(stale),
        "close": lambda: lanes.close_attempt(stale, Outcome.TRANSIENT, "x", 1),
        "settle": lambda: lanes.settle(stale, RECEIPT, "a"),
        "release": lambda: lanes.release(stale),
        "bury": lambda: lanes.dead_letter(stale, "x", "y"),
        "split": lambda: lanes.split(stale, "x"),
        "park": lambda: lanes.park(stale, "x", "y", Hint.of("z"), probe_s=1, called=True),
    }
    with pytest.raises(LeaseLost, match="another worker holds the lane"):
        await steps[step]()
    after = {key: await world.redis.dump(key) async for key in world.redis.scan_iter("t:*")}
    assert after == before


async def test_a_holder_whose_lease_expired_is_stale_even_without_a_new_holder(world: World):
    await world.append("a")
    held = await world.hold()
    await world.lose_lease()
    with pytest.raises(LeaseLost):
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
        lambda: world.lanes.dead_letter(held, "x", "y"),
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


async def test_a_released_lane_is_due_immediately_and_keeps_its_order(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.lanes.release(held) == LaneRemainder(2, holds_lease=False, wake=True)
    assert await world.take(await world.hold()) == ["a", "b"]
    await world.check()


async def test_a_snoozed_lane_is_not_due_and_has_its_reason(world: World):
    await world.append("a")
    held = await world.hold()
    left = await world.lanes.release(held, wait_s=60, failed=True, reason="Slack is away")
    assert left == LaneRemainder(1, holds_lease=False, wake=False)
    assert (await world.append("b")).wake is False
    lying = await world.lanes.acquire(LANE, "h2")
    assert isinstance(lying, LeaseDenied)
    assert (lying.denial, lying.reason) == ("snoozed", "Slack is away")
    assert 59 < lying.wait_s <= 60
    await world.redis.zadd("t:due", {LANE: 0})
    held = await world.hold(token="h2")
    assert held.failures == 1
    assert await world.hold(token="h2") == held


async def test_a_lane_that_a_clock_jump_snoozed_for_too_long_gives_a_lease(world: World):
    await world.append("a")
    await world.lanes.release(await world.hold(), wait_s=60, reason="x")
    await world.redis.zadd("t:due", {LANE: 9e12})
    assert isinstance(await world.lanes.acquire(LANE, "h1"), Lease)


async def test_releasing_an_empty_lane_leaves_it_not_due(world: World):
    await world.append("a")
    held = await world.hold()
    await world.lanes.discard_of_subscription(LANE, "s1")
    assert await world.lanes.release(held, wait_s=5, reason="x") == LaneRemainder(0, holds_lease=False, wake=False)
    assert not await world.is_due()
    assert (await world.append("b")).wake is True
    await world.hold()


async def test_failures_in_a_row_are_counted_until_a_delivery_succeeds(world: World):
    await world.append("a", "b")
    for failures in range(3):
        held = await world.hold()
        assert held.failures == failures
        await world.take(held, 1)
        await world.lanes.release(held, outcome=Outcome.TRANSIENT, code="x", failed=True)
    await world.deliver(most=1)
    held = await world.hold()
    assert held.failures == 0
    await world.lanes.release(held, failed=True)
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=60, called=False)
    await world.lanes.resume(LANE, permanently=False)
    held = await world.hold()
    assert held.failures == 0
    await world.lanes.release(held, failed=True)
    held = await world.hold()
    await world.take(held)
    await world.lanes.dead_letter(held, "x", "y")
    await world.append("c")
    assert (await world.hold()).failures == 0


async def test_a_dead_lettered_delivery_leaves_the_lane_and_the_others_continue(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.lanes.dead_letter(held, "invalid_blocks", "no such block") == LaneRemainder(1, holds_lease=True)
    assert await world.lanes.dead_letter(held, "invalid_blocks", "no such block") == LaneRemainder(1, holds_lease=True)
    assert await world.take(held) == ["b"]
    dead = await world.deliveries.find("a")
    assert (dead.state, dead.error, dead.detail) == ("dead", "invalid_blocks", "no such block")
    assert (await world.balance()).dead == 1


async def test_after_a_rejected_digest_each_of_its_deliveries_is_isolated(world: World):
    await world.append("a", "b", "c")
    held = await world.hold()
    assert held.isolate_until_seq == 0
    await world.take(held, 2)
    assert await world.lanes.split(held, "invalid_blocks") == LaneRemainder(3, holds_lease=True)
    assert await world.lanes.split(held, "invalid_blocks") == LaneRemainder(3, holds_lease=True)
    await world.lanes.release(held)
    held = await world.hold()
    assert held.isolate_until_seq == 2
    assert await world.take(held, 1) == ["a"]
    await world.lanes.dead_letter(held, "invalid_blocks", "no")
    await world.lanes.release(held)
    assert (await world.hold()).isolate_until_seq == 2
    assert await world.take(held, 1) == ["b"]
    await world.lanes.settle(held, RECEIPT, "b", release=True)
    assert (await world.hold()).isolate_until_seq == 0


async def test_isolation_ends_with_the_last_delivery_even_if_it_is_dead_lettered(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held)
    await world.lanes.split(held, "invalid_blocks")
    for id_, singly in (("a", 2), ("b", 0)):
        assert await world.take(held, 1) == [id_]
        await world.lanes.dead_letter(held, "invalid_blocks", "no")
        await world.append(f"after {id_}")
        assert (await world.hold()).isolate_until_seq == singly


async def test_a_parked_lane_gives_no_lease_and_has_its_reason(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held)
    await world.lanes.park(held, "not_in_channel", "not a member", Hint.of("/invite @bot"), probe_s=60, called=True)
    assert await world.lanes.acquire(LANE, "h1") == LeaseDenied(Denial.PARKED)
    assert await world.append("c") == AppendResult(1, 0, False)
    assert await world.state("a") == "parked"
    note = await world.lanes.get_status(LANE)
    assert (note.parked, note.reason, str(note.hint)) == (
        "not_in_channel",
        "not a member",
        "/invite @bot",
    )
    snapshot = await take_ledger_snapshot(world.server)
    balance, lanes = snapshot.balance, snapshot.lanes
    assert (balance.parked, balance.pending) == (3, 0)
    assert [(lane.lane, lane.pending, lane.parked, lane.integration_parked) for lane in lanes] == [
        (LANE, 3, "not_in_channel", "")
    ]
    with pytest.raises(LeaseLost):
        await world.lanes.park(held, "not_in_channel", "", Hint.of(""), probe_s=60, called=True)


async def test_a_resumed_lane_continues_in_order(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    await world.lanes.park(held, "is_archived", "archived", Hint.of("unarchive"), probe_s=60, called=False)
    assert await world.lanes.resume(LANE, permanently=True) == ResumeResult(True, True)
    assert await world.lanes.resume(LANE, permanently=True) == ResumeResult(False, False)
    assert await world.deliver() == ["a", "b"]
    assert (await world.lanes.get_status(LANE)).since_ms == 0


async def test_a_lane_resumed_for_a_probe_keeps_its_reason_and_age_until_it_delivers(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "restricted", "why", Hint.of("how"), probe_s=60, called=False)
    since = (await world.lanes.get_status(LANE)).since_ms
    assert await world.lanes.resume(LANE, permanently=False) == ResumeResult(True, True)
    note = await world.lanes.get_status(LANE)
    assert (note.parked, note.reason, str(note.hint), note.since_ms) == ("", "why", "how", since)
    await world.lanes.park(await world.hold(), "restricted", "why", Hint.of("how"), probe_s=60, called=False)
    assert (await world.lanes.get_status(LANE)).since_ms == since
    await world.lanes.resume(LANE, permanently=False)
    await world.deliver()
    assert (await world.lanes.get_status(LANE)).since_ms == 0


async def test_resuming_an_unknown_lane_creates_nothing(world: World):
    assert await world.lanes.resume("ops/#nowhere", permanently=True) == ResumeResult(False, False)
    assert await world.redis.keys("t:*") == []


async def test_resuming_a_leased_lane_sends_no_wake_up_call(world: World):
    await world.append("a")
    await world.hold()
    assert await world.lanes.resume(LANE, permanently=False) == ResumeResult(False, False)


async def test_a_resumed_lane_of_a_parked_integration_stays_parked(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=60, called=False)
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=60)
    assert await world.lanes.resume(LANE, permanently=True) == ResumeResult(True, False)
    await world.check()
    assert await world.integrations.resume("ops") == 1
    assert await world.deliver() == ["a"]


async def test_parking_resuming_and_acquiring_do_not_read_every_pending_delivery(large_world: World):
    await large_world.lanes.append(LANE, [NewDelivery(f"d{n}", f"d{n}.src", "s1", 7) for n in range(3_000)])
    held = await large_world.hold()
    await large_world.take(held, 1)
    pending = await large_world.listed(LANE, "pending")
    await large_world.redis.delete(f"t:lane:{LANE}:pending")
    await large_world.redis.rpush(f"t:lane:{LANE}:pending", *pending)
    for id_ in pending[:-1]:
        await large_world.redis.delete(f"t:delivery:{id_}")  # reading them would create them again
    await large_world.lanes.park(held, "x", "y", Hint.of("z"), probe_s=60, called=False)
    await large_world.lanes.resume(LANE, permanently=True)
    await large_world.hold()
    assert not await large_world.redis.exists(*(f"t:delivery:{id_}" for id_ in pending[:-1]))
    assert await large_world.listed(LANE, "pending") == ["d0", *pending]


async def test_many_taken_deliveries_return_before_the_pending_ones(world: World):
    await world.append(*"abcd")
    held = await world.hold()
    await world.take(held)
    await world.append("e")
    await world.lanes.release(held)
    assert await world.listed(LANE, "pending") == list("abcde")


async def test_deliveries_left_over_from_a_selection_keep_their_order(world: World):
    """Deliveries that are not selected return immediately, and those released later do not overtake them."""
    await world.append(*"abcd")
    held = await world.hold()
    await world.lanes.take(held, OPEN_SCOPES)
    await world.lanes.select(held, ["c"], method="chat.update")
    await world.append("e")
    await world.lanes.release(held, outcome=Outcome.THROTTLED, code="ratelimited")
    assert await world.listed(LANE, "pending") == list("abcde")


async def test_a_holder_killed_while_posting_a_selection_leaves_the_lane_in_order(world: World):
    await world.append(*"abcd")
    held = await world.hold(token="dead")
    await world.lanes.take(held, OPEN_SCOPES)
    await world.lanes.select(held, ["b", "d"], method="chat.update")
    await world.lose_lease()
    assert await world.take(await world.hold(token="h2")) == list("abcd")


async def test_deliveries_that_a_digest_left_out_keep_their_place_and_wait_for_a_card(world: World):
    await world.append(*"abcd")
    held = await world.hold()
    await world.lanes.take(held, OPEN_SCOPES)
    await world.lanes.select(held, ["b"], method="chat.postMessage")
    await world.lanes.settle(held, RECEIPT, "b", card_pending=["c", "d", "gone"])
    assert await world.listed(LANE, "pending") == list("acd")
    taken = await world.lanes.take(held, OPEN_SCOPES)
    assert [delivery.card_pending for delivery in taken] == [False, True, True]
    assert not await world.redis.exists(world.server.keys.delivery("gone"))


async def test_a_finished_delivery_waits_for_no_card(world: World):
    await world.append(*"ab")
    held = await world.hold()
    await world.take(held, 1)
    await world.lanes.settle(held, RECEIPT, "a", card_pending=["a", "b"])
    assert await world.redis.hget(world.server.keys.delivery("a"), "owed") is None


async def test_an_attempt_of_many_deliveries_is_not_one_of_those_it_left_out(world: World):
    ids = [f"d{number:03}" for number in range(302)]
    await world.append(*ids)
    held = await world.hold()
    await world.lanes.take(held, OPEN_SCOPES)
    left_out = ["d000", "d007", "d301"]
    await world.lanes.select(held, [id_ for id_ in ids if id_ not in left_out], method="chat.postMessage")
    await world.lanes.settle(held, RECEIPT, "d001", release=True)
    for id_, count in {"d000": 0, "d006": 1, "d007": 0, "d300": 1, "d301": 0}.items():
        delivery = await world.deliveries.find(id_)
        assert len(await world.deliveries.list_attempts(delivery)) == count, id_


async def test_a_full_lane_dead_letters_its_oldest_deliveries(redis):
    world = World(redis, longest=3)
    await world.append("a", "b", "c")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.append("d", "e", "f") == AppendResult(3, 2, False)
    assert await world.listed(LANE, "pending") == ["d", "e", "f"]
    found = await world.deliveries.find("b")
    assert (found.state, found.error) == ("dead", "overflow")
    assert found.detail == "more than 3 deliveries were waiting in this lane"
    await world.lanes.settle(held, RECEIPT, "a", release=True)
    await world.check()


async def test_critical_deliveries_are_the_last_to_overflow(redis):
    world = World(redis, longest=3)
    await world.append("a", "b", severity=Severity.CRITICAL)
    await world.append("c", "d")
    assert await world.listed(LANE, "pending") == list("abd")
    await world.append("e")
    await world.append("f", severity=Severity.CRITICAL)
    assert await world.listed(LANE, "pending") == list("abf")
    await world.append("g")
    await world.append("h", severity=Severity.CRITICAL)
    assert await world.listed(LANE, "pending") == list("bfh")
    assert await world.dead_letters.count_critical() == 1
    await world.check()


async def test_expired_deliveries_become_dead_letters_oldest_first(world: World):
    await world.append("a", "b", "c")
    later = await world.server.now_ms() + 60_000
    assert await world.lanes.expire(LANE, later - 120_000, "too old", running=True) == 0
    assert await world.lanes.expire(LANE, later, "too old", running=True, limit=2) == 2
    assert await world.listed(LANE, "pending") == ["c"]
    assert await world.is_due()
    assert await world.lanes.expire(LANE, later, "too old", running=True) == 1
    assert not await world.is_due()
    found = await world.deliveries.find("b")
    assert (found.state, found.error, found.detail) == ("dead", "expired", "too old")


async def test_a_delivery_being_posted_does_not_expire(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.lanes.expire(LANE, await world.server.now_ms() + 60_000, "old", running=True) == 1
    assert await world.is_due()
    await world.lanes.settle(held, RECEIPT, "a")
    assert await world.state("b") == "dead"


async def test_a_delivery_that_a_dead_holder_took_expires(world: World):
    await world.append("a", "b")
    await world.take(await world.hold(), 1)
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=60)
    await world.lose_lease()
    assert await world.lanes.expire(LANE, await world.server.now_ms() + 60_000, "old", running=False) == 2
    await world.check()


async def test_a_parked_lane_whose_deliveries_all_expired_resumes(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=60, called=False)
    assert await world.lanes.expire(LANE, await world.server.now_ms() + 60_000, "old", running=False) == 1
    assert (await world.lanes.get_status(LANE)).parked == ""
    assert (await world.append("b")).wake is True


async def test_time_parked_does_not_count_after_the_lane_resumed(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=60, called=False)
    resumed_before = await world.server.now_ms()
    await world.lanes.resume(LANE, permanently=True)
    await world.redis.hset("t:delivery:a", "born", 1)
    assert await world.lanes.expire(LANE, resumed_before, "old", running=True) == 0
    assert await world.lanes.expire(LANE, resumed_before + 60_000, "old", running=True) == 1


async def test_pending_deliveries_of_a_removed_subscription_are_discarded(world: World):
    await world.append("a", "b", subscription="gone")
    await world.append("c", subscription="kept")
    held = await world.hold()
    await world.take(held, 1)
    await world.append("d", subscription="gone")
    assert await world.lanes.discard_of_subscription(LANE, "gone") == 2
    assert await world.lanes.discard_of_subscription(LANE, "gone") == 0
    assert await world.listed(LANE, "pending") == ["c"]
    assert await world.listed(LANE, "taken") == ["a"]
    assert (await world.deliveries.find("b")).error == "subscription_removed"
    await world.lanes.release(held)
    assert await world.lanes.discard_of_subscription(LANE, "gone") == 1
    assert await world.deliver() == ["c"]


async def test_a_parked_lane_without_deliveries_is_no_longer_parked(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=60, called=False)
    assert await world.lanes.discard_of_subscription(LANE, "s1") == 1
    assert await world.schedule.claim_due_probes(again_in_s=0, limit=10) == []
    assert await take_ledger_snapshot(world.server) == LedgerSnapshot(await world.balance(), [])


async def test_a_dead_letter_is_replayed_at_the_end_of_its_lane(world: World):
    await world.dead("a")
    await world.append("b")
    await world.redis.delete(f"t:lane:{LANE}:wake")
    assert await world.lanes.replay(LANE, "a", 100) == ReplayResult(1, True)
    assert await world.lanes.replay(LANE, "a", 100) == ReplayResult(0, False)
    assert 0 < await world.redis.ttl("t:event:a") <= 100
    assert (await world.deliveries.find("a")).finished_at_ms == 0
    held = await world.hold()
    taken = await world.lanes.take(held, OPEN_SCOPES)
    assert [(one.delivery_id, one.seq, one.replays) for one in taken] == [("b", 2, 0), ("a", 3, 1)]
    await world.lanes.settle(held, RECEIPT, "b")
    found = await world.deliveries.find("a")
    assert (found.state, found.error, found.detail, found.replays) == ("merged", "", "", 1)


async def test_a_dead_letter_replayed_into_a_snoozed_parked_or_leased_lane_sends_no_wake_up_call(world: World):
    await world.dead("a", "b", "c", "d")
    await world.append("e")
    held = await world.hold()
    await world.redis.zadd("t:due", {LANE: 1})
    assert await world.lanes.replay(LANE, "a", 100) == ReplayResult(1, False)
    await world.lanes.release(held, wait_s=60, reason="x")
    assert await world.lanes.replay(LANE, "b", 100) == ReplayResult(1, False)
    await world.redis.zadd("t:due", {LANE: 0})
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=60, called=False)
    assert await world.lanes.replay(LANE, "c", 100) == ReplayResult(1, False)
    await world.lanes.resume(LANE, permanently=True)
    assert await world.deliver() == ["e", "a", "b", "c"]
    await world.redis.delete(f"t:lane:{LANE}:wake")
    assert await world.lanes.replay(LANE, "d", 100) == ReplayResult(1, True)


async def test_a_dead_letter_whose_event_is_no_longer_kept_is_not_replayed(world: World):
    await world.dead("a")
    await world.redis.delete("t:event:a")
    assert await world.lanes.replay(LANE, "a", 100) == ReplayResult(0, False)


async def test_a_dead_letter_is_discarded_once(world: World):
    await world.dead("a")
    assert await world.lanes.discard(LANE, "a") is True
    assert await world.lanes.discard(LANE, "a") is False
    assert await world.lanes.discard(LANE, "nothing") is False
    assert await world.state("a") == "discarded"
    assert await world.lanes.replay(LANE, "a", 100) == ReplayResult(0, False)


async def test_a_pinned_address_is_kept_until_it_is_unpinned(world: World):
    await world.append("a")
    assert (await world.hold()).address is None
    await world.lanes.pin_address(LANE, Address("C1", "#alerts"))
    assert (await world.hold()).address == Address("C1", "#alerts")
    await world.lanes.unpin_addresses([LANE])
    assert (await world.hold()).address is None


async def test_lanes_are_independent(world: World):
    await world.append("a", lane="ops/#one")
    await world.append("b", lane="ops/#two")
    held = await world.hold("ops/#one")
    await world.take(held)
    await world.lanes.park(held, "x", "y", Hint.of("z"), probe_s=60, called=True)
    assert await world.deliver("ops/#two") == ["b"]


async def test_many_concurrent_holders_deliver_each_delivery_once_and_in_order(world: World):
    """Leases disappear at random, and every recorded receipt is for the next deliveries of the lane."""
    lanes = [f"ops/#{n}" for n in range(3)]
    taken_by_lane: dict[str, list[str]] = {lane: [] for lane in lanes}
    appended: dict[str, list[str]] = {lane: [] for lane in lanes}

    async def appends(lane: str) -> None:
        for n in range(20):
            appended[lane].append(f"{lane}-{n}")
            await world.append(f"{lane}-{n}", lane=lane)

    async def drains(token: str, lane: str, unlucky: int) -> None:
        for turn in range(60):
            held = await world.lanes.acquire(lane, f"{token}{turn}")
            if not isinstance(held, Lease):
                await asyncio.sleep(0)
                continue
            try:
                taken = await world.take(held, 3)
                if turn % unlucky == 0:
                    await world.lose_lease(lane)
                if taken:
                    await world.lanes.settle(held, Receipt("C1", token), taken[0], release=True)
                    taken_by_lane[lane] += taken
                else:
                    await world.lanes.release(held)
            except LeaseLost:
                continue

    await asyncio.gather(
        *(appends(lane) for lane in lanes),
        *(drains(token, lane, unlucky) for lane in lanes for token, unlucky in (("x", 3), ("y", 5))),
    )
    for lane in lanes:
        await world.lose_lease(lane)
        while isinstance(await world.lanes.acquire(lane, "last"), Lease):
            taken_by_lane[lane] += await world.deliver(lane, "last")
    assert taken_by_lane == appended

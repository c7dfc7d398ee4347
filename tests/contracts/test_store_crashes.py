"""Crashes of a lease holder: what the next holder finds, and what counts as repeated."""

import pytest
from support.store import LANE, OPEN_SCOPES, RECEIPT, World

from worker.domain.delivery import Outcome
from worker.domain.hints import Hint
from worker.store.lanes import AppendResult, Denial, LeaseDenied


async def list_possible_repeats(world: World) -> list[str]:
    """List the deliveries that a call of unknown outcome may have posted."""
    return [id_ for id_ in "abc" if await world.redis.hexists(f"t:delivery:{id_}", "doubt")]


async def test_a_holder_killed_before_taking_leaves_the_lane_in_order(world: World):
    await world.append("a", "b")
    await world.hold(token="dead")
    await world.lose_lease()
    held = await world.hold(token="h2")
    assert await world.take(held) == ["a", "b"]
    assert await list_possible_repeats(world) == []
    await world.lanes.settle(held, RECEIPT, "a")
    assert (await world.balance()).repeated == 0


async def test_a_holder_killed_while_posting_leaves_an_attempt_of_unknown_outcome(world: World):
    await world.append("a", "b", "c")
    await world.take(await world.hold(token="dead"), 2)
    await world.lose_lease()
    await world.check()
    held = await world.hold(token="h2")
    await world.check()
    assert await world.take(held) == ["a", "b", "c"]
    assert await list_possible_repeats(world) == ["a", "b"]
    lost = [await world.deliveries.list_attempts(await world.deliveries.find(id_)) for id_ in "abc"]
    assert [[(one.outcome, one.code) for one in attempts] for attempts in lost] == [
        [(Outcome.UNKNOWN, "worker_lost")],
        [(Outcome.UNKNOWN, "worker_lost")],
        [],
    ]


async def test_a_delivery_posted_after_an_unknown_outcome_counts_as_repeated(world: World):
    await world.append("a", "b", "c")
    await world.take(await world.hold(token="dead"), 2)
    await world.lose_lease()
    held = await world.hold(token="h2")
    await world.take(held)
    await world.lanes.settle(held, RECEIPT, "a")
    assert [(await world.deliveries.find(id_)).repeated for id_ in "abc"] == [True, True, False]
    assert (await world.balance()).repeated == 2
    await world.append("d")
    await world.deliver()
    assert (await world.balance()).repeated == 2


async def test_an_unknown_outcome_that_the_holder_recorded_counts_as_repeated(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    await world.lanes.release(held, outcome=Outcome.UNKNOWN, code="read_timeout", failed=True)
    held = await world.hold()
    await world.take(held)
    assert await list_possible_repeats(world) == ["a"]
    await world.lanes.settle(held, RECEIPT, "b")
    assert [(await world.deliveries.find(id_)).repeated for id_ in "ab"] == [True, False]
    assert (await world.deliveries.find("a")).attempts == 2


async def test_a_holder_killed_after_closing_an_attempt_leaves_no_unknown_outcome(world: World):
    await world.append("a")
    held = await world.hold(token="dead")
    await world.take(held)
    await world.lanes.close_attempt(held, Outcome.TRANSIENT, "connect", 1.5)
    await world.lose_lease()
    await world.hold(token="h2")
    assert await list_possible_repeats(world) == []
    attempts = await world.deliveries.list_attempts(await world.deliveries.find("a"))
    assert [(one.outcome, one.code, one.wait_s) for one in attempts] == [(Outcome.TRANSIENT, "connect", 1.5)]


@pytest.mark.parametrize(("method", "doubtful"), [("chat.postMessage", ["a"]), ("chat.update", [])])
async def test_a_holder_killed_after_opening_a_post_but_not_an_edit_leaves_deliveries_that_may_repeat(
    world: World, method: str, doubtful: list[str]
):
    await world.append("a")
    held = await world.hold(token="dead")
    await world.take(held)
    await world.lanes.close_attempt(held, Outcome.TRANSIENT, "connect", 1.5)
    await world.lanes.open_attempt(held, method)
    await world.lose_lease()
    await world.hold(token="h2")
    assert await list_possible_repeats(world) == doubtful
    attempts = await world.deliveries.list_attempts(await world.deliveries.find("a"))
    assert [(one.outcome, one.method) for one in attempts] == [
        (Outcome.TRANSIENT, "chat.postMessage"),
        (Outcome.UNKNOWN, method),
    ]


async def test_newer_deliveries_come_after_those_that_a_dead_holder_took(world: World):
    await world.append("a", "b")
    await world.take(await world.hold(token="dead"))
    await world.append("c")
    await world.lose_lease()
    assert await world.deliver(token="h2") == ["a", "b", "c"]


async def test_many_dead_holders_do_not_change_the_order_of_the_lane(world: World):
    await world.append(*"abcdef")
    for n, most in enumerate((2, 5, 1, 6, 3)):
        assert await world.take(await world.hold(token=f"dead{n}"), most) == list("abcdef")[:most]
        await world.lose_lease()
        await world.check()
    assert await world.deliver(token="h2") == list("abcdef")


async def test_a_lane_whose_holder_died_becomes_due_again(world: World):
    await world.append("a")
    await world.take(await world.hold(token="dead"))
    assert await world.schedule.claim_due_lanes(limit=10, horizon_ms=3_700_000) == []
    await world.lose_lease()
    await world.redis.zadd("t:due", {LANE: 1})
    await world.redis.delete(f"t:lane:{LANE}:wake")
    assert await world.schedule.claim_due_lanes(limit=10, horizon_ms=3_700_000) == [LANE]
    assert await world.schedule.claim_due_lanes(limit=10, horizon_ms=3_700_000) == []


async def test_deliveries_of_a_removed_subscription_that_a_dead_holder_took_are_discarded(world: World):
    await world.append("a", "b")
    await world.take(await world.hold(token="dead"), 1)
    await world.lose_lease()
    assert await world.lanes.discard_of_subscription(LANE, "s1") == 2
    assert await world.lanes.acquire(LANE, "h2") == LeaseDenied(Denial.EMPTY)


async def test_parking_without_a_call_leaves_no_attempt(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.park(held, "not_in_channel", "r", Hint.of("h"), probe_s=60, called=False)
    found = await world.deliveries.find("a")
    assert (found.attempts, await world.deliveries.list_attempts(found)) == (0, [])
    await world.lanes.resume(LANE, permanently=True)
    await world.hold()
    assert await list_possible_repeats(world) == []


async def test_releasing_taken_deliveries_without_a_call_leaves_no_attempt(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.release(held)
    await world.hold()
    assert await list_possible_repeats(world) == []
    assert await world.deliveries.list_attempts(await world.deliveries.find("a")) == []


async def test_a_throttled_call_does_not_count_as_an_attempt(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.release(held, outcome=Outcome.THROTTLED, code="ratelimited", wait_s=30, reason="slow")
    found = await world.deliveries.find("a")
    assert found.attempts == 0
    assert [one.wait_s for one in await world.deliveries.list_attempts(found)] == [30]


async def test_a_delivery_without_its_record_is_taken_without_an_event(world: World):
    await world.append("a", "b", "c")
    await world.redis.delete("t:delivery:b")
    taken = await world.lanes.take(await world.hold(), OPEN_SCOPES)
    assert [(one.delivery_id, one.event_ref, one.seq) for one in taken] == [
        ("a", "a.src", 1),
        ("b", "", 4),
        ("c", "c.src", 3),
    ]


@pytest.mark.parametrize("step", ["take", "settle", "close", "bury", "expire", "overflow", "lost"])
async def test_a_delivery_without_its_record_does_not_stop_the_lane_or_break_the_balance(redis, step: str):
    """Only eviction or a manual deletion removes a record; the lane continues and the ledger balances."""
    world = World(redis, longest=2)
    await world.append("a", "b")
    lanes, gone = world.lanes, "t:delivery:a"
    held = await world.hold()
    if step == "take":
        await redis.delete(gone)
    assert await world.take(held) == ["a", "b"]
    if step != "take":
        await redis.delete(gone)
    if step in ("take", "settle"):
        await lanes.settle(held, RECEIPT, "a")
    elif step == "close":
        await lanes.release(held, outcome=Outcome.TRANSIENT, code="x")
    elif step == "bury":
        await lanes.dead_letter(held, "x", "y")
    elif step == "lost":
        await world.lose_lease()
        await world.hold(token="h2")
    else:
        await lanes.release(held)
        if step == "expire":
            later = await world.server.now_ms() + 60_000
            await redis.delete(gone)
            assert await lanes.expire(LANE, later - 120_000, "old", running=True) == 0
            assert await lanes.expire(LANE, later, "old", running=True) == 2
        else:
            assert await world.append("c") == AppendResult(1, 1, False)
    await world.check()
    found = await world.deliveries.find("a")
    assert (found.event_ref, found.subscription_id, found.lane) == ("", "", LANE)

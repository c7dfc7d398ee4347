"""A holder dies at some instruction: what another finds, and what is counted as said twice."""

import pytest
from store_world import LANE, OPEN, RECEIPT, World

from worker.domain.delivery import Outcome
from worker.store.held import NotHeld


async def doubts(world: World) -> list[str]:
    """What may have been told by a call nobody knows the outcome of."""
    return [id_ for id_ in "abc" if await world.redis.hexists(f"t:delivery:{id_}", "doubt")]


async def test_who_dies_before_taking_leaves_everything_in_order(world: World):
    await world.append("a", "b")
    await world.hold(token="dead")
    await world.lose_lease()
    held = await world.hold(token="h2")
    assert await world.take(held) == ["a", "b"]
    assert await doubts(world) == []
    await world.lanes.settle(held, RECEIPT, "a")
    assert (await world.balance()).repeated == 0


async def test_who_dies_while_posting_leaves_an_attempt_of_unknown_outcome(world: World):
    await world.append("a", "b", "c")
    await world.take(await world.hold(token="dead"), 2)
    await world.lose_lease()
    await world.check()
    held = await world.hold(token="h2")
    await world.check()
    assert await world.take(held) == ["a", "b", "c"]
    assert await doubts(world) == ["a", "b"]
    lost = [await world.deliveries.attempts(await world.deliveries.find(id_)) for id_ in "abc"]
    assert [[(one.outcome, one.code) for one in attempts] for attempts in lost] == [
        [(Outcome.UNKNOWN, "worker_lost")],
        [(Outcome.UNKNOWN, "worker_lost")],
        [],
    ]


async def test_what_is_told_after_an_unknown_outcome_is_marked_as_repeated(world: World):
    await world.append("a", "b", "c")
    await world.take(await world.hold(token="dead"), 2)
    await world.lose_lease()
    held = await world.hold(token="h2")
    await world.take(held)
    await world.lanes.settle(held, RECEIPT, "a")
    assert [(await world.deliveries.find(id_)).repeated for id_ in "abc"] == [True, True, False]
    assert (await world.balance()).repeated == 1
    await world.append("d")
    await world.tell()
    assert (await world.balance()).repeated == 1


async def test_an_unknown_outcome_that_the_holder_saw_itself_is_marked_too(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    await world.lanes.release(held, outcome=Outcome.UNKNOWN, code="read_timeout", failed=True)
    held = await world.hold()
    await world.take(held)
    assert await doubts(world) == ["a"]
    await world.lanes.settle(held, RECEIPT, "b")
    assert [(await world.deliveries.find(id_)).repeated for id_ in "ab"] == [True, False]
    assert (await world.deliveries.find("a")).attempts == 2


async def test_who_dies_after_closing_an_attempt_leaves_no_doubt(world: World):
    await world.append("a")
    held = await world.hold(token="dead")
    await world.take(held)
    await world.lanes.close_attempt(held, Outcome.TRANSIENT, "connect", 1.5)
    await world.lose_lease()
    await world.hold(token="h2")
    assert await doubts(world) == []
    attempts = await world.deliveries.attempts(await world.deliveries.find("a"))
    assert [(one.outcome, one.code, one.wait_s) for one in attempts] == [(Outcome.TRANSIENT, "connect", 1.5)]


@pytest.mark.parametrize(("method", "doubtful"), [("chat.postMessage", ["a"]), ("chat.update", [])])
async def test_who_dies_after_opening_the_next_attempt_leaves_doubt_unless_it_edits(
    world: World, method: str, doubtful: list[str]
):
    await world.append("a")
    held = await world.hold(token="dead")
    await world.take(held)
    await world.lanes.close_attempt(held, Outcome.TRANSIENT, "connect", 1.5)
    await world.lanes.open_attempt(held, method)
    await world.lose_lease()
    await world.hold(token="h2")
    assert await doubts(world) == doubtful
    attempts = await world.deliveries.attempts(await world.deliveries.find("a"))
    assert [(one.outcome, one.method) for one in attempts] == [
        (Outcome.TRANSIENT, "chat.postMessage"),
        (Outcome.UNKNOWN, method),
    ]


async def test_what_was_appended_meanwhile_comes_after_what_a_dead_holder_took(world: World):
    await world.append("a", "b")
    await world.take(await world.hold(token="dead"))
    await world.append("c")
    await world.lose_lease()
    assert await world.tell(token="h2") == ["a", "b", "c"]


async def test_a_whole_crowd_of_dead_holders_changes_no_order(world: World):
    await world.append(*"abcdef")
    for n, most in enumerate((2, 5, 1, 6, 3)):
        assert await world.take(await world.hold(token=f"dead{n}"), most) == list("abcdef")[:most]
        await world.lose_lease()
        await world.check()
    assert await world.tell(token="h2") == list("abcdef")


async def test_a_lane_whose_holder_died_is_looked_at_again(world: World):
    await world.append("a")
    await world.take(await world.hold(token="dead"))
    assert await world.upkeep.due_lanes(most=10, horizon_ms=3_700_000) == []
    await world.lose_lease()
    await world.redis.zadd("t:due", {LANE: 1})
    await world.redis.delete(f"t:lane:{LANE}:wake")
    assert await world.upkeep.due_lanes(most=10, horizon_ms=3_700_000) == [LANE]
    assert await world.upkeep.due_lanes(most=10, horizon_ms=3_700_000) == []


async def test_a_removed_subscription_also_frees_what_a_dead_holder_took(world: World):
    await world.append("a", "b")
    await world.take(await world.hold(token="dead"), 1)
    await world.lose_lease()
    assert await world.lanes.forget(LANE, "s1") == 2
    assert await world.lanes.acquire(LANE, "h2") == NotHeld("empty")


async def test_parking_while_nothing_was_called_leaves_no_attempt(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.park(held, "not_in_channel", "r", "h", probe_s=60, called=False)
    found = await world.deliveries.find("a")
    assert (found.attempts, await world.deliveries.attempts(found)) == (0, [])
    await world.lanes.resume(LANE, certain=True)
    await world.hold()
    assert await doubts(world) == []


async def test_giving_back_what_was_taken_while_nothing_was_called_leaves_no_attempt(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.release(held)
    await world.hold()
    assert await doubts(world) == []
    assert await world.deliveries.attempts(await world.deliveries.find("a")) == []


async def test_slack_asking_to_wait_is_no_try(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.release(held, outcome=Outcome.THROTTLED, code="ratelimited", wait_s=30, reason="slow")
    found = await world.deliveries.find("a")
    assert found.attempts == 0
    assert [one.wait_s for one in await world.deliveries.attempts(found)] == [30]


async def test_a_record_that_vanished_between_others_is_told_as_unknown(world: World):
    await world.append("a", "b", "c")
    await world.redis.delete("t:delivery:b")
    taken = await world.lanes.take(await world.hold(), OPEN)
    assert [(one.delivery_id, one.event_ref, one.seq) for one in taken] == [
        ("a", "a.src", 1),
        ("b", "", 4),
        ("c", "c.src", 3),
    ]


@pytest.mark.parametrize("step", ["take", "settle", "close", "bury", "expire", "overflow", "lost"])
async def test_a_record_that_vanished_stops_no_lane_and_leaves_no_ghost(redis, step: str):
    """Only an evicting server or a hand can do this; the lane goes on, and the balance holds."""
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
        await lanes.bury(held, "x", "y")
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
            assert await world.append("c") == (1, 1, False)
    await world.check()
    found = await world.deliveries.find("a")
    assert (found.event_ref, found.subscription_id, found.lane) == ("", "", LANE)

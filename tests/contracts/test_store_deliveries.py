"""Deliveries: found, listed, and with every call to Slack that told them."""

from store_world import LANE, RECEIPT, World

from worker.domain.delivery import Attempt, Outcome, State
from worker.store.held import Entry


async def test_a_delivery_nobody_made_is_none(world: World):
    assert await world.deliveries.find("x") is None


async def test_a_pending_delivery_says_what_it_is(world: World):
    await world.append("a")
    found = await world.deliveries.find("a")
    assert (found.id, found.event_ref, found.subscription_id, found.lane) == ("a", "a.src", "s1", LANE)
    assert (found.seq, found.state, found.accepted_at_ms, found.attempts) == (1, State.PENDING, 7, 0)
    assert abs(found.created_at_ms - await world.server.now_ms()) < 10_000
    assert found.finished_at_ms == 0


async def test_all_are_listed_newest_first_page_by_page(world: World):
    ids = [f"d{n}" for n in range(4_001)]
    await world.lanes.append(LANE, [Entry(id_, "e.src", "s1", 7) for id_ in ids])
    assert [one.id async for one in world.deliveries.newest()] == ids[::-1]
    await world.redis.delete("t:delivery:d7")
    assert len([one async for one in world.deliveries.newest()]) == 4_000
    await world.redis.flushdb()


async def test_exactly_a_page_is_listed_too(world: World):
    await world.lanes.append(LANE, [Entry(f"d{n}", "e.src", "s1", 7) for n in range(2_000)])
    assert len([one async for one in world.deliveries.newest()]) == 2_000
    await world.redis.flushdb()


async def test_those_that_are_finished_are_listed_too(world: World):
    await world.append("a", "b")
    await world.tell()
    assert [one.state async for one in world.deliveries.newest()] == [State.MERGED, State.DELIVERED]


async def test_those_that_are_asked_for_are_listed_in_that_order(world: World):
    await world.append("a", "b", "c")
    assert [one.id for one in await world.deliveries.some(["c", "x", "a"])] == ["c", "a"]
    assert await world.deliveries.some([]) == []
    assert await world.deliveries.kept(["c", "x", "a"]) == ["c", "a"]
    assert await world.deliveries.kept([]) == []


async def test_deliveries_of_parked_lanes_are_parked(world: World):
    await world.append("a", lane="ops/#parked")
    await world.append("b", lane="dev/#held")
    await world.append("c", lane="ops/#running")
    await world.lanes.park(await world.hold("ops/#parked"), "x", "y", "z", probe_s=9, called=False)
    await world.integrations.park("dev", "x", "y", "z", probe_s=9)
    states = {one.id: one.state async for one in world.deliveries.newest()}
    assert states == {"a": State.PARKED, "b": State.PARKED, "c": State.PENDING}


async def test_what_waits_is_listed_in_order_what_is_being_posted_first(world: World):
    await world.append(*"abcd")
    assert await world.deliveries.waiting(LANE, most=9) == list("abcd")
    await world.take(await world.hold(), 2)
    assert await world.deliveries.waiting(LANE, most=9) == list("abcd")
    assert await world.deliveries.waiting(LANE, most=3) == list("abc")
    assert await world.deliveries.waiting("ops/#other", most=3) == []


async def test_every_call_that_told_it_is_listed_and_no_other(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    await world.lanes.close_attempt(held, Outcome.TRANSIENT, "connect", 1.25)
    await world.lanes.open_attempt(held, "chat.update")
    await world.lanes.settle(held, RECEIPT, "a")
    await world.take(held)
    await world.lanes.settle(held, RECEIPT, "b")
    first, second = [await world.deliveries.find(id_) for id_ in "ab"]
    attempts = await world.deliveries.attempts(first)
    assert attempts == [
        Attempt(attempts[0].at_ms, "chat.postMessage", Outcome.TRANSIENT, "connect", 1.25),
        Attempt(attempts[1].at_ms, "chat.update", Outcome.DELIVERED),
    ]
    assert [one.outcome for one in await world.deliveries.attempts(second)] == [Outcome.DELIVERED]
    assert (first.attempts, second.attempts) == (2, 1)


async def test_a_replayed_delivery_keeps_its_history(world: World):
    await world.dead("a")
    await world.append("b")
    await world.lanes.replay(LANE, {"a": "t:event:a"}, 100)
    await world.tell(most=1)
    await world.tell(most=1)
    found = await world.deliveries.find("a")
    assert [one.outcome for one in await world.deliveries.attempts(found)] == [
        Outcome.REFUSED,
        Outcome.DELIVERED,
    ]


async def test_calls_made_after_it_was_finished_did_not_tell_it(world: World):
    """A delivery between others leaves the line; the message that tells its neighbours does not tell it."""
    await world.append("a")
    await world.append("gone", subscription="removed")
    await world.append("b")
    await world.lanes.forget(LANE, "removed")
    await world.redis.hset("t:delivery:gone", "finished", await world.server.now_ms() - 1)
    await world.tell()
    assert await world.deliveries.attempts(await world.deliveries.find("gone")) == []


async def test_an_entry_published_with_an_id_of_the_future_shows_its_calls(world: World):
    await world.append("a")
    await world.redis.hset("t:delivery:a", "accepted", await world.server.now_ms() + 10**9)
    await world.tell()
    assert len(await world.deliveries.attempts(await world.deliveries.find("a"))) == 1


async def test_calls_made_after_a_delivery_was_told_are_not_read(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.settle(held, RECEIPT, "a")
    told = await world.deliveries.find("a")
    late = told.finished_at_ms + 5_000
    await world.redis.xadd(f"t:lane:{LANE}:attempts", {"not": "an attempt"}, id=f"{late}-0")
    assert [one.outcome for one in await world.deliveries.attempts(told)] == [Outcome.DELIVERED]

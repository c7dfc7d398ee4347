"""Deliveries: found and listed, with their attempts."""

from support.store import LANE, RECEIPT, World

from worker.domain.delivery import Attempt, Outcome, State
from worker.domain.hints import Hint
from worker.store.lanes import NewDelivery


async def test_an_unknown_delivery_is_none(world: World):
    assert await world.deliveries.find("x") is None


async def test_a_pending_delivery_is_read_with_its_fields(world: World):
    await world.append("a")
    found = await world.deliveries.find("a")
    assert (found.id, found.event_ref, found.subscription_id, found.lane) == ("a", "a.src", "s1", LANE)
    assert (found.seq, found.state, found.accepted_at_ms, found.attempts) == (1, State.PENDING, 7, 0)
    assert abs(found.created_at_ms - await world.server.now_ms()) < 10_000
    assert found.finished_at_ms == 0


async def test_deliveries_are_listed_newest_first_page_by_page(large_world: World):
    ids = [f"d{n}" for n in range(4_001)]
    await large_world.lanes.append(LANE, [NewDelivery(id_, "e.src", "s1", 7) for id_ in ids])
    assert [one.id for one in await large_world.newest()] == ids[::-1]
    await large_world.redis.delete("t:delivery:d7")
    assert len(await large_world.newest()) == 4_000


async def test_exactly_one_page_of_deliveries_is_listed(large_world: World):
    await large_world.lanes.append(LANE, [NewDelivery(f"d{n}", "e.src", "s1", 7) for n in range(2_000)])
    assert len(await large_world.newest()) == 2_000


async def test_finished_deliveries_are_listed(world: World):
    await world.append("a", "b")
    await world.deliver()
    assert [one.state for one in await world.newest()] == [State.MERGED, State.DELIVERED]


async def test_deliveries_are_read_in_the_requested_order(world: World):
    await world.append("a", "b", "c")
    assert [one.id for one in await world.deliveries.find_many(["c", "x", "a"])] == ["c", "a"]
    assert await world.deliveries.find_many([]) == []
    assert await world.deliveries.filter_existing(["c", "x", "a"]) == ["c", "a"]
    assert await world.deliveries.filter_existing([]) == []


async def test_deliveries_of_parked_lanes_are_parked(world: World):
    await world.append("a", lane="ops/#parked")
    await world.append("b", lane="dev/#held")
    await world.append("c", lane="ops/#running")
    await world.lanes.park(await world.hold("ops/#parked"), "x", "y", Hint.of("z"), probe_s=9, called=False)
    await world.integrations.park("dev", "x", "y", Hint.of("z"), probe_s=9)
    states = {one.id: one.state for one in await world.newest()}
    assert states == {"a": State.PARKED, "b": State.PARKED, "c": State.PENDING}


async def test_pending_deliveries_are_listed_in_order_after_those_being_posted(world: World):
    await world.append(*"abcd")
    assert await world.deliveries.list_pending_ids(LANE, limit=9) == list("abcd")
    await world.take(await world.hold(), 2)
    assert await world.deliveries.list_pending_ids(LANE, limit=9) == list("abcd")
    assert await world.deliveries.list_pending_ids(LANE, limit=3) == list("abc")
    assert await world.deliveries.list_pending_ids("ops/#other", limit=3) == []


async def test_a_delivery_lists_its_own_attempts_only(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    await world.lanes.close_attempt(held, Outcome.TRANSIENT, "connect", 1.25)
    await world.lanes.open_attempt(held, "chat.update")
    await world.lanes.settle(held, RECEIPT, "a")
    await world.take(held)
    await world.lanes.settle(held, RECEIPT, "b")
    first, second = [await world.deliveries.find(id_) for id_ in "ab"]
    attempts = await world.deliveries.list_attempts(first)
    assert attempts == [
        Attempt(attempts[0].at_ms, "chat.postMessage", Outcome.TRANSIENT, "connect", 1.25),
        Attempt(attempts[1].at_ms, "chat.update", Outcome.DELIVERED),
    ]
    assert [one.outcome for one in await world.deliveries.list_attempts(second)] == [Outcome.DELIVERED]
    assert (first.attempts, second.attempts) == (2, 1)


async def test_a_replayed_delivery_keeps_its_history(world: World):
    await world.dead("a")
    await world.append("b")
    await world.lanes.replay(LANE, "a", 100)
    await world.deliver(most=1)
    await world.deliver(most=1)
    found = await world.deliveries.find("a")
    assert [one.outcome for one in await world.deliveries.list_attempts(found)] == [
        Outcome.REFUSED,
        Outcome.DELIVERED,
    ]


async def test_attempts_made_after_a_delivery_was_discarded_are_not_its_own(world: World):
    """A delivery discarded from the middle of a lane is not in the message of its neighbours."""
    await world.append("a")
    await world.append("gone", subscription="removed")
    await world.append("b")
    await world.lanes.discard_of_subscription(LANE, "removed")
    await world.redis.hset("t:delivery:gone", "finished", await world.server.now_ms() - 1)
    await world.deliver()
    assert await world.deliveries.list_attempts(await world.deliveries.find("gone")) == []


async def test_a_delivery_of_an_entry_with_a_future_id_lists_its_attempts(world: World):
    await world.append("a")
    await world.redis.hset("t:delivery:a", "accepted", await world.server.now_ms() + 10**9)
    await world.deliver()
    assert len(await world.deliveries.list_attempts(await world.deliveries.find("a"))) == 1


async def test_attempts_made_after_a_delivery_was_delivered_are_not_read(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.settle(held, RECEIPT, "a")
    posted = await world.deliveries.find("a")
    late = posted.finished_at_ms + 5_000
    await world.redis.xadd(f"t:lane:{LANE}:attempts", {"not": "an attempt"}, id=f"{late}-0")
    assert [one.outcome for one in await world.deliveries.list_attempts(posted)] == [Outcome.DELIVERED]

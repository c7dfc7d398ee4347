"""What was told already: merged into what told it, and the record of that as new as it is."""

from dataclasses import replace

import pytest
from store_world import LANE, RECEIPT, RETENTION_S, World

from worker.domain.card import Card
from worker.domain.delivery import State
from worker.domain.errors import Fenced
from worker.domain.folding import Already
from worker.store.held import Left
from worker.store.lanes import CARD, RECORD

TOLD = Card("C1", "C1", "1.0", "lead", "", None, (1.0, 1000, 0), (1.0, 1000, 0), over=False, said="open")


async def test_each_is_merged_into_what_told_its_state_and_the_rest_goes_back(world: World):
    await world.append("a", "b", "c", "d")
    held = await world.hold()
    await world.take(held)
    repeat = Already("one", ("a", "c"), TOLD, is_card=False, is_repeat=True)
    late = Already("two", ("b",), replace(TOLD, lead="other", ts="2.0"))
    assert await world.lanes.merge(held, [repeat, late]) == Left(1, held=True)
    found = {id_: await world.deliveries.find(id_) for id_ in "abcd"}
    told = {id_: (one.state, one.merged_into, one.ts, one.detail) for id_, one in found.items() if one}
    assert told == {
        "a": (State.MERGED, "lead", "1.0", "its state was told already by"),
        "b": (State.MERGED, "other", "2.0", "a newer state was told already by"),
        "c": (State.MERGED, "lead", "1.0", "its state was told already by"),
        "d": (State.PENDING, "", "", ""),
    }
    assert await world.listed(LANE, "pending") == ["d"]


async def test_a_repeat_makes_the_record_or_the_card_as_new_as_it_is(world: World):
    await world.append("a", "b", "c")
    held = await world.hold()
    await world.take(held)
    some = [
        Already("one", ("a",), TOLD, is_card=False, is_repeat=True),
        Already("two", ("b",), TOLD, is_card=True, is_repeat=True),
        Already("three", ("c",), TOLD),
    ]
    assert await world.lanes.merge(held, some) == Left(0, held=False)
    abouts = ["one", "two", "three"]
    assert await world.lanes.cards(LANE, abouts, RECORD) == {"one": TOLD}
    assert await world.lanes.cards(LANE, abouts, CARD) == {"two": TOLD}


async def test_a_record_of_what_a_message_told_is_kept_as_long_as_the_delivery(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held)
    await world.lanes.settle(held, RECEIPT, "a", records={"it": TOLD, "other": TOLD})
    assert await world.lanes.cards(LANE, ["it", "other", "none"], RECORD) == {"it": TOLD, "other": TOLD}
    life_ms = await world.redis.pttl(world.keys.card(LANE, "it", RECORD))
    assert 0 < life_ms <= RETENTION_S * 1000


async def test_who_lost_the_lane_merges_nothing(world: World):
    await world.append("a")
    stale = await world.hold()
    await world.take(stale)
    await world.lose_lease()
    await world.hold(token="h2")
    with pytest.raises(Fenced):
        await world.lanes.merge(stale, [Already("it", ("a",), TOLD, is_repeat=True)])
    assert await world.state("a") == "pending"
    assert await world.lanes.cards(LANE, ["it"]) == {}


async def test_doing_it_twice_changes_nothing(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    some = [Already("it", ("a",), TOLD)]
    assert await world.lanes.merge(held, some) == Left(1, held=True)
    assert await world.lanes.merge(held, some) == Left(1, held=True)
    assert (await world.balance()).merged == 1


async def test_a_lane_that_is_left_is_woken_for_what_still_waits(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.lanes.merge(held, [Already("it", ("a",), TOLD)], leave=True) == Left(
        1, held=False, wake=True
    )


async def test_one_that_may_have_been_told_before_counts_as_told_twice(world: World):
    await world.append("a")
    await world.take(await world.hold())
    await world.lose_lease()
    held = await world.hold(token="h2")
    await world.take(held)
    await world.lanes.merge(held, [Already("it", ("a",), TOLD)])
    assert (await world.balance()).repeated == 1

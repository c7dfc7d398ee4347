"""Deliveries whose state a message already shows are merged into it and renew its record."""

from dataclasses import replace

import pytest
from support.store import LANE, RECEIPT, RETENTION_S, World

from worker.domain.card import Card
from worker.domain.delivery import Outcome, State
from worker.domain.errors import LeaseLost
from worker.domain.message_plan import CoveredDeliveries
from worker.store.keys import CARD, RECORD
from worker.store.lanes import LaneRemainder

SHOWN = Card("C1", "C1", "1.0", "lead", "", None, (1.0, 1000, 0), (1.0, 1000, 0), over=False, said="open")


async def test_deliveries_merge_into_the_message_that_shows_their_state_and_the_rest_go_back(world: World):
    await world.append("a", "b", "c", "d")
    held = await world.hold()
    await world.take(held)
    repeat = CoveredDeliveries("one", ("a", "c"), SHOWN, is_card=False, is_repeat=True)
    late = CoveredDeliveries("two", ("b",), replace(SHOWN, lead="other", ts="2.0"))
    assert await world.lanes.merge(held, [repeat, late]) == LaneRemainder(1, holds_lease=True)
    found = {id_: await world.deliveries.find(id_) for id_ in "abcd"}
    merged_fields = {id_: (one.state, one.merged_into, one.ts, one.detail) for id_, one in found.items() if one}
    assert merged_fields == {
        "a": (State.MERGED, "lead", "1.0", "the same state was already sent by"),
        "b": (State.MERGED, "other", "2.0", "a newer state was already sent by"),
        "c": (State.MERGED, "lead", "1.0", "the same state was already sent by"),
        "d": (State.PENDING, "", "", ""),
    }
    assert await world.listed(LANE, "pending") == ["d"]


async def test_a_repeated_state_renews_its_record_or_card(world: World):
    await world.append("a", "b", "c")
    held = await world.hold()
    await world.take(held)
    some = [
        CoveredDeliveries("one", ("a",), SHOWN, is_card=False, is_repeat=True),
        CoveredDeliveries("two", ("b",), SHOWN, is_card=True, is_repeat=True),
        CoveredDeliveries("three", ("c",), SHOWN),
    ]
    assert await world.lanes.merge(held, some) == LaneRemainder(0, holds_lease=False)
    abouts = ["one", "two", "three"]
    assert await world.lanes.get_cards(LANE, abouts, RECORD) == {"one": SHOWN}
    assert await world.lanes.get_cards(LANE, abouts, CARD) == {"two": SHOWN}


async def test_the_record_of_a_shown_state_is_kept_as_long_as_its_delivery(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held)
    await world.lanes.settle(held, RECEIPT, "a", records={"it": SHOWN, "other": SHOWN})
    assert await world.lanes.get_cards(LANE, ["it", "other", "none"], RECORD) == {"it": SHOWN, "other": SHOWN}
    life_ms = await world.redis.pttl(world.keys.card(LANE, "it", RECORD))
    assert 0 < life_ms <= RETENTION_S * 1000


async def test_a_holder_that_lost_its_lease_merges_nothing(world: World):
    await world.append("a")
    stale = await world.hold()
    await world.take(stale)
    await world.lose_lease()
    await world.hold(token="h2")
    with pytest.raises(LeaseLost):
        await world.lanes.merge(stale, [CoveredDeliveries("it", ("a",), SHOWN, is_repeat=True)])
    assert await world.state("a") == "pending"
    assert await world.lanes.get_cards(LANE, ["it"]) == {}


async def test_merging_twice_changes_nothing(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    some = [CoveredDeliveries("it", ("a",), SHOWN)]
    assert await world.lanes.merge(held, some) == LaneRemainder(1, holds_lease=True)
    assert await world.lanes.merge(held, some) == LaneRemainder(1, holds_lease=True)
    assert (await world.balance()).merged == 1


async def test_a_lane_released_while_merging_is_woken_for_its_pending_deliveries(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, 1)
    assert await world.lanes.merge(held, [CoveredDeliveries("it", ("a",), SHOWN)], release=True) == LaneRemainder(
        1, holds_lease=False, wake=True
    )


async def test_a_merged_delivery_that_may_have_been_posted_counts_as_repeated(world: World):
    await world.append("a")
    await world.take(await world.hold())
    await world.lose_lease()
    held = await world.hold(token="h2")
    await world.take(held)
    await world.lanes.merge(held, [CoveredDeliveries("it", ("a",), SHOWN)])
    assert (await world.balance()).repeated == 1


async def test_an_edit_that_changes_or_loses_a_card_finishes_no_delivery(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    assert await world.lanes.update_card(held, "it", SHOWN, Outcome.DELIVERED) == LaneRemainder(1, holds_lease=True)
    assert await world.lanes.get_cards(LANE, ["it"]) == {"it": SHOWN}
    await world.take(held)
    await world.lanes.update_card(held, "it", None, Outcome.REFUSED, "message_not_found")
    assert await world.lanes.get_cards(LANE, ["it"]) == {}
    assert await world.listed(LANE, "pending") == ["a"]


async def test_the_sources_whose_alerts_have_cards_are_found_by_the_fingerprint(world: World):
    for source in ("https://a.example", "https://b.example"):
        await world.append(source)
        held = await world.hold()
        await world.take(held)
        card = (f"alert of {source}", SHOWN)
        await world.lanes.settle(held, RECEIPT, source, card=card, alert=("f1", source), release=True)
    sources = await world.lanes.get_alert_sources(LANE, ["f1", "f2"])
    assert sources == {"f1": ["https://a.example", "https://b.example"], "f2": []}
    assert await world.lanes.get_alert_sources(LANE, []) == {}


async def test_the_card_of_a_workflow_run_is_found_by_the_resources_it_works_on(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held)
    await world.lanes.settle(held, RECEIPT, "a", card=("run 1", SHOWN), runs={"vm": "run 1", "disk": "run 2"})
    assert await world.lanes.get_run_cards(LANE, ["vm", "disk", "other"]) == {"vm": SHOWN}

"""Subscriptions: changed in one step, seen by everyone with the next look."""

import asyncio
from dataclasses import replace

import pytest
from store_world import World

from worker.domain.errors import Problem
from worker.domain.event import Kind, Severity
from worker.domain.subscription import Filters, Subscription
from worker.store.subscriptions import Subscriptions

FULL = Subscription(
    "s2", "ops", "#alerts",
    Filters(
        (Kind.ALERT, Kind.WORKFLOW), ("vpc",), ("1",), ("prod-*",), ("shop",), ("failed",),
        Severity.ERROR, ("a=b",),
    ),
    paused=True, mention="<!here>", mention_from=Severity.WARNING, style="plain",
    quiet_hours="22:00-07:00", time_zone="UTC", quiet_below=Severity.ERROR,
    only_changes=True, inhibit_resources=True, muted_from_ms=1, muted_until_ms=3, created_at_ms=2,
)  # fmt: skip
PLAIN = Subscription("s1", "ops", "#all", created_at_ms=3)


async def test_subscriptions_come_back_as_they_were_saved_oldest_first(world: World):
    await world.subscriptions.change(save=[PLAIN, FULL])
    assert await world.subscriptions.all() == (FULL, PLAIN)
    assert await world.subscriptions.find("s1") == PLAIN


async def test_one_nobody_made_is_a_problem(world: World):
    with pytest.raises(Problem, match="no subscription 'x'"):
        await world.subscriptions.find("x")


async def test_a_change_is_seen_by_everyone_and_nothing_is_read_without_one(world: World):
    other = Subscriptions(world.server)
    assert await other.all() == ()
    await world.subscriptions.change(save=[PLAIN, FULL])
    known = await other.all()
    assert await other.all() is known
    await world.subscriptions.change(save=[replace(PLAIN, paused=True)], remove=["s2"])
    assert await other.all() == (replace(PLAIN, paused=True),)


async def test_who_knows_the_version_need_not_ask_for_it(world: World):
    await world.subscriptions.change(save=[PLAIN])
    assert await world.subscriptions.all(1) == (PLAIN,)
    await world.subscriptions.change(save=[FULL])
    assert await world.subscriptions.all(1) == (PLAIN,)
    assert await world.subscriptions.all(2) == (FULL, PLAIN)


async def test_each_is_at_hand_by_its_id_and_the_lanes_that_want_cards_or_no_repeats(world: World):
    told_all = replace(FULL, id="s3", destination="#everything", style="plain", only_changes=False)
    cards = replace(told_all, id="s4", destination="#cards", style="card")
    await world.subscriptions.change(save=[PLAIN, FULL, told_all, cards])
    await asyncio.gather(*(world.subscriptions.all() for _ in range(5)))
    assert world.subscriptions.by_id == {PLAIN.id: PLAIN, "s2": FULL, "s3": told_all, "s4": cards}
    assert world.subscriptions.lanes_compared == {PLAIN.lane, FULL.lane, "ops/#cards"}
    assert world.subscriptions.lanes_of_inhibition == {FULL.lane, "ops/#everything", "ops/#cards"}


async def test_all_that_may_have_deliveries_are_known_the_removed_ones_too(world: World):
    one, other = (Subscription(id_, "ops", "#alerts", created_at_ms=1) for id_ in ("s1", "s2"))
    await world.subscriptions.change(save=[one, other])
    await world.subscriptions.change(remove=["s1"])
    await world.append("a", lane="dev/#builds")
    assert await world.subscriptions.ever() == ["operations:dev", "s1", "s2"]

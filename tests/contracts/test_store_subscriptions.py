"""Subscriptions: changed in one step, and seen by every process at its next read."""

import asyncio
from dataclasses import replace

import pytest
from support.store import World

from worker.domain.errors import UserError
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


async def test_saved_subscriptions_are_read_back_unchanged_oldest_first(world: World):
    await world.subscriptions.save_and_remove(save=[PLAIN, FULL])
    assert await world.subscriptions.list_all() == (FULL, PLAIN)
    assert await world.subscriptions.find("s1") == PLAIN


async def test_an_unknown_subscription_is_an_error(world: World):
    with pytest.raises(UserError, match="no subscription 'x'"):
        await world.subscriptions.find("x")


async def test_a_change_is_seen_by_every_process_and_read_only_once(world: World):
    other = Subscriptions(world.server)
    assert await other.list_all() == ()
    await world.subscriptions.save_and_remove(save=[PLAIN, FULL])
    known = await other.list_all()
    assert await other.list_all() is known
    await world.subscriptions.save_and_remove(save=[replace(PLAIN, paused=True)], remove=["s2"])
    assert await other.list_all() == (replace(PLAIN, paused=True),)


async def test_a_change_reads_no_other_subscription_again(world: World):
    await world.subscriptions.save_and_remove(save=[PLAIN, FULL])
    full, _ = await world.subscriptions.list_all()
    await world.subscriptions.save_and_remove(save=[replace(PLAIN, paused=True)])
    again, changed = await world.subscriptions.list_all()
    assert again is full
    assert changed.paused


async def test_thousands_are_saved_and_removed_in_one_step(world: World):
    many = [replace(PLAIN, id=f"s{number:04}", created_at_ms=number) for number in range(1_001)]
    await world.subscriptions.save_and_remove(save=many)
    assert await world.subscriptions.list_all() == tuple(many)
    await world.subscriptions.save_and_remove(save=[FULL], remove=[one.id for one in many])
    assert await world.subscriptions.list_all() == (FULL,)
    assert len(await world.subscriptions.list_ids_ever_used()) == 1_002
    assert await world.redis.get("t:version:subscriptions") == b"2"


async def test_subscriptions_are_cached_under_a_known_version(world: World):
    await world.subscriptions.save_and_remove(save=[PLAIN])
    assert await world.subscriptions.list_all(1) == (PLAIN,)
    await world.subscriptions.save_and_remove(save=[FULL])
    assert await world.subscriptions.list_all(1) == (PLAIN,)
    assert await world.subscriptions.list_all(2) == (FULL, PLAIN)


async def test_subscriptions_are_indexed_by_id_and_by_the_lanes_of_their_options(world: World):
    unfiltered = replace(FULL, id="s3", destination="#everything", style="plain", only_changes=False)
    cards = replace(unfiltered, id="s4", destination="#cards", style="card")
    await world.subscriptions.save_and_remove(save=[PLAIN, FULL, unfiltered, cards])
    await asyncio.gather(*(world.subscriptions.list_all() for _ in range(5)))
    assert world.subscriptions.by_id == {PLAIN.id: PLAIN, "s2": FULL, "s3": unfiltered, "s4": cards}
    assert world.subscriptions.lanes_compared.names == {PLAIN.lane, FULL.lane, "ops/#cards"}
    assert world.subscriptions.lanes_of_inhibition.names == {FULL.lane, "ops/#everything", "ops/#cards"}


async def test_ids_of_all_subscriptions_that_may_have_deliveries_are_listed(world: World):
    one, other = (Subscription(id_, "ops", "#alerts", created_at_ms=1) for id_ in ("s1", "s2"))
    await world.subscriptions.save_and_remove(save=[one, other])
    await world.subscriptions.save_and_remove(remove=["s1"])
    await world.append("a", lane="dev/#builds")
    assert await world.subscriptions.list_ids_ever_used() == ["operations:dev", "s1", "s2"]

"""Pace: the slots of every worker, by the server's clock. Nobody sleeps: a booked slot says when it is."""

import asyncio
import random

import pytest
from store_world import World

from worker.store.pace import Pace, Rate, Slot

SLACK_S = 0.5  # how long the calls of a test may take together before they count as slots of their own


async def booked(pace: Pace, channel: str, count: int, longest_s: float = 1e6) -> list[float]:
    slots = [await pace.slot_to_post("T1", channel, longest_s=longest_s) for _ in range(count)]
    assert all(slot.booked for slot in slots)
    return [slot.wait_s for slot in slots]


async def now_s(world: World) -> float:
    """By the server's clock."""
    seconds, micros = await world.server.command("TIME")
    return float(seconds + micros / 1e6)


def paces(world: World, channel: Rate, workspace: Rate) -> Pace:
    return Pace(world.server, channel=channel, workspace=workspace)


async def test_the_first_slot_is_now_and_each_later_one_an_interval_on(world: World):
    waits = await booked(paces(world, Rate(0.1), Rate(100, 50)), "C1", 6)
    assert waits == pytest.approx([0, 10, 20, 30, 40, 50], abs=SLACK_S)


async def test_after_a_slot_that_was_used_late_the_next_is_a_whole_interval_away(world: World):
    pace = paces(world, Rate(0.1), Rate(100, 50))
    await booked(pace, "C1", 1)
    await pace.used_late("T1", "C1", 0.19)  # within what is kept in hand
    assert await booked(pace, "C2", 1) == pytest.approx([0], abs=SLACK_S)
    await world.redis.set("t:pace:T1:C1", await world.server.now_ms() + 1_000)  # it was nine seconds ago
    await pace.used_late("T1", "C1", 9.0)
    assert await booked(pace, "C1", 1) == pytest.approx([10], abs=SLACK_S)
    await pace.used_late("T1", "C1", 9.0)  # someone has booked the next one already
    assert await booked(pace, "C1", 1) == pytest.approx([20], abs=SLACK_S)


async def test_where_several_may_go_at_once_being_late_changes_nothing(world: World):
    for rate in (Rate(0.1, 3), Rate(1000)):
        await paces(world, rate, Rate(100, 50)).used_late("T1", "C1", 9.0)
        assert not await world.redis.exists("t:pace:T1:C1")
    pace = paces(world, Rate(0.1, 3), Rate(100, 50))
    assert await booked(pace, "C1", 3) == pytest.approx([0, 0, 0], abs=SLACK_S)


async def test_a_burst_may_go_at_once(world: World):
    waits = await booked(paces(world, Rate(0.1, 3), Rate(100, 50)), "C1", 5)
    assert waits == pytest.approx([0, 0, 0, 10, 20], abs=SLACK_S)


async def test_a_workspace_is_paced_over_all_its_conversations(world: World):
    pace = paces(world, Rate(0.1), Rate(0.2, 2))
    waits = [(await booked(pace, f"C{n}", 1))[0] for n in range(5)]
    assert waits == pytest.approx([0, 0, 5, 10, 15], abs=SLACK_S)
    other = await pace.slot_to_post("T2", "C1", longest_s=0.5)
    assert other.booked


async def test_who_comes_first_is_served_first(world: World):
    pace = paces(world, Rate(0.1), Rate(100, 50))
    slots = await asyncio.gather(*(pace.slot_to_post("T1", "C1", longest_s=1e6) for _ in range(8)))
    assert [slot.wait_s for slot in slots] == sorted(slot.wait_s for slot in slots)


async def test_a_slot_too_far_away_is_not_booked_and_costs_nobody_anything(world: World):
    pace = paces(world, Rate(0.1), Rate(100, 50))
    await booked(pace, "C1", 1)
    for _ in range(3):
        slot = await pace.slot_to_post("T1", "C1", longest_s=1)
        assert not slot.booked
        assert slot.wait_s == pytest.approx(10, abs=SLACK_S)


async def test_a_slot_is_booked_in_both_allowances_or_in_neither(world: World):
    pace = paces(world, Rate(0.1), Rate(0.02, 1))
    await booked(pace, "C1", 1)
    before = [await world.redis.get(key) for key in ("t:pace:T1:C2", "t:pace:T1:posts")]
    assert not (await pace.slot_to_post("T1", "C2", longest_s=10)).booked
    assert [await world.redis.get(key) for key in ("t:pace:T1:C2", "t:pace:T1:posts")] == before
    assert before[0] is None
    assert (await pace.slot_to_post("T1", "C2", longest_s=100)).wait_s == pytest.approx(50, abs=SLACK_S)
    assert (await pace.slot_to_post("T1", "C2", longest_s=1000)).wait_s == pytest.approx(100, abs=SLACK_S)


@pytest.mark.parametrize("seed", range(5))
async def test_never_more_than_rate_times_time_and_a_burst(world: World, seed: int):
    chance = random.Random(seed)
    channel, workspace = Rate(chance.choice((0.2, 1, 3)), chance.randint(1, 3)), Rate(2, chance.randint(1, 8))
    pace = paces(world, channel, workspace)
    posts: list[tuple[str, float, float]] = []  # where, not before, not after
    for _ in range(80):
        where = chance.choice("ABC")
        before_s = await now_s(world)
        slot = await pace.slot_to_post("T1", where, longest_s=chance.choice((0, 5, 1e6)))
        if slot.booked:
            posts.append((where, before_s + slot.wait_s, await now_s(world) + slot.wait_s))
    for scope, rate in (("ABC", workspace), *((where, channel) for where in "ABC")):
        times = sorted(at for where, *at in posts if where in scope)
        for i, (first, _) in enumerate(times):
            for j in range(i, len(times)):
                most = rate.per_s * (times[j][1] - first + 0.002) + rate.burst
                assert j - i + 1 <= most + 1e-6, (scope, rate, times[i : j + 1])


async def test_a_closed_conversation_grants_nothing_until_then_and_others_go_on(world: World):
    pace = paces(world, Rate(1), Rate(100, 50))
    assert await pace.close("T1", "C1", 30) is False
    slot = await pace.slot_to_post("T1", "C1", longest_s=1e6)
    assert not slot.booked
    assert slot.wait_s == pytest.approx(30, abs=SLACK_S)
    assert await pace.slot_to_post("T1", "C2", longest_s=0) == Slot(True, 0)


async def test_the_same_conversation_told_twice_closes_no_workspace(world: World):
    assert await world.pace.close("T1", "C1", 30) is False
    assert await world.pace.close("T1", "C1", 30) is False
    assert (await world.pace.slot_to_post("T1", "C2", longest_s=0)).booked


async def test_a_second_conversation_told_to_wait_closes_the_workspace(world: World):
    await world.pace.close("T1", "C1", 30)
    assert await world.pace.close("T1", "C2", 20) is True
    for channel, wait_s in (("C1", 30), ("C2", 20), ("C3", 20)):
        slot = await world.pace.slot_to_post("T1", channel, longest_s=1e6)
        assert not slot.booked
        assert slot.wait_s == pytest.approx(wait_s, abs=SLACK_S)
    assert (await world.pace.slot_to_post("T2", "C1", longest_s=0)).booked


async def test_a_closed_mark_is_gone_when_its_time_is_over(world: World):
    await world.pace.close("T1", "C1", 0.0001)
    assert await world.redis.pttl("t:closed:T1:C1") <= 1
    await world.pace.close("T1", "C1", 30)
    assert 29_000 < await world.redis.pttl("t:closed:T1:C1") <= 30_000
    assert 59_000 < await world.redis.pttl("t:closed:T1:last") <= 60_000


async def test_a_closed_mark_that_a_jumping_clock_made_long_is_as_short_as_slack_said(world: World):
    await world.redis.set("t:closed:T1:C1", 30_000, px=90_000_000)
    slot = await world.pace.slot_to_post("T1", "C1", longest_s=1e6)
    assert slot.wait_s == pytest.approx(30, abs=SLACK_S)


async def test_a_slot_in_the_far_future_comes_from_a_clock_that_jumped_and_is_forgotten(world: World):
    pace = paces(world, Rate(0.1), Rate(100, 50))
    now_ms = await world.server.now_ms()
    await world.redis.set("t:pace:T1:C1", now_ms + 86_400_000)
    assert await booked(pace, "C1", 2) == pytest.approx([0, 10], abs=SLACK_S)


async def test_a_slot_in_the_past_saves_nothing_up(world: World):
    pace = paces(world, Rate(0.1), Rate(100, 50))
    now_ms = await world.server.now_ms()
    await world.redis.set("t:pace:T1:C1", now_ms - 86_400_000)
    assert await booked(pace, "C1", 3) == pytest.approx([0, 10, 20], abs=SLACK_S)


async def test_an_allowance_is_kept_only_as_long_as_it_says_something(world: World):
    pace = paces(world, Rate(0.1), Rate(100, 50))
    await booked(pace, "C1", 2)
    assert 20_000 < await world.redis.pttl("t:pace:T1:C1") <= 21_001


def test_no_minute_has_more_than_its_share():
    for most, share in ((20, 0.25), (50, 0.25), (300, 0.05), (1, 0.25), (4, 0.25)):
        rate = Rate.per_minute(most, share)
        assert rate.burst + 60 * rate.per_s <= max(most, 1.5)


async def test_a_quarter_of_a_methods_tier_may_go_at_once_and_then_it_is_paced(world: World):
    waits = [
        (await world.pace.slot_to_call("T1", "conversations.list", 20, longest_s=1e6)).wait_s
        for _ in range(12)
    ]
    assert waits == pytest.approx([0] * 5 + [4 * n for n in range(1, 8)], abs=SLACK_S)
    assert (await world.pace.slot_to_call("T1", "conversations.info", 50, longest_s=0)).booked
    assert (await world.pace.slot_to_call("T1", "rare", 1, longest_s=0)).booked
    assert not (await world.pace.slot_to_call("T1", "rare", 1, longest_s=30)).booked


async def test_a_closed_method_is_not_called_and_posts_go_on(world: World):
    await world.pace.close_method("T1", "conversations.list", 30)
    slot = await world.pace.slot_to_call("T1", "conversations.list", 20, longest_s=1e6)
    assert not slot.booked
    assert slot.wait_s == pytest.approx(30, abs=SLACK_S)
    assert (await world.pace.slot_to_post("T1", "C1", longest_s=0)).booked

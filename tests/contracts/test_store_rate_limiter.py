"""The rate limiter: slots shared by all workers, by the server's clock. No test sleeps: a booked slot has its time."""

import asyncio
import random

import pytest
from support.store import World

from worker.store.rate_limiter import Rate, RateLimiter, Slot

SLACK_S = 0.5  # how long the calls of a test may take together before they count as slots of their own


async def book_slots(pace: RateLimiter, channel: str, count: int, longest_s: float = 1e6) -> list[float]:
    slots = [await pace.book_post_slot("T1", channel, max_wait_s=longest_s) for _ in range(count)]
    assert all(slot.booked for slot in slots)
    return [slot.wait_s for slot in slots]


async def now_s(world: World) -> float:
    """Return the time of the server's clock."""
    seconds, micros = await world.server.command("TIME")
    return float(seconds + micros / 1e6)


def limiter_with(world: World, channel: Rate, workspace: Rate) -> RateLimiter:
    return RateLimiter(world.server, channel=channel, workspace=workspace)


async def test_slots_are_one_interval_apart_from_now_on(world: World):
    waits = await book_slots(limiter_with(world, Rate(0.1), Rate(100, 50)), "C1", 6)
    assert waits == pytest.approx([0, 10, 20, 30, 40, 50], abs=SLACK_S)


async def test_after_a_slot_used_late_the_next_slot_is_a_whole_interval_later(world: World):
    pace = limiter_with(world, Rate(0.1), Rate(100, 50))
    await book_slots(pace, "C1", 1)
    await pace.shift_late_slot("T1", "C1", 0.19)  # within the reserve
    assert await book_slots(pace, "C2", 1) == pytest.approx([0], abs=SLACK_S)
    await world.redis.set("t:pace:T1:C1", await world.server.now_ms() + 1_000)  # it was nine seconds ago
    await pace.shift_late_slot("T1", "C1", 9.0)
    assert await book_slots(pace, "C1", 1) == pytest.approx([10], abs=SLACK_S)
    await pace.shift_late_slot("T1", "C1", 9.0)  # another worker has booked the next slot
    assert await book_slots(pace, "C1", 1) == pytest.approx([20], abs=SLACK_S)


async def test_a_slot_used_late_does_not_shift_a_rate_with_a_burst(world: World):
    for rate in (Rate(0.1, 3), Rate(1000)):
        await limiter_with(world, rate, Rate(100, 50)).shift_late_slot("T1", "C1", 9.0)
        assert not await world.redis.exists("t:pace:T1:C1")
    pace = limiter_with(world, Rate(0.1, 3), Rate(100, 50))
    assert await book_slots(pace, "C1", 3) == pytest.approx([0, 0, 0], abs=SLACK_S)


async def test_the_slots_of_a_burst_are_immediate(world: World):
    waits = await book_slots(limiter_with(world, Rate(0.1, 3), Rate(100, 50)), "C1", 5)
    assert waits == pytest.approx([0, 0, 0, 10, 20], abs=SLACK_S)


async def test_the_rate_of_a_workspace_covers_all_its_conversations(world: World):
    pace = limiter_with(world, Rate(0.1), Rate(0.2, 2))
    waits = [(await book_slots(pace, f"C{n}", 1))[0] for n in range(5)]
    assert waits == pytest.approx([0, 0, 5, 10, 15], abs=SLACK_S)
    other = await pace.book_post_slot("T2", "C1", max_wait_s=0.5)
    assert other.booked


async def test_slots_are_booked_in_the_order_of_the_requests(world: World):
    pace = limiter_with(world, Rate(0.1), Rate(100, 50))
    slots = await asyncio.gather(*(pace.book_post_slot("T1", "C1", max_wait_s=1e6) for _ in range(8)))
    assert [slot.wait_s for slot in slots] == sorted(slot.wait_s for slot in slots)


async def test_a_slot_beyond_the_maximum_wait_is_not_booked_and_delays_no_other(world: World):
    pace = limiter_with(world, Rate(0.1), Rate(100, 50))
    await book_slots(pace, "C1", 1)
    for _ in range(3):
        slot = await pace.book_post_slot("T1", "C1", max_wait_s=1)
        assert not slot.booked
        assert slot.wait_s == pytest.approx(10, abs=SLACK_S)


async def test_a_slot_is_booked_for_conversation_and_workspace_or_for_neither(world: World):
    pace = limiter_with(world, Rate(0.1), Rate(0.02, 1))
    await book_slots(pace, "C1", 1)
    before = [await world.redis.get(key) for key in ("t:pace:T1:C2", "t:pace:T1:posts")]
    assert not (await pace.book_post_slot("T1", "C2", max_wait_s=10)).booked
    assert [await world.redis.get(key) for key in ("t:pace:T1:C2", "t:pace:T1:posts")] == before
    assert before[0] is None
    assert (await pace.book_post_slot("T1", "C2", max_wait_s=100)).wait_s == pytest.approx(50, abs=SLACK_S)
    assert (await pace.book_post_slot("T1", "C2", max_wait_s=1000)).wait_s == pytest.approx(100, abs=SLACK_S)


@pytest.mark.parametrize("seed", range(5))
async def test_slots_never_exceed_rate_times_time_plus_the_burst(world: World, seed: int):
    chance = random.Random(seed)
    channel, workspace = Rate(chance.choice((0.2, 1, 3)), chance.randint(1, 3)), Rate(2, chance.randint(1, 8))
    pace = limiter_with(world, channel, workspace)
    posts: list[tuple[str, float, float]] = []  # where, not before, not after
    for _ in range(80):
        where = chance.choice("ABC")
        before_s = await now_s(world)
        slot = await pace.book_post_slot("T1", where, max_wait_s=chance.choice((0, 5, 1e6)))
        if slot.booked:
            posts.append((where, before_s + slot.wait_s, await now_s(world) + slot.wait_s))
    for scope, rate in (("ABC", workspace), *((where, channel) for where in "ABC")):
        times = sorted(at for where, *at in posts if where in scope)
        for i, (first, _) in enumerate(times):
            for j in range(i, len(times)):
                most = rate.per_s * (times[j][1] - first + 0.002) + rate.burst
                assert j - i + 1 <= most + 1e-6, (scope, rate, times[i : j + 1])


async def test_a_closed_conversation_gives_no_slot_until_it_opens_and_others_do(world: World):
    pace = limiter_with(world, Rate(1), Rate(100, 50))
    assert await pace.close_channel("T1", "C1", 30) is False
    slot = await pace.book_post_slot("T1", "C1", max_wait_s=1e6)
    assert not slot.booked
    assert slot.wait_s == pytest.approx(30, abs=SLACK_S)
    assert await pace.book_post_slot("T1", "C2", max_wait_s=0) == Slot(True, 0)


async def test_throttling_one_conversation_twice_does_not_close_the_workspace(world: World):
    assert await world.pace.close_channel("T1", "C1", 30) is False
    assert await world.pace.close_channel("T1", "C1", 30) is False
    assert (await world.pace.book_post_slot("T1", "C2", max_wait_s=0)).booked


async def test_throttling_a_second_conversation_closes_the_workspace(world: World):
    await world.pace.close_channel("T1", "C1", 30)
    assert await world.pace.close_channel("T1", "C2", 20) is True
    for channel, wait_s in (("C1", 30), ("C2", 20), ("C3", 20)):
        slot = await world.pace.book_post_slot("T1", channel, max_wait_s=1e6)
        assert not slot.booked
        assert slot.wait_s == pytest.approx(wait_s, abs=SLACK_S)
    assert (await world.pace.book_post_slot("T2", "C1", max_wait_s=0)).booked


async def test_the_mark_of_a_closed_conversation_expires_with_its_wait(world: World):
    await world.pace.close_channel("T1", "C1", 0.0001)
    assert await world.redis.pttl("t:closed:T1:C1") <= 1
    await world.pace.close_channel("T1", "C1", 30)
    assert 29_000 < await world.redis.pttl("t:closed:T1:C1") <= 30_000
    assert 59_000 < await world.redis.pttl("t:closed:T1:last") <= 60_000


async def test_a_clock_jump_does_not_make_the_wait_of_a_closed_conversation_longer(world: World):
    await world.redis.set("t:closed:T1:C1", 30_000, px=90_000_000)
    slot = await world.pace.book_post_slot("T1", "C1", max_wait_s=1e6)
    assert slot.wait_s == pytest.approx(30, abs=SLACK_S)


async def test_a_slot_in_the_far_future_comes_from_a_clock_jump_and_is_ignored(world: World):
    pace = limiter_with(world, Rate(0.1), Rate(100, 50))
    now_ms = await world.server.now_ms()
    await world.redis.set("t:pace:T1:C1", now_ms + 86_400_000)
    assert await book_slots(pace, "C1", 2) == pytest.approx([0, 10], abs=SLACK_S)


async def test_unused_slots_of_the_past_are_not_saved(world: World):
    pace = limiter_with(world, Rate(0.1), Rate(100, 50))
    now_ms = await world.server.now_ms()
    await world.redis.set("t:pace:T1:C1", now_ms - 86_400_000)
    assert await book_slots(pace, "C1", 3) == pytest.approx([0, 10, 20], abs=SLACK_S)


async def test_the_key_of_a_rate_expires_with_its_last_slot(world: World):
    pace = limiter_with(world, Rate(0.1), Rate(100, 50))
    await book_slots(pace, "C1", 2)
    assert 20_000 < await world.redis.pttl("t:pace:T1:C1") <= 21_001


def test_no_minute_has_more_slots_than_the_method_tier_allows():
    for most, share in ((20, 0.25), (50, 0.25), (300, 0.05), (1, 0.25), (4, 0.25)):
        rate = Rate.per_minute(most, share)
        assert rate.burst + 60 * rate.per_s <= max(most, 1.5)


async def test_a_method_has_a_burst_of_a_quarter_of_its_tier(world: World):
    waits = [
        (await world.pace.book_method_slot("T1", "conversations.list", 20, max_wait_s=1e6)).wait_s for _ in range(12)
    ]
    assert waits == pytest.approx([0] * 5 + [4 * n for n in range(1, 8)], abs=SLACK_S)
    assert (await world.pace.book_method_slot("T1", "conversations.info", 50, max_wait_s=0)).booked
    assert (await world.pace.book_method_slot("T1", "rare", 1, max_wait_s=0)).booked
    assert not (await world.pace.book_method_slot("T1", "rare", 1, max_wait_s=30)).booked


async def test_a_closed_method_gives_no_slot_and_posts_continue(world: World):
    await world.pace.close_method("T1", "conversations.list", 30)
    slot = await world.pace.book_method_slot("T1", "conversations.list", 20, max_wait_s=1e6)
    assert not slot.booked
    assert slot.wait_s == pytest.approx(30, abs=SLACK_S)
    assert (await world.pace.book_post_slot("T1", "C1", max_wait_s=0)).booked

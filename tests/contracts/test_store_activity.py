"""Activity: events, posts and edits by the minute, counted by the script that records them."""

from itertools import pairwise

from support.store import GROUP, RECEIPT, STREAM, World

from worker.domain.event import Kind
from worker.store.events import AcceptedEvent
from worker.store.metrics import Metrics, MinuteActivity, group_minutes


async def test_a_new_installation_has_a_day_of_zero_counts(world: World):
    beats = await Metrics(world.server).list_minutes()
    assert len(beats) == 1440
    assert {(one.events, one.messages) for one in beats} == {(0, 0)}
    assert beats[-1].at_ms <= await world.server.now_ms() < beats[-1].at_ms + 120_000
    assert {later.at_ms - one.at_ms for one, later in pairwise(beats)} == {60_000}


async def test_events_are_counted_once_when_they_are_accepted(world: World):
    some = [AcceptedEvent(f"e{number}.s", f"1-{number}", Kind.ALERT, is_repeat=False) for number in range(3)]
    await world.stream().create_group()
    for _ in range(2):
        await world.events.accept(STREAM, GROUP, some)
    assert sum(one.events for one in (await Metrics(world.server).list_minutes())[-2:]) == 3


async def test_posts_and_edits_are_counted_only_when_slack_accepted_them(world: World):
    await world.append("a", "b", "c")
    held = await world.hold()
    for delivery_id, method in (("a", "chat.postMessage"), ("b", "chat.update")):
        await world.take(held, 1)
        await world.lanes.open_attempt(held, method)
        await world.lanes.settle(held, RECEIPT, delivery_id)
    await world.take(held)
    await world.lanes.release(held, outcome="throttled", code="ratelimited", wait_s=9)
    found = (await Metrics(world.server).list_minutes())[-2:]
    assert (sum(one.posts for one in found), sum(one.edits for one in found)) == (1, 1)


async def test_activity_counts_are_kept_a_little_over_a_day(world: World):
    await world.append("a")
    await world.deliver()
    (key,) = await world.redis.keys("t:ledger:hour:*")
    assert 25 * 3600 < await world.redis.ttl(key) <= 26 * 3600


def test_activity_counts_of_minutes_are_summed_into_longer_spans():
    beats = [MinuteActivity(number * 60_000, events=number, posts=1, edits=2) for number in range(7)]
    assert group_minutes(beats, 3) == [
        MinuteActivity(60_000, 1 + 2 + 3, 3, 6),
        MinuteActivity(240_000, 4 + 5 + 6, 3, 6),
    ]
    assert group_minutes(beats, 3)[0].messages == 9

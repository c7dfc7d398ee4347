"""Quiet hours: events are held and posted in one message at the end; critical ones are posted immediately."""

from typing import Any

import pytest
from support.events import alert
from support.pipeline import Pipeline

from worker.domain.delivery import State
from worker.store.redis_errors import StoreUnavailable

HOUR_S = 3600.0
LANE = "acme/#ops"


@pytest.fixture
async def night(house: Pipeline) -> Pipeline:
    """Return a pipeline at 22:13 in the time zone of its subscription."""
    await house.subscribe(quiet_hours="22:00-07:00", time_zone="UTC")
    return house


def warnings(count: int) -> list[dict[str, Any]]:
    return [alert(f"disk {n}", severity="warning") for n in range(count)]


async def test_events_of_the_night_are_one_message_in_the_morning(night: Pipeline) -> None:
    for event in warnings(5):
        await night.deliver(event)
        night.pass_time(HOUR_S)
    assert night.slack.posts == []
    assert (await night.balance()).pending == 5
    night.pass_time(4 * HOUR_S)
    await night.app.sweeper.sweep()
    assert LANE in night.awake
    await night.drain()
    (digest,) = night.slack.posts
    assert all(f"disk {n}" in str(digest.message) for n in range(5))
    balance = await night.balance()
    assert (balance.delivered, balance.merged, balance.pending) == (1, 4, 0)


async def test_a_critical_event_is_sent_immediately(night: Pipeline) -> None:
    await night.deliver(*warnings(1), alert("all down"))
    (message,) = night.slack.posts
    assert "all down" in message.text
    assert (await night.balance()).pending == 1


async def test_before_quiet_hours_end_a_lane_is_hardly_woken_and_sends_nothing(night: Pipeline) -> None:
    await night.deliver(*warnings(1))
    woken = 0
    for _ in range(45):
        await night.app.sweeper.sweep()
        woken += len(night.awake)
        await night.drain()
        night.pass_time(600)
    assert woken <= 45 * 600 / 3000
    assert night.slack.posts == []


async def test_outside_quiet_hours_nothing_is_held(night: Pipeline) -> None:
    night.pass_time(12 * HOUR_S)
    await night.deliver(*warnings(1))
    assert len(night.slack.posts) == 1


async def test_another_subscription_of_the_channel_is_sent_at_night(night: Pipeline) -> None:
    await night.subscribe(id_="loud")
    await night.deliver(*warnings(1))
    assert len(night.slack.posts) == 1
    assert {one.state for one in await night.deliveries()} == {State.DELIVERED, State.PENDING}


async def test_an_entry_that_is_read_again_is_held_once(night: Pipeline) -> None:
    await night.publish(*warnings(1))
    night.luck.fail(5, reply_lost=True)
    with pytest.raises(StoreUnavailable):
        await night.ingest()
    night.luck.heal()
    await night.ingest()
    assert (await night.balance()).created == 1
    assert (await night.balance()).pending == 1


async def test_a_delivery_held_for_longer_than_its_max_age_is_still_sent(night: Pipeline) -> None:
    """The maximum age counts from the end of the quiet hours."""
    await night.deliver(*warnings(1))
    night.pass_time(20 * HOUR_S)
    await night.app.sweeper.expire_deliveries()
    night.pass_time(11 * HOUR_S)
    assert await night.app.sweeper.expire_deliveries() == 0
    await night.drain()
    assert len(night.slack.posts) == 1

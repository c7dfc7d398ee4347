"""Quiet hours: the night waits, the morning tells it in one message, what is critical is told at once."""

from typing import Any

import pytest
from pipeline_house import House, alert

from worker.domain.delivery import State
from worker.store.server import Unavailable

HOUR_S = 3600.0
LANE = "acme/#ops"


@pytest.fixture
async def night(house: House) -> House:
    """It is 22:13 by the clock of its one subscription."""
    await house.subscribe(quiet_hours="22:00-07:00", time_zone="UTC")
    return house


def warnings(count: int) -> list[dict[str, Any]]:
    return [alert(f"disk {n}", severity="warning") for n in range(count)]


async def test_what_comes_at_night_is_told_together_in_the_morning(night: House) -> None:
    for event in warnings(5):
        await night.tell(event)
        night.pass_time(HOUR_S)
    assert night.slack.posts == []
    assert (await night.balance()).pending == 5
    night.pass_time(4 * HOUR_S)
    await night.made.sweep.tick()
    assert LANE in night.awake
    await night.drain()
    (digest,) = night.slack.posts
    assert all(f"disk {n}" in str(digest.message) for n in range(5))
    balance = await night.balance()
    assert (balance.delivered, balance.merged, balance.pending) == (1, 4, 0)


async def test_what_is_critical_is_told_at_once(night: House) -> None:
    await night.tell(*warnings(1), alert("all down"))
    (message,) = night.slack.posts
    assert "all down" in message.text
    assert (await night.balance()).pending == 1


async def test_it_wakes_nobody_until_they_end(night: House) -> None:
    await night.tell(*warnings(1))
    for _ in range(8):
        await night.made.sweep.tick()
        assert night.awake == []
        night.pass_time(600)


async def test_during_the_day_nothing_is_held(night: House) -> None:
    night.pass_time(12 * HOUR_S)
    await night.tell(*warnings(1))
    assert len(night.slack.posts) == 1


async def test_another_subscription_of_the_channel_is_told_at_night(night: House) -> None:
    await night.subscribe(id_="loud")
    await night.tell(*warnings(1))
    assert len(night.slack.posts) == 1
    assert {one.state for one in await night.deliveries()} == {State.DELIVERED, State.PENDING}


async def test_an_entry_that_is_read_again_is_held_once(night: House) -> None:
    await night.publish(*warnings(1))
    night.luck.fail(5, reply_lost=True)
    with pytest.raises(Unavailable):
        await night.ingest()
    night.luck.heal()
    await night.ingest()
    assert (await night.balance()).created == 1
    assert (await night.balance()).pending == 1


async def test_what_is_held_longer_than_deliveries_may_wait_is_told_all_the_same(night: House) -> None:
    """A day counts from the end of the quiet hours."""
    await night.tell(*warnings(1))
    night.pass_time(20 * HOUR_S)
    await night.made.sweep.expire()
    night.pass_time(11 * HOUR_S)
    assert await night.made.sweep.expire() == 0
    await night.drain()
    assert len(night.slack.posts) == 1

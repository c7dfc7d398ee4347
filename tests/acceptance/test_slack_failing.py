"""Slack fails in every way it can: the pace closes for everyone, and what may have been posted is marked."""

import time

import pytest
from support.events import marks, numbered_alert
from support.examples import cases
from support.installation import Installation, until


def posted_between(installation: Installation, channel_id: str, since_s: float, until_s: float) -> int:
    """Posts to a channel that Slack met in a stretch of its clock."""
    return sum(
        since_s < met.at_s < until_s and met.method == "chat.postMessage" and met.channel == channel_id
        for met in installation.sandbox.call_log
    )


@pytest.mark.slow
async def test_after_a_429_no_worker_posts_to_the_channel_before_retry_after(fast: Installation):
    ops = fast.workspace.add_channel("ops")
    fast.workspace.add_channel("shop")
    by_id = {"destination": ops.id, "project": "by-id"}  # another lane to the same conversation
    await fast.connect("#ops", "#shop", rules=[by_id])
    fast.ingest(), fast.worker(), fast.worker()
    await fast.publish(numbered_alert(0), numbered_alert(100, "shop"))
    await fast.settled(2)
    fast.sandbox.fault("ratelimited", channel="#ops", retry_after=4)
    await fast.publish(numbered_alert(1))
    closed_at = await until(lambda: _met(fast, "ratelimited"), "Slack said 429")
    for number in range(2, 20):
        await fast.publish(
            numbered_alert(number), numbered_alert(200 + number, "by-id"), numbered_alert(100 + number, "shop")
        )
    await until(lambda: len(set(fast.marks("#shop"))) == 19, "the other channel goes on")
    assert time.monotonic() < closed_at + 4
    balance = await fast.settled(2 + 1 + 18 * 3)
    assert posted_between(fast, ops.id, closed_at, closed_at + 3.9) == 0
    assert (balance.repeated, balance.dead) == (0, 0)
    assert {one.attempts for one in await fast.deliveries()} == {1}, "Slack asking to wait is not an attempt"
    assert sorted(fast.marks("#ops")) == sorted(marks(*range(20), *range(202, 220)))


def _met(installation: Installation, outcome: str) -> float:
    """When a post met this outcome, by the sandbox's clock."""
    return next((met.at_s for met in installation.sandbox.call_log if met.outcome == outcome), 0.0)


@pytest.mark.parametrize(
    "fault",
    cases("http_500", "reset_after", "http_502_html", "internal_error", "bad_json", "close_before", short=2),
)
@pytest.mark.slow
async def test_a_post_of_unknown_outcome_is_repeated_counted_and_marked(fast: Installation, fault: str):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    fast.sandbox.fault(fault)
    await fast.publish(numbered_alert(1))
    await until(lambda: _met(fast, fault), f"Slack answered {fault}")
    await fast.publish(numbered_alert(2))
    balance = await fast.settled(2)
    stored = fault in {"reset_after", "bad_json"}
    assert len(fast.messages("#ops")) == (2 if stored else 1)
    assert sorted(set(fast.marks("#ops"))) == marks(1, 2)
    assert "may repeat" in str(fast.messages("#ops")[-1])
    assert balance.repeated == 1
    first, second = await fast.deliveries()
    assert (first.repeated, second.repeated) == (True, False)
    assert [one.outcome.value for one in await fast.app.deliveries.list_attempts(first)] == [
        "unknown",
        "delivered",
    ]


@pytest.mark.slow
async def test_deliveries_wait_while_slack_refuses_connections_and_are_then_posted_once(fast: Installation):
    channels = [f"c{number}" for number in range(5)]
    for name in channels:
        fast.workspace.add_channel(name)
    await fast.connect(*(f"#{name}" for name in channels))
    fast.ingest()
    worker = fast.worker()
    await fast.running(worker)
    await fast.slack_down()
    for number in range(50):
        await fast.publish(numbered_alert(number, channels[number % 5]))
    await until(lambda: len(worker.lines("no attempt") + worker.lines("attempt")) >= 5, "every lane has failed")
    assert (await fast.balance()).delivered == 0
    await fast.slack_up()
    balance = await fast.settled(50)
    assert (balance.repeated, balance.dead) == (0, 0)
    assert sorted(mark for name in channels for mark in fast.marks(name)) == sorted(marks(*range(50)))


@pytest.mark.thorough
@pytest.mark.slow
async def test_a_hanging_post_ends_by_its_timeout_and_delays_no_other_channel(fast: Installation):
    fast.workspace.add_channel("ops")
    fast.workspace.add_channel("shop")
    await fast.connect("#ops", "#shop")
    fast.ingest(), fast.worker()
    fast.sandbox.fault("hang", channel="#ops")
    await fast.publish(numbered_alert(1))
    await until(lambda: _met(fast, "hang"), "the post hangs")
    await fast.publish(numbered_alert(101, "shop"))
    await until(lambda: fast.messages("#shop"), "the other channel is told", most_s=5)
    balance = await fast.settled(2)
    assert fast.marks("#ops") == marks(1)
    assert balance.repeated == 1


@pytest.mark.slow
async def test_a_rejected_message_is_posted_as_plain_text_before_it_becomes_a_dead_letter(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    fast.sandbox.fault("invalid_blocks")
    await fast.publish(numbered_alert(1))
    await fast.settled(1)
    assert "evt-1" in fast.messages("#ops")[0]["text"]
    fast.sandbox.fault("invalid_blocks", times=2)
    await fast.publish(numbered_alert(2))

    async def dead() -> bool:
        return (await fast.balance()).dead == 1

    await until(dead, "the event is a dead letter")
    await fast.publish(numbered_alert(3))
    await until(lambda: fast.marks("#ops")[-1:] == marks(3), "the lane goes on")
    (letter,) = await fast.app.dead_letters.list_all()
    assert letter.reason == "invalid_blocks"
    assert (await fast.balance()).unaccounted == 0

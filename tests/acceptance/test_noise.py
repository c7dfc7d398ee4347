"""A channel that stays quiet: what is not told, or told later, is accounted for and explained."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.events import numbered_alert
from support.installation import Installation, until


def again(number: int, second: int, **more: object) -> dict[str, object]:
    """The alert once more, as an event of its own."""
    id_ = f"evt-{number}-{second}-{more.get('type', '')}"
    return {**numbered_alert(number), "id": id_, "time": f"2026-01-01T00:00:{second:02}Z", **more}


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.parametrize("style", ["card", "plain"])
async def test_an_alert_that_keeps_firing_is_posted_once_and_its_resolution_too(fast: Installation, style: str):
    fast.workspace.add_channel("ops")
    await fast.connect()
    added = ("subscriptions", "add", "--to", "#ops", "--only-changes", "--style", style)
    assert (await fast.cli(*added)).code == 0
    fast.ingest(), fast.worker()
    for second in range(5):
        await fast.publish(again(1, second))
        await fast.settled(second + 1)
    (message,) = fast.messages("#ops")
    assert fast.sandbox.calls["chat.update"] == 0
    told = (await fast.asked("explain", "evt-1-4-"))["matched"][0]["delivery"]
    assert (told["state"], told["ts"]) == ("merged", message["ts"])
    assert "the same state was already sent by" in (await fast.cli("explain", "evt-1-4-")).out
    await fast.publish(again(1, 9, type="io.infrakitchen.alert.resolved"))
    await fast.settled(6)
    assert any("resolved" in one["text"] for one in fast.messages("#ops"))


@pytest.mark.thorough
@pytest.mark.slow
async def test_events_of_a_muted_subscription_are_suppressed_and_the_mute_ends_automatically(
    fast: Installation,
):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    (subscription,) = await fast.asked("subscriptions", "list")
    await fast.running(fast.ingest(), fast.worker())
    until_s = int(time.time()) + 6
    until_utc = datetime.fromtimestamp(until_s, UTC).isoformat()
    muted = await fast.cli("subscriptions", "mute", subscription["id"], "--until", until_utc)
    assert muted.code == 0, muted
    await fast.publish(numbered_alert(1))
    story: dict[str, Any] = await until(lambda: explained(fast, "evt-1", "suppressed"), "it is suppressed")
    assert story["unmatched"][0]["reason"].startswith("muted until ")
    await until(lambda: time.time() >= until_s, "the mute is over")
    assert (await fast.asked("subscriptions", "list"))[0]["muted_until"] == ""
    await fast.publish(numbered_alert(2))
    balance = await fast.settled(1)
    assert (balance.accepted, balance.suppressed) == (2, 1)
    assert fast.marks("#ops") == ["evt-2"]


async def explained(installation: Installation, event_id: str, state: str) -> dict[str, Any] | None:
    """What `explain` says, once the event is in this state."""
    said = await installation.cli("explain", event_id, "--json")
    story = json.loads(said.out) if said.code == 0 else {"state": ""}
    return story if story["state"] == state else None


@pytest.mark.slow
async def test_events_of_quiet_hours_are_one_message_when_these_end(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect()
    now = datetime.now(UTC)
    hours = f"{now - timedelta(hours=2):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    quiet = ("--quiet-hours", hours, "--time-zone", "UTC")
    assert (await fast.cli("subscriptions", "add", "--to", "#ops", *quiet)).code == 0
    await fast.running(fast.ingest(), fast.worker())
    await fast.publish(*(numbered_alert(number, severity="warning") for number in range(1, 6)))
    await fast.publish(numbered_alert(6, severity="critical"))
    await until(lambda: fast.marks("#ops") == ["evt-6"], "what is critical is told at once")
    await until(lambda: pending(fast, 5), "that is recorded")
    assert f"held: quiet hours until {hours[6:]} (UTC)" in (await fast.cli("explain", "evt-1")).out
    await morning(fast, "acme/#ops")
    balance = await fast.settled(6)
    assert (balance.delivered, balance.merged) == (2, 4)
    assert fast.marks("#ops")[1:] == [f"evt-{number}" for number in range(1, 6)]
    assert len(fast.messages("#ops")) == 2


async def pending(installation: Installation, count: int) -> bool:
    """Whether so many wait."""
    return (await installation.balance()).pending == count


async def morning(installation: Installation, lane: str) -> None:
    """The quiet hours end now: nobody waits for two hours here."""
    key = f"ik:lane:{lane}:quiet"
    now_ms = await installation.app.redis.now_ms()
    await installation.redis.zadd(key, dict.fromkeys(await installation.redis.zrange(key, 0, -1), now_ms))
    await installation.redis.zadd("ik:due", {lane: now_ms})

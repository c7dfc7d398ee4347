"""A channel that stays quiet: what is not told, or told later, is accounted for and explained."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from installation import Installation, alert, until


def again(number: int, second: int, **more: object) -> dict[str, object]:
    """The alert once more, as an event of its own."""
    id_ = f"evt-{number}-{second}-{more.get('type', '')}"
    return {**alert(number), "id": id_, "time": f"2026-01-01T00:00:{second:02}Z", **more}


@pytest.mark.slow
@pytest.mark.parametrize("style", ["card", "plain"])
async def test_an_alert_that_goes_on_is_told_once_and_its_end_is_told(fast: Installation, style: str):
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
    assert "its state was told already by" in (await fast.cli("explain", "evt-1-4-")).out
    await fast.publish(again(1, 9, type="io.infrakitchen.alert.resolved"))
    await fast.settled(6)
    assert any("resolved" in one["text"] for one in fast.messages("#ops"))


@pytest.mark.slow
async def test_what_comes_while_a_channel_is_muted_is_suppressed_and_the_mute_ends_by_itself(
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
    await fast.publish(alert(1))
    story: dict[str, Any] = await until(lambda: explained(fast, "evt-1", "suppressed"), "it is suppressed")
    assert story["unmatched"][0]["reason"].startswith("muted until ")
    await until(lambda: time.time() >= until_s, "the mute is over")
    assert (await fast.asked("subscriptions", "list"))[0]["muted_until"] == ""
    await fast.publish(alert(2))
    balance = await fast.settled(1)
    assert (balance.accepted, balance.suppressed) == (2, 1)
    assert fast.marks("#ops") == ["evt-2"]


async def explained(one: Installation, event_id: str, state: str) -> dict[str, Any] | None:
    """What `explain` says, once the event is in this state."""
    said = await one.cli("explain", event_id, "--json")
    story = json.loads(said.out) if said.code == 0 else {"state": ""}
    return story if story["state"] == state else None


@pytest.mark.slow
async def test_the_night_is_quiet_and_the_morning_tells_it_in_one_message(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect()
    now = datetime.now(UTC)
    hours = f"{now - timedelta(hours=2):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    quiet = ("--quiet-hours", hours, "--time-zone", "UTC")
    assert (await fast.cli("subscriptions", "add", "--to", "#ops", *quiet)).code == 0
    await fast.running(fast.ingest(), fast.worker())
    await fast.publish(*(alert(number, severity="warning") for number in range(1, 6)))
    await fast.publish(alert(6, severity="critical"))
    await until(lambda: fast.marks("#ops") == ["evt-6"], "what is critical is told at once")
    await until(lambda: pending(fast, 5), "that is recorded")
    assert f"held: quiet hours until {hours[6:]} (UTC)" in (await fast.cli("explain", "evt-1")).out
    await morning(fast, "acme/#ops")
    balance = await fast.settled(6)
    assert (balance.delivered, balance.merged) == (2, 4)
    assert fast.marks("#ops")[1:] == [f"evt-{number}" for number in range(1, 6)]
    assert len(fast.messages("#ops")) == 2


async def pending(one: Installation, count: int) -> bool:
    """Whether so many wait."""
    return (await one.balance()).pending == count


async def morning(one: Installation, lane: str) -> None:
    """The quiet hours end now: nobody waits for two hours here."""
    key = f"ik:lane:{lane}:quiet"
    now_ms = await one.made.server.now_ms()
    await one.redis.zadd(key, dict.fromkeys(await one.redis.zrange(key, 0, -1), now_ms))
    await one.redis.zadd("ik:due", {lane: now_ms})

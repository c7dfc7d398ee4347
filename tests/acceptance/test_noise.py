"""A channel that stays quiet: what is not told, or told later, is accounted for and explained."""

import pytest
from installation import Installation, alert


def again(number: int, time: int, **more: object) -> dict[str, object]:
    """The alert once more, as an event of its own."""
    id_ = f"evt-{number}-{time}-{more.get('type', '')}"
    return {**alert(number), "id": id_, "time": f"2026-01-01T00:00:{time:02}Z", **more}


@pytest.mark.slow
@pytest.mark.parametrize("style", ["card", "plain"])
async def test_an_alert_that_goes_on_is_told_once_and_its_end_is_told(fast: Installation, style: str):
    fast.workspace.add_channel("ops")
    await fast.connect()
    added = ("subscriptions", "add", "--to", "#ops", "--only-changes", "--style", style)
    assert (await fast.cli(*added)).code == 0
    fast.ingest(), fast.worker()
    for time in range(5):
        await fast.publish(again(1, time))
        await fast.settled(time + 1)
    (message,) = fast.messages("#ops")
    assert fast.sandbox.calls["chat.update"] == 0
    told = (await fast.asked("explain", "evt-1-4-"))["matched"][0]["delivery"]
    assert (told["state"], told["ts"]) == ("merged", message["ts"])
    assert "its state was told already by" in (await fast.cli("explain", "evt-1-4-")).out
    await fast.publish(again(1, 9, type="io.infrakitchen.alert.resolved"))
    await fast.settled(6)
    assert any("resolved" in one["text"] for one in fast.messages("#ops"))

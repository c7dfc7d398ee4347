"""One living message about each run and alert, from the stream to the channel."""

import asyncio
import json
import time
from random import Random
from typing import Any

import pytest
from support.events import numbered_alert
from support.installation import Installation

STEPS = 12


def run(status: str, done: int, what: str = "step_completed", error: str = "") -> dict[str, Any]:
    """A workflow's event after so many of its steps."""
    steps = [{"name": f"step-{n}", "position": n, "status": "done" if n < done else "pending"} for n in range(STEPS)]
    if error:
        steps[done] |= {"status": "error", "error_message": error}
    data = {"workflow_id": "w1", "name": "deploy checkout", "action": "create", "status": status}
    return {
        "specversion": "1.0",
        "id": f"{what}-{done}",
        "source": "/tests",
        "type": f"io.infrakitchen.workflow.{what}",
        "time": f"2026-01-01T00:00:{done:02}Z",
        "data": {**data, "steps": steps, "error_message": error, "project": "ops"},
    }


def top(installation: Installation) -> list[dict[str, Any]]:
    return [
        message
        for message in installation.messages("#ops")
        if "thread_ts" not in message and not message.get("deleted")
    ]


def thread(installation: Installation) -> list[dict[str, Any]]:
    return [message for message in installation.messages("#ops") if "thread_ts" in message]


@pytest.mark.slow
async def test_a_workflow_of_twelve_steps_is_one_message_and_its_failure_a_reply(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest()
    worker = fast.worker()
    await fast.publish(run("in_progress", 0, "started"))
    await fast.settled(1)
    for done in range(1, STEPS - 1):
        await fast.publish(run("in_progress", done))
        await fast.settled(done + 1)
        if done == STEPS // 2:  # another worker finds the card
            await worker.stop()
            worker = fast.worker()
    await fast.publish(run("error", STEPS - 1, "failed", "timeout after 600 s"))
    balance = await fast.settled(STEPS)
    (card,), (reply,) = top(fast), thread(fast)
    assert f"{STEPS - 1} of {STEPS} steps done" in str(card)
    assert "timeout after 600 s" in str(card)
    assert (reply["thread_ts"], "timeout after 600 s" in str(reply)) == (card["ts"], True)
    assert "reply_broadcast" not in reply
    assert balance.repeated == 0
    assert {one.ts for one in await fast.deliveries()} == {card["ts"]}
    assert fast.sandbox.calls["chat.postMessage"] == 2


@pytest.mark.thorough
@pytest.mark.slow
async def test_the_reply_of_a_failure_is_broadcast_where_a_subscription_has_the_option(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect(rules=[{"destination": "#ops", "broadcast": True}])
    fast.ingest(), fast.worker()
    await fast.publish(run("in_progress", 0, "started"))
    await fast.settled(1)
    await fast.publish(run("error", 1, "failed", "timeout"))
    await fast.settled(2)
    (card,), (reply,) = top(fast), thread(fast)
    assert (reply["thread_ts"], reply["reply_broadcast"]) == (card["ts"], True)


@pytest.mark.slow
async def test_states_out_of_order_end_with_the_newest_and_a_deleted_card_is_posted_again(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    order = (5, 3, 9, 1, 7, 11, 2)
    for count, done in enumerate(order, 1):
        await fast.publish(run("in_progress", done))
        await fast.settled(count)
    (card,) = top(fast)
    assert f"11 of {STEPS} steps done" in str(card)
    fast.workspace.get_channel("#ops").posts[card["ts"]].deleted = True
    await fast.publish(run("done", STEPS, "completed"))
    await fast.settled(len(order) + 1)
    assert [message["ts"] > card["ts"] for message in top(fast)] == [True]


@pytest.mark.thorough
@pytest.mark.slow
async def test_of_thirty_states_in_any_order_the_newest_is_shown(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    chance = Random(30)
    states = [
        {**numbered_alert(1, summary=f"state {n}."), "id": f"state-{n}", "time": f"2026-01-01T00:00:{n:02}Z"}
        for n in range(30)
    ]
    chance.shuffle(states)
    published = 0
    while states:
        some = [states.pop() for _ in range(min(chance.randint(1, 6), len(states)))]
        await fast.publish(*some)
        published += len(some)
        if chance.random() < 0.7:  # else the next ones come while these are told
            await fast.settled(published)
    await fast.settled(30)
    (card,) = top(fast)
    assert "state 29." in str(card)
    assert {one.ts for one in await fast.deliveries()} == {card["ts"]}


@pytest.mark.slow
async def test_a_resolved_alert_edits_its_card(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    await fast.publish(numbered_alert(1))
    await fast.settled(1)
    resolved = {**numbered_alert(1), "id": "resolved", "type": "io.infrakitchen.alert.resolved"}
    await fast.publish(resolved)
    await fast.settled(2)
    (card,), (reply,) = top(fast), thread(fast)
    assert "resolved" in card["text"]
    assert "resolved" in reply["text"]


@pytest.mark.thorough
@pytest.mark.slow
async def test_ten_thousand_alerts_are_a_few_messages_and_the_most_urgent_have_cards(installation: Installation):
    installation.workspace.add_channel("ops")
    installation.environment["LANE_MAX_LENGTH"] = "20000"
    await installation.connect("#ops")
    await installation.running(installation.ingest(), installation.worker())
    worst = range(9_000, 9_010)
    severity = dict.fromkeys(worst, "critical")
    events = [numbered_alert(number, severity=severity.get(number, "warning")) for number in range(10_000)]
    began = time.monotonic()
    for start in range(0, len(events), 500):
        await installation.publish(*events[start : start + 500])
        await asyncio.sleep(max(began + start / 1000 - time.monotonic(), 0))
    await installation.settled(10_000, most_s=60)
    assert len(installation.messages("#ops")) < 60
    assert installation.sandbox.violations.total() == 0
    alone = {message["text"] for message in installation.messages("#ops") if "updates" not in message["text"]}
    assert all(any(f"evt-{number}" in text for text in alone) for number in worst)
    digests = json.dumps([message for message in installation.messages("#ops") if "updates" in message["text"]])
    assert not [number for number in worst if f"evt-{number}" in digests], (
        "what has a message of its own is in no digest"
    )

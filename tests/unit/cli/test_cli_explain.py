"""`ik-slack explain`: the whole history of an event in every state."""

import json
from dataclasses import replace

import pytest
from support.cli import Shell, deliver, drain_lanes, ingest, publish, record_heartbeats, reject_next_messages
from support.events import UNREADABLE_EVENT, failed_workflow

from worker.bootstrap.context import AppContext
from worker.domain.delivery import event_ref
from worker.sources import parse
from worker.store.keys import Keys

pytestmark = pytest.mark.slow


@pytest.fixture
def ops(shell: Shell) -> str:
    shell.connect()
    return shell.subscribe("--to", "#ops", "--kind", "workflow")


def explained(shell: Shell, event_id: str) -> dict:
    ended = shell("explain", event_id, "--json")
    assert ended.code == 0, ended.err
    return ended.json


def test_a_delivered_event_has_its_attempt_and_the_link_to_its_message(shell: Shell, ops: str) -> None:
    [entry] = deliver(shell, failed_workflow())
    story = explained(shell, "deploy-1")
    assert set(story) == {"event", "state", "reason", "hint", "matched", "unmatched", "others"}
    assert story["state"] == "delivered"
    assert story["event"]["id"] == "deploy-1"
    assert story["event"]["entry_id"] == entry
    [matched] = story["matched"]
    assert matched["subscription_id"] == ops
    delivery = matched["delivery"]
    assert (delivery["state"], delivery["event_id"], delivery["lane"]) == (
        "delivered",
        "deploy-1",
        "acme/#ops",
    )
    [attempt] = delivery["attempts"]
    assert set(attempt) == {"at", "method", "outcome", "code", "wait_s"}
    assert (attempt["method"], attempt["outcome"]) == ("chat.postMessage", "delivered")
    assert attempt["at"].endswith("Z")
    path = f"archives/{delivery['channel']}/p{delivery['ts'].replace('.', '')}"
    assert delivery["permalink"] == shell.slack.url + path


def test_the_text_shows_every_step_in_order(shell: Shell, ops: str) -> None:
    alerts = shell.subscribe("--to", "#ops", "--kind", "alert")
    deliver(shell, failed_workflow())
    out = shell("explain", "deploy-1").out
    assert "Event deploy-1: Workflow run deploy-1 failed" in out
    assert "delivered: matches 1 subscription, not 1 other" in out
    assert f"✓ {ops} → acme/#ops" in out
    assert "chat.postMessage: delivered" in out
    assert "/archives/C" in out
    assert f"– {alerts}: kind is workflow, not alert" in out


def test_every_subscription_without_a_delivery_has_a_reason(shell: Shell, ops: str) -> None:
    alerts = shell.subscribe("--to", "#ops", "--kind", "alert")
    deliver(shell, failed_workflow())
    later = shell.subscribe("--to", "#lobby", "--project", "shop")
    unmatched = {one["subscription_id"]: one["reason"] for one in explained(shell, "deploy-1")["unmatched"]}
    assert unmatched == {
        alerts: "kind is workflow, not alert",
        later: "it was added after the event was accepted",
    }


def test_a_subscription_that_was_paused_has_that_reason(shell: Shell, ops: str) -> None:
    shell("subscriptions", "pause", ops)
    deliver(shell, failed_workflow())
    assert explained(shell, "deploy-1")["unmatched"][0]["reason"] == "the subscription is paused"
    shell("subscriptions", "resume", ops)
    assert "changed, or resumed, after" in explained(shell, "deploy-1")["unmatched"][0]["reason"]


def test_a_suppressed_event_has_a_reason(shell: Shell, ops: str) -> None:
    deliver(shell, failed_workflow().replace("workflow.failed", "resource.state_changed"))
    story = explained(shell, "deploy-1")
    assert (story["state"], story["reason"], story["matched"]) == (
        "suppressed",
        "no subscription matches",
        [],
    )
    assert "suppressed: no subscription matches" in shell("explain", "deploy-1").out


def test_a_parked_delivery_shows_the_fix(shell: Shell, ops: str) -> None:
    shell.subscribe("--to", "#lobby")
    deliver(shell, failed_workflow())
    story = explained(shell, "deploy-1")
    assert story["state"] == "parked"
    parked = next(one["delivery"] for one in story["matched"] if one["delivery"]["state"] == "parked")
    assert parked["waits"] == "@infrakitchen is not a member of #lobby"
    assert "/invite @infrakitchen" in parked["hint"]
    assert "/invite @infrakitchen" in shell("explain", "deploy-1").out


def test_a_delivery_parked_with_its_integration_shows_the_fix(shell: Shell, ops: str) -> None:
    shell.acme.revoke(shell.acme.token)
    deliver(shell, failed_workflow())
    [matched] = explained(shell, "deploy-1")["matched"]
    assert matched["delivery"]["state"] == "parked"
    assert "ik-slack integrations rotate acme" in matched["delivery"]["hint"]
    assert [one["outcome"] for one in matched["delivery"]["attempts"]] == ["blocked"]


def test_an_event_with_a_dead_delivery_is_dead(shell: Shell, ops: str) -> None:
    reject_next_messages(shell)
    deliver(shell, failed_workflow())
    story = explained(shell, "deploy-1")
    assert story["state"] == "dead"
    delivery = story["matched"][0]["delivery"]
    assert [one["outcome"] for one in delivery["attempts"]] == ["refused", "refused"]
    assert f"dead-letters replay {delivery['id']}" in delivery["hint"]


def test_a_replayed_delivery_shows_its_steps_in_order(shell: Shell, ops: str) -> None:
    reject_next_messages(shell)
    deliver(shell, failed_workflow())
    shell("dead-letters", "replay", "--all")
    drain_lanes(shell)
    lines = [line.split("  ")[-1].strip() for line in shell("explain", "deploy-1").out.splitlines()]
    refused, queued = lines.index("chat.postMessage: refused (invalid_blocks)"), "replayed by command, "
    place = next(place for place, line in enumerate(lines) if queued in line)
    died = lines.index("dead letter, invalid_blocks")
    assert refused < died < place < lines.index("chat.postMessage: delivered")
    [matched] = explained(shell, "deploy-1")["matched"]
    [death] = matched["delivery"]["deaths"]
    assert death["reason"] == "invalid_blocks"
    history = matched["delivery"]["history"]
    assert [step["change"] for step in history] == ["queued", "dead", "replayed"]
    assert (history[1]["reason"], history[2]["who"].partition(",")[0]) == ("invalid_blocks", "command")


def test_a_pending_delivery_shows_why_it_waits(shell: Shell, ops: str) -> None:
    ingest(shell, failed_workflow("deploy-0"), failed_workflow())

    def waits() -> str:
        return str(explained(shell, "deploy-1")["matched"][0]["delivery"]["waits"])

    assert "no worker is running" in waits()
    record_heartbeats(shell, "worker")
    assert waits() == "1 delivery ahead of it in its lane"
    shell.slack.fault("service_unavailable", times=50)
    drain_lanes(shell, budget_s=0.0)
    story = explained(shell, "deploy-1")
    assert story["state"] == "pending"
    [delivery] = [one["delivery"] for one in story["matched"]]
    assert delivery["attempts"][-1]["outcome"] == "transient"
    assert delivery["waits"] == "Slack is not available at the moment"


def test_a_merged_delivery_names_its_message(shell: Shell, ops: str) -> None:
    deliver(shell, failed_workflow("deploy-0"), failed_workflow())
    states = {id_: explained(shell, id_) for id_ in ("deploy-0", "deploy-1")}
    merged, lead = sorted(states.values(), key=lambda story: story["state"] != "merged")
    assert merged["matched"][0]["delivery"]["merged_into"] == lead["matched"][0]["delivery"]["id"]
    assert merged["matched"][0]["delivery"]["permalink"] == lead["matched"][0]["delivery"]["permalink"]
    assert f"in the message of {lead['matched'][0]['delivery']['id']}" in shell(
        "explain", merged["event"]["id"]
    ).out  # fmt: skip


def test_a_delivery_of_a_removed_subscription_is_shown(shell: Shell, ops: str) -> None:
    deliver(shell, failed_workflow())
    shell("subscriptions", "remove", ops)
    story = explained(shell, "deploy-1")
    assert (story["state"], story["matched"][0]["subscription_id"]) == ("delivered", ops)
    assert story["unmatched"] == []


def test_an_event_whose_deliveries_are_no_longer_stored_is_forgotten(shell: Shell, ops: str) -> None:
    deliver(shell, failed_workflow())
    delivery_id = explained(shell, "deploy-1")["matched"][0]["delivery"]["id"]
    shell.store(lambda app: app.redis.command("DEL", app.redis.keys.delivery(delivery_id)))
    shell.env.setenv("RETENTION_S", "1")
    story = explained(shell, "deploy-1")
    assert story["state"] == "forgotten"
    assert "no longer kept" in story["reason"]


def test_an_unread_entry_is_waiting(shell: Shell, ops: str) -> None:
    [entry] = publish(shell, failed_workflow())
    story = explained(shell, entry)
    assert (story["state"], story["event"]["id"]) == ("waiting", "deploy-1")
    assert "no ingest is running" in story["reason"]
    assert story["unmatched"][0]["reason"] == "it matches; ingest has not read the event"
    record_heartbeats(shell, "ingest")
    assert explained(shell, entry)["reason"] == "it is one of 1 unread entries"


def test_an_event_is_found_by_its_entry_and_by_a_delivery(shell: Shell, ops: str) -> None:
    [entry] = deliver(shell, failed_workflow())
    delivery_id = explained(shell, "deploy-1")["matched"][0]["delivery"]["id"]
    for id_ in (entry, delivery_id):
        assert explained(shell, id_)["event"]["id"] == "deploy-1"


def test_the_id_of_infrakitchens_own_event_is_its_entry(shell: Shell, ops: str) -> None:
    body = {"event_type": "create", "entity_type": "workflow", "entity_id": "w", "title": "Made",
            "message": "", "status": "info", "metadata": None}  # fmt: skip
    [entry] = deliver(shell, json.dumps(body))
    assert explained(shell, entry)["state"] == "delivered"


def test_an_unreadable_entry_is_rejected_with_its_error(shell: Shell, ops: str) -> None:
    [entry] = publish(shell, UNREADABLE_EVENT)
    assert "it is not an event: line 1" in explained(shell, entry)["reason"]
    ingest(shell)
    story = explained(shell, entry)
    assert (story["state"], story["event"]) == ("rejected", {"id": entry, "entry_id": entry})
    assert story["reason"].startswith("line 1 column")


def test_events_of_two_sources_with_one_id_are_both_shown(shell: Shell, ops: str) -> None:
    deliver(shell, failed_workflow(source="/a"), failed_workflow(source="/b"))
    story = explained(shell, "deploy-1")
    [other] = story["others"]
    assert {story["event"]["source"], other["event"]["source"]} == {"/a", "/b"}
    assert shell("explain", "deploy-1").out.count("Event deploy-1") == 2


def test_an_unknown_event_is_one_line(shell: Shell) -> None:
    ended = shell("explain", "nope")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == ("Error: There is no event 'nope'. It was never published here, or it is no longer kept.\n")
    publish(shell, failed_workflow())
    assert "Ingest has not read 1 entry of the stream" in shell("explain", "nope").err


def test_an_events_texts_cannot_steer_the_terminal(shell: Shell, ops: str) -> None:
    deliver(shell, failed_workflow("deploy-1", name="a\x1b[31m\x9bred\n\nb"))
    assert "\x1b" not in shell("explain", "deploy-1").out
    assert "\x9b" not in shell("explain", "deploy-1").out


def test_an_event_that_ingest_is_reading_is_waiting(shell: Shell, ops: str) -> None:
    body = failed_workflow().encode()
    shell.store(lambda app: app.events.save_bodies([(parse(body, "1700000000000-0"), body)]))
    story = explained(shell, "deploy-1")
    assert (story["state"], story["reason"]) == ("waiting", "ingest is reading it")


def test_a_kept_event_this_version_cannot_read_is_one_line(shell: Shell, ops: str) -> None:
    deliver(shell, failed_workflow())
    key, source = Keys().event(event_ref("/ik", "deploy-1"))
    shell.store(lambda app: app.redis.command("HSET", key, source, "j{"))
    ended = shell("explain", "deploy-1")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "This version cannot read the stored event" in ended.err
    assert shell("deliveries", "list", "--json").json[0]["event_id"] == ""


def test_a_delivery_whose_event_is_gone_explains_nothing(shell: Shell, ops: str) -> None:
    deliver(shell, failed_workflow())
    delivery_id = explained(shell, "deploy-1")["matched"][0]["delivery"]["id"]
    key, _ = Keys().event(event_ref("/ik", "deploy-1"))
    shell.store(lambda app: app.redis.command("DEL", key))
    assert f"There is no event '{delivery_id}'" in shell("explain", delivery_id).err


def test_an_old_event_does_not_accuse_its_subscriptions(shell: Shell, ops: str) -> None:
    old = failed_workflow()
    shell.store(lambda app: app.redis.command("XADD", "infrakitchen:events", "1-0", "event", old))
    shell("subscriptions", "pause", ops)
    ingest(shell)
    shell("subscriptions", "resume", ops)
    shell.store(lambda app: _make_older_than_every_event(app, ops))
    assert "no longer kept, or it was changed since" in explained(shell, "deploy-1")["unmatched"][0]["reason"]


async def _make_older_than_every_event(app: AppContext, subscription_id: str) -> None:
    """Make a subscription older than every event."""
    found = await app.subscriptions.find(subscription_id)
    await app.subscriptions.save_and_remove(save=[replace(found, created_at_ms=0)])


def test_a_discarded_delivery_is_shown_as_discarded(shell: Shell, ops: str) -> None:
    ingest(shell, failed_workflow())
    shell("subscriptions", "remove", ops)
    assert explained(shell, "deploy-1")["state"] == "discarded"
    assert "discarded (subscription_removed)" in shell("explain", "deploy-1").out
    assert "subscription_removed" in shell("deliveries", "list").out

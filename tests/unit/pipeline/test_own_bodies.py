"""InfraKitchen's own bodies through the pipeline: named, distinguished, and each shown once."""

import json
from typing import Any

import pytest
from support.events import cloud_event
from support.pipeline import Pipeline, deliver_paced
from support.pipeline import open_pipeline as build

from worker.domain.subscription import Filters
from worker.store.events import REPEAT_MS
from worker.store.stream import StreamEntry

ID = "b385e4b6-7c73-5042-ae27-639965ab6eec"


def change(action: str, status: str, state: str, name: str = "aws-redis demo") -> dict[str, Any]:
    """Return the body of a resource that was changed."""
    sentence = f"Resource {name} status has been changed ({action})\nNew status: {status}, new state: {state}"
    body = {"event_type": "update", "entity_type": "resource", "entity_id": ID, "title": f"Resource {name}"}
    return body | {"message": sentence, "status": "warning", "metadata": None}


def task(outcome: str, word: str = "execute", reason: str = "CannotProceed", entity_id: str = ID) -> dict[str, Any]:
    """Return the body of a task that ended."""
    failed = f"Task {word} failed for {entity_id}: {reason}"
    message = f"Task {word} for resource completed successfully." if outcome == "succeeded" else failed
    body = {"event_type": "execute", "entity_type": "resource", "entity_id": entity_id, "metadata": None}
    status = "success" if outcome == "succeeded" else "error"
    return body | {"title": f"Resource {word} {outcome}", "message": message, "status": status}


def top_texts(house: Pipeline) -> list[str]:
    """Return the fallback texts of the messages, as they are now."""
    return [post.text for post in house.slack.posts if not post.thread_ts]


def reply_texts(house: Pipeline) -> list[str]:
    """Return the notifications of the replies in threads."""
    return [post.text for post in house.slack.posts if post.thread_ts]


async def test_a_provisioning_is_one_card_from_the_approval_to_done(house: Pipeline) -> None:
    await deliver_paced(house, change("APPROVE", "ready", "provision"))
    await deliver_paced(house, task("succeeded"))
    assert top_texts(house) == ["✅ Resource aws-redis demo: provisioned"]


async def test_a_destroy_is_another_card_that_names_what_it_did(house: Pipeline) -> None:
    await deliver_paced(house, change("APPROVE", "ready", "provision"))
    await deliver_paced(house, change("DESTROY", "approval_pending", "destroy"))
    assert top_texts(house)[1:] == ["🟡 Resource aws-redis demo: to be destroyed, waiting for approval"]
    await deliver_paced(house, change("APPROVE", "ready", "destroy"))
    await deliver_paced(house, task("succeeded"))
    assert top_texts(house)[1:] == ["✅ Resource aws-redis demo: destroyed"]


async def test_a_resource_that_fails_and_is_retried_is_one_card_that_recovers(house: Pipeline) -> None:
    for body in (change("APPROVE", "ready", "provision"), task("failed"), task("succeeded")):
        await deliver_paced(house, body)
    assert top_texts(house) == ["✅ Resource aws-redis demo: provisioned"]
    assert reply_texts(house) == [
        "❌ Resource aws-redis demo: provisioning failed: CannotProceed",
        "✅ Recovered: Resource aws-redis demo: provisioned",
    ]


async def test_a_later_body_leaves_the_end_of_a_provisioning_as_it_is(house: Pipeline) -> None:
    for body in (change("APPROVE", "ready", "provision"), task("succeeded"), change("UPDATE", "done", "provisioned")):
        await deliver_paced(house, body)
    assert top_texts(house) == ["✅ Resource aws-redis demo: provisioned: Updated."]
    house.pass_time(120)
    await deliver_paced(house, task("succeeded"))
    assert top_texts(house) == ["✅ Resource aws-redis demo: provisioned: Changes applied."]
    assert reply_texts(house) == []


@pytest.mark.parametrize(("status", "state"), [("rejected", "destroy"), ("done", "provisioned")])
async def test_a_rejected_destroy_is_a_warning_on_its_card(house: Pipeline, status: str, state: str) -> None:
    for body in (change("DESTROY", "approval_pending", "destroy"), change("REJECTED", status, state)):
        await deliver_paced(house, body)
    assert len(top_texts(house)) == 1
    assert top_texts(house) == reply_texts(house)
    assert top_texts(house)[0].startswith("🚫 Resource aws-redis demo: ")
    assert "rejected" in top_texts(house)[0]


async def test_the_cards_of_a_life_are_named_and_linked() -> None:
    async with build(infrakitchen_url="https://ik.example") as pipeline:
        await pipeline.connect()
        await pipeline.subscribe()
        for state in ("provision", "destroy"):
            await deliver_paced(pipeline, change("APPROVE", "ready", state))
            await deliver_paced(pipeline, task("succeeded"))
        texts = [post.message.headline[0].text for post in pipeline.slack.posts]
    assert texts == [
        f"✅ <https://ik.example/resources/{ID}|*Resource aws-redis demo: {end}*>"
        for end in ("provisioned", "destroyed")
    ]


async def test_a_dry_run_never_touches_the_card_of_the_real_operation(house: Pipeline) -> None:
    await deliver_paced(house, change("APPROVE", "ready", "provision"))
    await deliver_paced(house, task("failed"))
    await deliver_paced(house, task("succeeded", "dryrun"))
    assert top_texts(house) == [
        "❌ Resource aws-redis demo: provisioning failed: CannotProceed",
        "✅ Resource aws-redis demo: dry run succeeded",
    ]
    await deliver_paced(house, task("failed", "dryrun_with_temp_state"))
    assert top_texts(house)[0] == "❌ Resource aws-redis demo: provisioning failed: CannotProceed"


async def test_the_name_that_a_cloudevent_gave_is_used_for_later_bodies(house: Pipeline) -> None:
    data = {"resource_id": ID, "name": "db-main", "state": "destroy", "status": "in_progress"}
    await deliver_paced(house, cloud_event("resource.state_changed", "e1", data))
    await deliver_paced(house, task("failed", reason="UnhandledException: no quota"))
    assert top_texts(house) == ["❌ Resource db-main: destroy failed: no quota"]


async def test_a_remembered_name_matches_the_filter(house: Pipeline) -> None:
    await house.subscribe(filters=Filters(names=("aws-*",)))
    bodies = change("APPROVE", "ready", "provision"), task("failed"), task("failed", entity_id="another")
    await house.publish(*bodies)
    await house.ingest()
    await house.publish(task("succeeded"))
    await house.ingest()
    assert len(await house.deliveries()) == 3
    balance = await house.balance()
    assert (balance.accepted, balance.suppressed) == (4, 1)


async def test_an_alert_about_an_entity_names_no_later_body(house: Pipeline) -> None:
    entity = {"type": "resource", "id": ID, "name": "of the alert"}
    firing = cloud_event("alert.firing", "a", {"name": "disk full", "entity": entity})
    await deliver_paced(house, firing, task("failed"))
    assert "of the alert" not in top_texts(house)[0]
    assert "Resource: applying changes failed" in top_texts(house)[0]


async def test_no_message_for_a_phone_holds_a_long_id(house: Pipeline) -> None:
    runs = ["0" * 8 + ID[8:], "1" * 8 + ID[8:]]
    await deliver_paced(house, *(cloud_event("workflow.failed", run, {"workflow_id": run}) for run in runs))
    assert top_texts(house) == ["2 updates: ❌ Workflow 00000000… failed; ❌ Workflow 11111111… failed"]
    reason = f"UnhandledException: duplicate key ({ID.upper()}, '{ID}')"
    await deliver_paced(house, task("failed", reason=reason))
    assert top_texts(house)[1:] == ["❌ Resource: applying changes failed: duplicate key (B385E4B6…, 'b385e4b6…')"]


async def test_the_same_bytes_within_a_minute_are_one_event(house: Pipeline) -> None:
    await house.publish(task("failed"), task("failed"))
    await house.ingest()
    house.pass_time(REPEAT_MS / 1000)
    await house.publish(task("failed"))
    house.pass_time(0.001)
    await house.publish(task("failed"))
    await house.ingest()
    balance = await house.balance()
    assert (balance.accepted, balance.repeats_ignored, balance.created) == (2, 2, 2)


@pytest.mark.parametrize("reply_lost", [False, True])
@pytest.mark.parametrize("at", range(1, 8))
async def test_after_a_crash_between_any_two_steps_a_body_is_named_and_counted_once(at: int, reply_lost: bool) -> None:
    async with build() as house:
        await house.subscribe(filters=Filters(names=("aws-*",)))
        await house.publish(change("APPROVE", "ready", "provision"))
        await house.ingest()
        await house.publish(task("failed"), task("failed"))
        house.luck.fail(at, reply_lost=reply_lost)
        for _ in range(3):
            try:
                await house.ingest()
            except Exception:  # noqa: BLE001  # the process ends
                house.luck.heal()
        balance = await house.balance()
        assert (balance.accepted, balance.repeats_ignored, balance.created) == (2, 1, 2)
        bodies = [(await house.app.events.body(delivery.event_ref)) for delivery in await house.deliveries()]
        assert json.loads(bodies[1].body)["metadata"] == {"entity_name": "aws-redis demo", "state": "provision"}  # type: ignore[union-attr]


async def test_a_state_is_not_taken_from_before_an_entry_that_another_consumer_is_processing(house: Pipeline) -> None:
    await house.publish(change("APPROVE", "ready", "provision"))
    await house.ingest()
    stream = house.app.stream
    await house.publish(change("DESTROY", "ready", "destroy"), task("succeeded"))
    await house.redis.xreadgroup(stream.group, "another", {stream.stream: ">"}, count=1)
    await house.ingest()
    newest = (await house.deliveries())[-1]
    stored = await house.app.events.body(newest.event_ref)
    assert stored is not None
    assert json.loads(stored.body)["metadata"] == {"entity_name": "aws-redis demo", "state": ""}


async def test_the_secrets_of_an_entity_event_are_masked_in_its_dead_letter(house: Pipeline) -> None:
    entity = {"_entity_name": "resource", "variables": [{"value": "hunter2"}], "steps": [{"outputs": "hunter2"}]}
    await house.publish({"_x": "y" * 300_000} | entity, entity)
    await house.app.stream.create_group()
    await house.app.ingest.process([StreamEntry("9-0", {b"body": json.dumps(entity).encode()})])
    await house.ingest()
    letters = await house.dead()
    assert len(letters) == 3
    for letter in letters:
        [raw] = (letter.raw or {}).values()
        assert b"hunter2" not in raw
        assert letter.is_cut or json.loads(raw)["variables"] == "***"
        assert "hunter2" not in letter.detail

"""Translator: a body of InfraKitchen's becomes an event of a known type, with allowed fields only, or nothing."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.infrakitchen import RESOURCE_ID, SAMPLES, WORKFLOW_ID, entity, notification, resource, secret_values, task

from worker import sources
from worker.bridge.translator import STEP_LIMIT, pass_on, translate
from worker.domain.event import MAX_EVENT_BYTES, Event, Kind
from worker.domain.message_plan import Line, MessageContent
from worker.rendering.single import event_url, render
from worker.sources.json_decoder import Unreadable
from worker.store.bridge import BridgeMessage, MessageKind, Phase

ENTITIES = sorted((SAMPLES / "entities").glob("*.json"))


def message_of(raw: bytes) -> BridgeMessage:
    message = translate(raw)
    assert message
    return message


def data_of(raw: bytes) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(message_of(raw).event)["data"]
    return data


def event_of(raw: bytes) -> Event:
    """Return the event that ingest makes of a message."""
    return sources.parse(json.dumps({"id": "1", **json.loads(message_of(raw).event)}).encode(), "1-1")


def test_a_resource_has_its_name_project_template_people_and_labels():
    raw = entity("b12", labels=["team=payments", "env:prod", "gold"])
    assert json.loads(message_of(raw).event) == {
        "specversion": "1.0", "source": "infrakitchen", "type": "io.infrakitchen.resource.state_changed",
        "data": {
            "resource_id": RESOURCE_ID, "name": "aws-redis demo", "template": "AWS Redis", "project": "Payments",
            "state": "provisioned", "status": "done", "action": "execute",
            "requester": {"name": "Ada Example", "email": "ada@example.com"},
            "labels": {"team": "payments", "env": "prod", "gold": ""},
            "parents": ["9ba82a20-4279-5916-8c30-b57397f1596c"],
        },
    }  # fmt: skip


def test_a_workflow_is_named_after_its_steps_and_its_action():
    data = data_of(entity("b04"))
    assert (data["workflow_id"], data["name"], data["action"]) == (WORKFLOW_ID, "Create AWS VPC, AWS Redis", "create")
    assert data["creator"] == {"name": "Ada Example", "email": "ada@example.com"}
    assert [step["name"] for step in data["steps"]] == ["aws-vpc demo (AWS VPC)", "aws-redis demo (AWS Redis)"]
    assert data["steps"][1]["error_message"] == "Resource aws-redis demo is in error state"


@pytest.mark.parametrize(
    ("templates", "name"),
    [([], ""), (["VPC", "VPC", "DNS"], "Destroy VPC, DNS"), (["A", "B", "C", "D", "E"], "Destroy A, B, C and 2 more")],
)
def test_the_name_of_a_workflow_stays_short(templates: list[str], name: str):
    steps = [{"template": {"name": template}, "position": n} for n, template in enumerate(templates)]
    assert data_of(entity("b02", action="destroy", steps=steps)).get("name", "") == name


@pytest.mark.parametrize(
    ("sample", "type_", "phase"),
    [
        ("b01", "started", Phase.OPEN), ("b02", "started", Phase.OPEN), ("b03", "step_completed", Phase.OPEN),
        ("b04", "failed", Phase.FAILED), ("b06", "completed", Phase.FINISHED), ("b08", "cancelled", Phase.FINISHED),
    ],
)  # fmt: skip
def test_the_type_of_a_workflows_event_says_how_far_it_is(sample: str, type_: str, phase: Phase):
    message = message_of(entity(sample))
    assert json.loads(message.event)["type"] == f"io.infrakitchen.workflow.{type_}"
    assert message.phase is phase


@pytest.mark.parametrize(
    ("state", "event", "action"),
    [
        ("provision", "create", "create"), ("provision", "approve", "approve"), ("provision", "reject", "reject"),
        ("provisioned", "update", "update"), ("provisioned", "execute", "execute"),
        ("provision", "recreate", "recreate"),
        ("destroy", "destroy", "destroy"), ("destroy", "execute", "destroy"), ("destroyed", "execute", "destroy"),
        ("destroy", "approve", "approve"),
    ],
)  # fmt: skip
def test_the_action_of_a_resource(state: str, event: str, action: str):
    assert data_of(resource(state, "ready", event))["action"] == action


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "Executor nightly-backup: run finished"),
        ({"status": "error"}, "Executor nightly-backup: execute failed"),
        ({"status": "error", "_metadata": None}, "Executor nightly-backup failed"),
        ({"status": "in_progress"}, "Executor nightly-backup: in progress"),
        ({"status": "approval_pending"}, "Executor nightly-backup: waits for approval"),
        ({"state": "destroyed"}, "Executor nightly-backup: destroyed"),
        ({"_entity_name": "source_code", "name": None, "identifier": "git x", "_metadata": {"event": "sync"}},
         "Source code git x: done"),
        ({"status": "enabled", "_entity_name": "project", "_metadata": {"event": "create"}},
         "Project nightly-backup: created"),
        ({"name": "", "status": ""}, "Executor ede736a2 changed"),
    ],
)  # fmt: skip
def test_other_entities_have_a_title_that_names_what_happened(changes: dict[str, Any], title: str):
    assert data_of(entity("b17", **changes))["title"] == title


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        (entity("b17", _entity_name="integration", integration_provider="aws", id="17"), "integrations/aws/17"),
        (entity("b17", id="17"), "executors/17"), (entity("b04"), f"workflows/{WORKFLOW_ID}"),
    ],
)  # fmt: skip
def test_an_event_links_to_the_page_of_its_entity(raw: bytes, address: str):
    assert event_url(event_of(raw), "https://ik") == f"https://ik/{address}"


@pytest.mark.parametrize(
    ("raw", "address"),
    [(entity("b04"), f"workflows/{WORKFLOW_ID}"), (resource("provision", "error"), f"resources/{RESOURCE_ID}")],
)
def test_a_failure_links_to_its_log(raw: bytes, address: str):
    message = render(MessageContent((Line(event_of(raw), "d"),)), infrakitchen_url="https://ik")
    assert f"<https://ik/{address}/logs|Log>" in repr(message.blocks)


def test_a_workflow_has_the_project_and_the_labels_that_its_event_names():
    event = event_of(entity("b04", project={"id": "1", "name": "Payments"}, labels=["team=payments"]))
    assert (event.project, event.labels) == ("Payments", {"team": "payments"})


@pytest.mark.parametrize(
    "raw",
    [
        *(path.read_bytes() for path in ENTITIES if path.name.startswith("b9")),
        resource("provisioned", "done", "dryrun"), resource("provisioned", "done", "dryrun_with_temp_state"),
        notification("04"), task("succeeded", "approve", type_="workflow"),
        json.dumps({"_metadata": {"event": "reload_feature_flags_configs"}}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_news_is_left_out(raw: bytes):
    assert translate(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"x", b"[]", b"\xff", b'{"a":' * 300, b"{}", b'{"entity_type": "resource"}', b'{"_entity_name": "task"}',
        json.dumps({"_metadata": {"event": "sync"}, "id": "1"}).encode(),
    ],
)  # fmt: skip
def test_what_infrakitchen_does_not_send_is_unreadable(raw: bytes):
    with pytest.raises(Unreadable):
        translate(raw)
    assert pass_on(raw).event == raw


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        ("01", MessageKind.SUCCESS), ("02", MessageKind.OTHER), ("08", MessageKind.SUCCESS), ("10", MessageKind.ERROR),
        ("16", MessageKind.OTHER), ("20", MessageKind.ERROR), ("22", MessageKind.CHANGE), ("25", MessageKind.CHANGE),
    ],
)  # fmt: skip
def test_a_notification_reports_a_reason_a_change_or_a_success(sample: str, kind: MessageKind):
    assert message_of(notification(sample)).kind is kind


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ("10", "CannotProceed\n\nInfraKitchen reports only the class of this error. Its log has the reason."),
        ("11", "Resource execute timed out"),
        ("12", "Tofu command apply -auto-approve=true failed"),
    ],
)
def test_the_reason_is_what_a_person_can_use(sample: str, reason: str):
    assert json.loads(message_of(notification(sample)).reason) == reason


def test_the_approval_of_a_resource_is_a_change():
    message = message_of(task("succeeded", "approve"))
    assert (message.kind, message.state) == (MessageKind.CHANGE, "|ready,")


@pytest.mark.parametrize("path", ENTITIES, ids=lambda path: path.stem)
def test_no_secret_leaves_an_entity(path: Any):
    message = translate(path.read_bytes())
    text = repr(message)
    assert not [value for value in secret_values() if value in text]


secrets = st.dictionaries(
    st.sampled_from(["variables", "outputs", "resolved_variables", "configuration", "description", "unknown"]),
    st.just({"name": "hunter2-secret", "value": ["hunter2-secret"]}),
)


@given(
    secrets,
    st.sampled_from([path.name.split("-")[0] for path in ENTITIES if not path.name.startswith("b9")]),
    st.dictionaries(
        st.sampled_from(["labels", "creator", "project", "template", "steps", "status", "name", "_metadata", "action"]),
        st.none() | st.integers() | st.text() | st.lists(st.text()) | st.lists(st.dictionaries(st.text(), st.text())),
    ),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
def test_any_entity_becomes_a_readable_event_without_secrets(secret: dict[str, Any], sample: str, odd: dict[str, Any]):
    message = translate(entity(sample, **{**secret, **odd}))
    assert message is None or "hunter2-secret" not in repr(message) or "hunter2-secret" in repr(odd)
    if message:
        event = json.loads(message.event)
        sources.parse(json.dumps({"id": "1", **event}).encode(), "1-1")
        json.loads(message.metadata)


def test_a_large_entity_becomes_an_event_that_ingest_accepts():
    step = {
        "template": {"name": "T" * 5000},
        "error_message": "e" * 90_000,
        "resource_id": "r" * 5000,
        "status": "error",
    }
    raw = entity(
        "b04",
        steps=[step] * 3 * STEP_LIMIT,
        error_message="x" * 300_000,
        labels=["k" * 1000 + f"{n}=v" for n in range(99)],
    )
    message = message_of(raw)
    event = json.dumps({"id": "1", **json.loads(message.event)} | {"reason": message.reason}, ensure_ascii=False)
    assert len(event.encode()) < MAX_EVENT_BYTES
    assert sources.parse(event.encode(), "1-1").kind is Kind.WORKFLOW


def test_an_entity_names_what_it_belongs_to():
    shape = {"id": "r1", "_entity_name": "resource", "name": "db", "state": "provision", "status": "queued"}
    parents = {"project_id": "p1", "parents": [{"id": "r0", "name": "net"}, "r9"], "children": [{"id": "r2"}]}
    assert data_of(json.dumps(shape | parents).encode())["parents"] == ["p1", "r0", "r9"]
    steps = [{"resource_id": "r1", "parent_resource_ids": ["r0"]}, {"resource_id": "r2", "parent_resource_ids": ["r1"]}]
    workflow = {"id": "w", "_entity_name": "workflow", "status": "done", "project_id": None, "steps": steps}
    assert data_of(json.dumps(workflow).encode())["parents"] == ["r1", "r0", "r2"]
    version = {"id": "v", "_entity_name": "source_code_version", "status": "done", "source_code": {"id": "s"}}
    assert data_of(json.dumps(version).encode())["parents"] == ["s"]
    assert "parents" not in data_of(json.dumps(shape).encode())

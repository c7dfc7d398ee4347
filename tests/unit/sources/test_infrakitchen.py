"""InfraKitchen's own notification body becomes an Event with the id of its stream entry."""

import json
from typing import Any

import pytest

from worker.domain.event import Entity, Event, Kind, Severity
from worker.sources import Unreadable, mask_secrets, parse, with_metadata
from worker.sources.infrakitchen import CLASS_NOTE, LOG_NOTE, MASK

PLACE = "1700000000000-3"


def body(**fields: Any) -> Event:
    return parse(json.dumps({"entity_type": "workflow"} | fields).encode(), PLACE)


def test_every_field_of_a_body_is_parsed() -> None:
    event = body(
        event_type="execute",
        entity_id="w1",
        title="Workflow execution\nfailed",
        message="no quota",
        status="error",
        metadata={"name": "deploy-prod", "project": "shop", "labels": {"env": "prod"}, "state": "provision"},
        _metadata={"anything": [1]},
    )
    assert event == Event(
        id=PLACE,
        source="infrakitchen",
        type="workflow.execute",
        kind=Kind.WORKFLOW,
        entry_id=PLACE,
        entity=Entity("workflow", "w1", "deploy-prod"),
        severity=Severity.ERROR,
        title="Workflow execution failed",
        status="error",
        severity_word="error",
        state="provision",
        action="execute",
        text="no quota",
        project="shop",
        labels={"env": "prod"},
    )


@pytest.mark.parametrize(
    ("entity_type", "kind"),
    [
        ("workflow", Kind.WORKFLOW),
        ("resource", Kind.RESOURCE),
        ("alert", Kind.ALERT),
        ("source_code_version", Kind.OTHER),
        ("executor", Kind.OTHER),
    ],
)
def test_the_entity_type_gives_the_kind(entity_type: str, kind: Kind) -> None:
    assert body(entity_type=entity_type).kind is kind


@pytest.mark.parametrize(
    ("status", "severity"),
    [
        ("error", Severity.ERROR),
        ("warning", Severity.WARNING),
        ("success", Severity.INFO),
        ("info", Severity.INFO),
        ("else", Severity.INFO),
        (None, Severity.INFO),
    ],
)
def test_the_status_gives_the_severity(status: str | None, severity: Severity) -> None:
    assert body(status=status).severity is severity


@pytest.mark.parametrize("metadata", [None, "text", [], 5])
def test_metadata_of_a_wrong_type_is_ignored(metadata: object) -> None:
    assert body(metadata=metadata, title="T").title == "T"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Resource 'db-main' was created", "db-main"),
        ('Sync of "repo" done', "repo"),
        ("Ada's resource isn't there", ""),
        ("Resource created", ""),
    ],
)
def test_a_name_quoted_in_the_title_is_the_name_of_the_entity(title: str, name: str) -> None:
    assert body(title=title).entity.name == name


def test_ids_may_be_numbers_or_booleans() -> None:
    assert body(entity_id=17).entity.id == "17"
    assert body(entity_id=True).entity.id == "true"


def test_a_body_without_a_title_has_its_type_as_title() -> None:
    assert body(entity_type="source_code", event_type="sync").title == "Source code sync"
    assert body(event_type=None).type == "workflow"


def test_the_entity_id_is_the_fingerprint_of_an_alert() -> None:
    assert body(entity_type="alert", entity_id="a1").subject_key == "alert:fingerprint:a1:infrakitchen"


def test_a_body_with_specversion_null_is_not_a_cloudevent() -> None:
    assert body(specversion=None).source == "infrakitchen"


def change(action: str, status: str, state: str, name: str = "db-main", /, **fields: Any) -> Event:
    """Return the event of a resource that was changed."""
    sentence = f"Resource {name} status has been changed ({action})\nNew status: {status}, new state: {state}"
    given = {"event_type": "update", "entity_type": "resource", "entity_id": ID, "title": f"Resource {name}"}
    return body(**given | {"message": sentence, "status": "warning"} | fields)


def task(title: str, reason: str = "", entity_type: str = "resource", /, **fields: Any) -> Event:
    """Return the event of a task that ended."""
    word = title.split()[-2]
    failed = f"Task {word} failed for {ID}: {reason}"
    message = failed if reason else f"Task {word} for {entity_type} completed successfully."
    given = {"event_type": "execute", "entity_type": entity_type, "entity_id": ID, "title": title, "message": message}
    return body(**given | {"status": "error" if reason else "success"} | fields)


ID = "1641c46f-d182-54f2-942f-0f4a1e3dce62"
INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


@pytest.mark.parametrize(
    ("action", "status", "state", "read", "severity", "words"),
    [
        ("APPROVE", "ready", "provision", "approve", INFO, "approved"),
        ("APPROVE", "ready", "provisioned", "approve", INFO, "change approved"),
        ("APPROVE", "ready", "destroy", "approve", INFO, "destroy approved"),
        ("UPDATE", "approval_pending", "provisioned", "update", WARNING, "updated, waiting for approval"),
        ("UPDATE", "error", "provisioned", "update", ERROR, "updated (error)"),
        ("REJECTED", "rejected", "provision", "reject", WARNING, "rejected"),
        ("REJECTED", "rejected", "destroy", "reject", WARNING, "destroy rejected"),
        ("DESTROY", "approval_pending", "destroy", "destroy", WARNING, "to be destroyed, waiting for approval"),
        ("DESTROY", "ready", "destroy", "destroy", WARNING, "to be destroyed"),
        ("RECREATE", "ready", "provision", "recreate", INFO, "to be recreated"),
        ("MOVE_AWAY", "queued", "provision", "move_away", WARNING, "move away (queued)"),
        ("", "", "", "", WARNING, "changed"),
    ],
)
def test_a_change_says_what_happened_and_how_bad_it_is(
    action: str, status: str, state: str, read: str, severity: Severity, words: str
) -> None:
    event = change(action, status, state)
    assert (event.action, event.status, event.state, event.severity) == (read, status, state, severity)
    assert (event.title, event.text, event.error) == (f"Resource db-main: {words}", "", "")


def test_an_edit_and_a_rejected_destroy_leave_a_resource_provisioned() -> None:
    edit, rejection = change("UPDATE", "done", "provisioned"), change("REJECTED", "done", "provisioned")
    assert (edit.title, edit.text) == ("Resource db-main: provisioned", "Updated.")
    assert (rejection.title, rejection.status) == ("Resource db-main: rejected, still provisioned", "rejected")
    assert (edit.severity, rejection.severity) == (INFO, WARNING)


def test_the_severity_of_an_unknown_change_is_that_of_its_status() -> None:
    assert change("MOVE", "queued", "provision", status="info").severity is INFO
    assert change("MOVE", "rejected", "provision", status="info").severity is WARNING


@pytest.mark.parametrize(
    "name",
    [
        "aws redis demo",
        "done, new state: destroyed",
        "x status has been changed (DESTROY)\nNew status: done, new state: destroyed",
        "execute failed",
        "team 'a' db's",
        "Resource",
        "<!channel> *prod*",
        "كök 💾",
    ],
)
def test_a_name_may_be_any_text(name: str) -> None:
    event = change("APPROVE", "ready", "provision", name)
    assert (event.entity.name, event.action, event.status, event.state) == (name, "approve", "ready", "provision")
    assert change("APPROVE", "ready", "provision", name, title=None).entity.name == name


@pytest.mark.parametrize(
    ("title", "entity_type", "action", "words"),
    [
        ("Resource execute succeeded", "resource", "execute", "changes applied"),
        ("Resource dryrun succeeded", "resource", "dryrun", "dry run succeeded"),
        ("Resource dryrun_with_temp_state succeeded", "resource", "dryrun", "dry run with a temporary state succeeded"),
        ("Source code version sync succeeded", "source_code_version", "sync", "synced"),
        ("Storage create succeeded", "storage", "create", "created"),
        ("Executor execute succeeded", "executor", "execute", "run finished"),
        ("Workspace check_drift succeeded", "workspace", "check_drift", "check drift succeeded"),
    ],
)
def test_a_task_that_succeeded_is_done(title: str, entity_type: str, action: str, words: str) -> None:
    event = task(title, "", entity_type)
    assert (event.action, event.status, event.severity, event.text) == (action, "done", INFO, "")
    assert event.title == f"{entity_type.replace('_', ' ').capitalize()}: {words}"


@pytest.mark.parametrize(
    ("title", "action", "status", "words"),
    [
        ("Workflow execute succeeded", "execute", "info", "task finished"),
        ("Workflow destroy succeeded", "destroy", "info", "destroy task finished"),
        ("Workflow approve succeeded", "approve", "ready", "approved"),
        ("Workflow dryrun succeeded", "dryrun", "done", "dry run succeeded"),
    ],
)
def test_the_success_of_a_workflow_is_not_believed(title: str, action: str, status: str, words: str) -> None:
    event = task(title, "", "workflow")
    assert (event.action, event.status, event.title) == (action, status, f"Workflow: {words}")


@pytest.mark.parametrize(
    ("title", "entity_type", "words"),
    [
        ("Resource execute failed", "resource", "applying changes failed"),
        ("Resource execute timed out", "resource", "applying changes timed out"),
        ("Resource dryrun failed", "resource", "dry run failed"),
        ("Source code version sync failed", "source_code_version", "sync failed"),
        ("Workflow destroy failed", "workflow", "destroy failed"),
        ("Resource task failed", "resource", "task failed"),
    ],
)
def test_a_task_that_failed_is_an_error_with_its_reason(title: str, entity_type: str, words: str) -> None:
    event = task(title, "no quota left", entity_type)
    assert (event.status, event.severity, event.error, event.text) == ("error", ERROR, "no quota left", "")
    assert event.title.endswith(f": {words}")


@pytest.mark.parametrize(
    ("reason", "error", "text"),
    [
        ("CannotProceed", "CannotProceed", LOG_NOTE),
        ("Task is timed out", "", ""),
        ("UnhandledException: apply failed: no", "apply failed: no", ""),
        (
            "ExitWithoutSave: no subnets\n",
            "no subnets",
            "",
        ),
        ("", "", ""),
    ],
)
def test_the_reason_is_what_the_sentence_adds(reason: str, error: str, text: str) -> None:
    message = f"Task execute failed for {ID}: {reason}"
    event = task("Resource execute failed", "x", message=message)
    assert (event.error, event.text) == (error, text)


def test_only_a_kind_with_a_page_of_logs_refers_to_its_log() -> None:
    assert task("Workflow execute failed", "CannotProceed", "workflow").text == LOG_NOTE
    assert task("Storage create failed", "CannotProceed", "storage").text == CLASS_NOTE


def test_a_task_without_a_word_has_the_type_of_the_event_as_action() -> None:
    event = task("Resource task failed", message=f"Task  failed for {ID}: AssertionError")
    assert (event.action, event.error) == ("execute", "AssertionError")


def test_another_message_of_a_failed_task_is_kept() -> None:
    assert task("Resource execute failed", message="no quota").text == "no quota"


@pytest.mark.parametrize(
    ("state", "done", "failed", "next_state"),
    [
        ("provision", "provisioned", "provisioning failed", "provisioned"),
        ("provisioned", "provisioned", "applying changes failed", "provisioned"),
        ("destroy", "destroyed", "destroy failed", "destroyed"),
        ("destroyed", "changes applied", "applying changes failed", "provisioned"),
    ],
)
def test_the_last_known_state_says_what_was_executed(state: str, done: str, failed: str, next_state: str) -> None:
    metadata = {"entity_name": "db", "state": state}
    succeeded = task("Resource execute succeeded", metadata=metadata)
    assert (succeeded.title, succeeded.state) == (f"Resource db: {done}", next_state)
    event = task("Resource execute failed", "no", metadata=metadata)
    assert (event.title, event.state) == (f"Resource db: {failed}", state)
    assert task("Resource dryrun succeeded", metadata=metadata).state == state


def test_a_dry_run_is_another_subject_than_the_real_operation() -> None:
    execution, dry_run = task("Resource execute failed", "x"), task("Resource dryrun succeeded")
    assert dry_run.subject_key == f"{execution.subject_key}:dryrun"
    assert task("Resource dryrun_with_temp_state failed", "x").subject_key == dry_run.subject_key


@pytest.mark.parametrize("title", ["Resource execute paused", "failed", "Storage execute failed", ""])
def test_an_unknown_sentence_is_shown_as_it_is(title: str) -> None:
    event = task("Resource execute failed", title=title, message="m", status="warning")
    assert (event.title, event.text) == (title or "Resource execute", "m")
    assert (event.action, event.status, event.severity) == ("execute", "warning", WARNING)


def test_people_and_labels_come_as_infrakitchen_writes_them() -> None:
    labels = ["team=payments", "tier:1", "prod", "", None, {}]
    event = task("Resource execute failed", "x", metadata={"requester": {"display_name": "Ada"}, "labels": labels})
    assert (event.requester, event.labels) == ("Ada", {"team": "payments", "tier": "1", "prod": ""})


def raw_body(**fields: Any) -> bytes:
    return json.dumps({"entity_type": "resource", "entity_id": "r"} | fields).encode()


def test_a_known_name_and_state_complete_a_body_and_replace_nothing() -> None:
    for metadata in (None, "text", {}, {"entity_name": None}):
        event = parse(with_metadata(raw_body(metadata=metadata), name="db", state="destroy"), PLACE)
        assert (event.entity.name, event.state) == ("db", "destroy")
    given = {"entity_name": "own", "state": "provision", "project": "shop"}
    event = parse(with_metadata(raw_body(metadata=given), name="db", state="destroy"), PLACE)
    assert (event.entity.name, event.state, event.project) == ("own", "provision", "shop")


def test_a_body_that_would_become_too_large_stays_as_it_is() -> None:
    raw = raw_body(message="x" * (256 * 1024 - 80))
    assert with_metadata(raw, name="a name", state="provision") == raw


SECRETS = {
    "_entity_name": "workflow",
    "id": "17",
    "variables": [{"name": "token", "value": "hunter2"}],
    "outputs": {"url": "hunter2"},
    "steps": [{"name": "a", "resolved_variables": {"x": "hunter2"}}],
    "storage": {"integration": {"configuration": "hunter2"}},
}


def test_an_entity_event_is_unreadable_and_its_secrets_are_masked() -> None:
    raw = json.dumps(SECRETS).encode()
    with pytest.raises(Unreadable, match="bridge") as caught:
        parse(raw, PLACE)
    assert "hunter2" not in str(caught.value)
    assert json.loads(mask_secrets(raw)) == {
        "_entity_name": "workflow",
        "id": "17",
        "variables": MASK,
        "outputs": MASK,
        "steps": [{"name": "a", "resolved_variables": MASK}],
        "storage": {"integration": {"configuration": MASK}},
    }


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps([SECRETS]).encode(),
        json.dumps({"data": json.dumps(SECRETS)}).encode(),
        json.dumps(SECRETS).encode()[:-3],
        json.dumps(SECRETS | {"_x": "y" * 300_000}).encode(),
        json.dumps(SECRETS).encode() + b"\xff",
        json.dumps(SECRETS).encode("utf-16"),
        str(SECRETS).encode(),
    ],
)
def test_secrets_are_masked_in_any_bytes_that_hold_them(raw: bytes) -> None:
    masked = mask_secrets(raw)
    assert b"hunter2" not in masked
    assert b"_entity_name" in masked


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"a": "{", "b": [1.0, null]}', b'{"name":  "variables"}', b"{ variables", b"\xff\xfe\0"]
)
def test_bytes_without_secrets_are_kept_as_they_are(raw: bytes) -> None:
    assert mask_secrets(raw) == raw

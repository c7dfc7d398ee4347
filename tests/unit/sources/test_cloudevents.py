"""Each type of CloudEvent becomes an Event with the fields of its data."""

import json
import re
from base64 import b64encode
from typing import Any

import pytest

from worker.domain.event import Entity, Event, Kind, Severity, Step
from worker.sources import Unreadable, parse

PLACE = "1700000000000-3"


def cloudevent(kind: str, data: Any = None, **more: Any) -> Event:
    fields = {"specversion": "1.0", "id": "e1", "source": "/ik", "type": kind, "data": data} | more
    return parse(json.dumps(fields).encode(), PLACE)


def workflow(what: str, **data: Any) -> Event:
    return cloudevent(f"io.infrakitchen.workflow.{what}", {"workflow_id": "w1", "name": "deploy-prod"} | data)


def resource(**data: Any) -> Event:
    return cloudevent("io.infrakitchen.resource.state_changed", {"resource_id": "r1", "name": "db-main"} | data)


def alert(what: str = "firing", **data: Any) -> Event:
    return cloudevent(f"io.infrakitchen.alert.{what}", data)


def test_every_field_of_a_failed_workflow_is_parsed() -> None:
    event = cloudevent(
        "io.infrakitchen.workflow.failed",
        {
            "workflow_id": "w1",
            "name": "deploy-prod",
            "action": "create",
            "status": "error",
            "error_message": "no quota",
            "steps": [
                {
                    "name": "db",
                    "position": 2,
                    "status": "error",
                    "error_message": "no quota",
                    "resource_id": "r",
                },
                {"name": "net", "position": 1, "status": "done", "error_message": None},
            ],
            "creator": {"name": "Ada", "email": "ada@example.com"},
            "project": "shop",
            "labels": {"env": "prod", "tier": 1, "spot": True, "none": None, "nested": {}},
            "started_at": "2026-01-02T03:04:05Z",
            "completed_at": "2026-01-02T05:04:06.5+02:00",
        },
        time="2026-01-02T03:04:07.250Z",
    )
    assert event == Event(
        id="e1",
        source="/ik",
        type="io.infrakitchen.workflow.failed",
        kind=Kind.WORKFLOW,
        entry_id=PLACE,
        entity=Entity("workflow", "w1", "deploy-prod"),
        severity=Severity.ERROR,
        title="Workflow deploy-prod failed",
        status="error",
        action="create",
        error="no quota",
        project="shop",
        requester="Ada",
        requester_email="ada@example.com",
        labels={"env": "prod", "tier": "1", "spot": "true"},
        steps=(Step("net", 1, "done"), Step("db", 2, "error", "no quota", "r")),
        time_s=1767323047.25,
        started_at_s=1767323045.0,
        ended_at_s=1767323046.5,
    )


@pytest.mark.parametrize(
    ("what", "title", "status", "severity"),
    [
        ("started", "Workflow deploy-prod started", "in_progress", Severity.INFO),
        ("step_completed", "Workflow deploy-prod completed a step", "in_progress", Severity.INFO),
        ("completed", "Workflow deploy-prod completed", "done", Severity.INFO),
        ("failed", "Workflow deploy-prod failed", "error", Severity.ERROR),
        ("cancelled", "Workflow deploy-prod was cancelled", "cancelled", Severity.WARNING),
    ],
)
def test_the_type_gives_the_status_of_a_workflow_without_one(
    what: str, title: str, status: str, severity: Severity
) -> None:
    event = workflow(what)
    assert (event.title, event.status, event.severity) == (title, status, severity)


def test_a_failed_workflow_is_an_error_at_any_status() -> None:
    assert workflow("failed", status="pending").severity is Severity.ERROR


def test_an_unknown_status_is_kept_and_ranks_as_a_warning() -> None:
    event = workflow("completed", status="Half-Done")
    assert (event.status, event.severity) == ("Half-Done", Severity.WARNING)


def test_completed_steps_are_counted() -> None:
    steps = [{"status": "done"}, {"status": "done"}, {"status": "pending"}]
    assert workflow("step_completed", steps=steps).title == "Workflow deploy-prod: 2 of 3 steps done"


def test_steps_without_a_position_keep_their_place_in_the_list() -> None:
    steps = [
        {"name": "a", "position": "x"},
        "odd",
        {"name": "c", "position": "1"},
        {"name": "d", "position": True},
    ]
    assert [(step.name, step.position) for step in workflow("started", steps=steps).steps] == [
        ("a", 1),
        ("c", 1),
        ("d", 4),
    ]


@pytest.mark.parametrize("steps", ["three", {"a": 1}, 3, None])
def test_steps_of_a_wrong_type_are_ignored(steps: object) -> None:
    assert workflow("started", steps=steps).steps == ()


@pytest.mark.parametrize(
    ("creator", "requester"),
    [({"name": " ", "email": "a@b.c"}, "a@b.c"), ("Ada", "Ada"), (None, ""), ([], ""), ({}, "")],
)
def test_a_requester_is_a_name_or_an_email(creator: object, requester: str) -> None:
    assert workflow("started", creator=creator).requester == requester


TOPIC = "it names what an event of type io.infrakitchen.workflow.failed is about"


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (None, f"data: missing: {TOPIC}"),
        ("text", f"data: a string, not an object: {TOPIC}"),
        ("[1]", f"data: an array, not an object: {TOPIC}"),
        ("{", f"data: a string, not an object: {TOPIC}"),
        (5, f"data: a number, not an object: {TOPIC}"),
        ([{}], f"data: an array, not an object: {TOPIC}"),
    ],
)
def test_an_own_event_without_usable_data_is_refused(data: object, detail: str) -> None:
    with pytest.raises(Unreadable, match=re.escape(detail)):
        cloudevent("io.infrakitchen.workflow.failed", data, subject="w7")


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("workflow.failed", {}),
        ("workflow.failed", {"error_message": "boom", "name": " ", "workflow_id": "\u200b"}),
        ("resource.state_changed", {"state": "provision", "resource_id": None, "name": {}}),
        ("alert.firing", {"severity": "warning", "labels": {"service": ""}, "summary": "\u3164"}),
        ("storage.updated", {"status": "done", "entity": {}}),
    ],
)
def test_an_own_event_that_names_nothing_is_refused(type_: str, data: object) -> None:
    with pytest.raises(Unreadable, match="must name what an event of type"):
        cloudevent(f"io.infrakitchen.{type_}", data)


@pytest.mark.parametrize(
    ("type_", "data", "title"),
    [
        ("workflow.failed", {"error_message": "boom"}, "Workflow w7 failed"),
        ("resource.state_changed", {"status": "error"}, "Resource w7 failed"),
        ("alert.firing", {"severity": "warning"}, "Alert w7"),
        ("storage.updated", {"status": "done"}, "w7"),
    ],
)
def test_the_subject_names_what_an_own_event_is_about(type_: str, data: object, title: str) -> None:
    assert cloudevent(f"io.infrakitchen.{type_}", data, subject="w7").title == title


@pytest.mark.parametrize("data", [{"fingerprint": "f1", "name": " "}, {"fingerprint": "f1", "summary": "\u2800"}])
def test_an_alert_without_a_visible_name_is_named_by_its_fingerprint(data: object) -> None:
    assert cloudevent("io.infrakitchen.alert.firing", data).title == "Alert f1"


def base64(text: str, charset: str = "utf-8") -> str:
    return b64encode(text.encode(charset)).decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"data": '{"workflow_id": "w1", "name": "deploy"}'},
        {"data": ' {"workflow_id": "w1", "name": "deploy"}', "datacontenttype": "text/plain"},
        {"data": json.dumps('{"workflow_id": "w1", "name": "deploy"}')},
        {"data": None, "data_base64": base64('{"workflow_id": "w1", "name": "deploy"}')},
        {"data_base64": base64('\ufeff{"workflow_id": "w1", "name": "deploy"}'), "datacontenttype": "application/json"},
        {"data_base64": base64('{"workflow_id": "w1",\n"name": "deploy"}')[:20] + "\n"
         + base64('{"workflow_id": "w1",\n"name": "deploy"}')[20:], "datacontenttype": "application/octet-stream"},
    ],
)  # fmt: skip
def test_data_in_a_text_or_in_base64_is_decoded(fields: dict[str, object]) -> None:
    event = cloudevent("io.infrakitchen.workflow.failed", **fields)
    assert event.entity == Entity("workflow", "w1", "deploy")


@pytest.mark.parametrize("encoded", ["%%%", "abc", "é"])
def test_data_that_is_no_base64_is_refused(encoded: str) -> None:
    with pytest.raises(Unreadable, match="data_base64: not Base64"):
        cloudevent("com.example.x", data_base64=encoded)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"data": "Hello", "datacontenttype": "text/plain"}, "Hello"),
        ({"data": "Hello"}, "Hello"),
        ({"data": '{"message": "not read"}', "datacontenttype": "text/plain"}, '{"message": "not read"}'),
        ({"data": '{"message": "read"}'}, "read"),
        ({"data": '"Hello"', "datacontenttype": "application/json; charset=utf-8"}, "Hello"),
        ({"data": "<order/>", "datacontenttype": "application/xml"}, "<order/>"),
        ({"data": 42.5}, "42.5"),
        ({"data": False}, "false"),
        ({"data": ["a", 1, None, True]}, "a, 1, true"),
        ({"data": [{"näme": 1}, []]}, '[{"näme": 1}, []]'),
        ({"data": []}, ""),
        ({"data_base64": base64("grüße", "latin-1"), "datacontenttype": "text/plain; charset=ISO-8859-1"}, "grüße"),
        ({"data_base64": base64("grüße", "latin-1"), "datacontenttype": "text/plain"}, "5 bytes of text/plain"),
        ({"data_base64": base64("a", "latin-1"), "datacontenttype": "text/plain; charset=hex"}, "1 byte of text/plain"),
        ({"data_base64": base64("\0" * 2000), "datacontenttype": "image/png"}, "2,000 bytes of image/png"),
        ({"data_base64": base64("\0")}, "1 byte of an unknown type"),
        ({"data_base64": 5}, ""),
    ],
)  # fmt: skip
def test_any_data_of_a_foreign_type_is_shown(fields: dict[str, object], text: str) -> None:
    event = cloudevent("com.example.x", **fields)
    assert (event.kind, event.title, event.text) == (Kind.OTHER, "com.example.x", text)


def test_sequences_of_terminals_are_removed_from_every_text() -> None:
    event = workflow(
        "failed",
        name="\x1b[1mdeploy\x1b[0m",
        error_message="10 %\r100 %\r\n\x1b[31mError:\x1b[0m quota",
        steps=[{"name": "\x1b]8;;https://x\x07db\x1b]8;;\x07", "status": "error", "error_message": "\x1b[31mno"}],
        labels={"env": "\x1b[32mprod\x1b[0m"},
    )
    assert (event.entity.name, event.error) == ("deploy", "100 %\nError: quota")
    assert (event.steps[0].name, event.steps[0].error, event.labels) == ("db", "no", {"env": "prod"})


@pytest.mark.parametrize("name", ["", " ", "\u200b\u200b \u2060", "\u200d", "\u3164", "\x1b[31m\x1b[0m"])
def test_a_name_of_which_nothing_is_seen_is_no_name(name: str) -> None:
    event = workflow("failed", name=name, error_message=name)
    assert (event.title, event.error) == ("Workflow w1 failed", "")


def test_numbers_become_texts() -> None:
    event = workflow("started", workflow_id=17, name=3.5, project=True)
    assert (event.entity, event.project) == (Entity("workflow", "17", "3.5"), "true")


@pytest.mark.parametrize("time", ["yesterday", "", 5, None, "2026-13-01T00:00:00Z", "9999-12-31T23:59:60Z"])
def test_an_event_without_a_valid_time_has_the_time_of_its_entry(time: object) -> None:
    event = cloudevent("x", time=time)
    assert event.time_s is None
    assert event.order == (1700000000.0, 1_700_000_000_000, 3)


@pytest.mark.parametrize(
    ("time", "time_s"),
    [
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01t00:00:10z", 10.0),
        ("1970-01-01T00:00:10", 10.0),
        ("1970-01-01T01:00:10+01:00", 10.0),
        ("1970-01-01T00:00:10.123456789Z", 10.123456),
        ("9999-12-31T23:59:59Z", 253402300799.0),
        ("0001-01-01T00:00:00Z", -62135596800.0),
    ],
)
def test_a_time_of_any_age_is_parsed(time: str, time_s: float) -> None:
    assert cloudevent("x", time=time).time_s == time_s


def test_every_field_of_a_resource_is_parsed() -> None:
    event = resource(
        template="postgres",
        state="provisioned",
        status="done",
        previous_state="provision",
        previous_status="in_progress",
        requester={"email": "ada@example.com"},
        project="shop",
        message="took 4 minutes",
    )
    assert event.kind is Kind.RESOURCE
    assert event.entity == Entity("resource", "r1", "db-main")
    assert (event.state, event.status, event.previous) == ("provisioned", "done", "provision, in_progress")
    assert (event.template, event.requester, event.project) == ("postgres", "ada@example.com", "shop")
    assert event.text == "took 4 minutes"
    assert event.subject_key == "resource:resource:r1"


@pytest.mark.parametrize(
    ("state", "status", "title", "severity"),
    [
        ("provisioned", "done", "Resource db-main is provisioned", Severity.INFO),
        ("destroyed", None, "Resource db-main is destroyed", Severity.INFO),
        ("provision", "in_progress", "Resource db-main: provisioning in progress", Severity.INFO),
        ("provision", "approval_pending", "Resource db-main: provisioning waits for approval", Severity.INFO),
        ("provision", "ready", "Resource db-main: provisioning approved, not executed yet", Severity.INFO),
        ("provisioned", "ready", "Resource db-main: update approved, not executed yet", Severity.INFO),
        ("destroy", "ready", "Resource db-main: destroy approved, not executed yet", Severity.INFO),
        ("provisioned", "in_progress", "Resource db-main: update in progress", Severity.INFO),
        ("provision", "error", "Resource db-main failed to provision", Severity.ERROR),
        ("destroy", "error", "Resource db-main failed to be destroyed", Severity.ERROR),
        ("provisioned", "error", "Resource db-main failed", Severity.ERROR),
        ("provision", "rejected", "Resource db-main: provisioning rejected", Severity.WARNING),
        ("provision", "cancelled", "Resource db-main: provisioning cancelled", Severity.WARNING),
        ("provisioned", "odd\nword", "Resource db-main: provisioned odd word", Severity.WARNING),
        (None, None, "Resource db-main changed", Severity.INFO),
    ],
)
def test_the_title_of_a_resource_names_its_state(
    state: str | None, status: str | None, title: str, severity: Severity
) -> None:
    event = resource(state=state, status=status)
    assert (event.title, event.severity) == (title, severity)


@pytest.mark.parametrize(
    ("data", "action"),
    [
        ({"state": "destroy", "status": "in_progress"}, "destroy"),
        ({"state": "destroyed", "status": "done"}, "destroy"),
        ({"state": "destroy", "status": "rejected"}, "reject"),
        ({"state": "provision", "status": "rejected"}, "reject"),
        ({"state": "provision", "status": "in_progress"}, ""),
        ({"state": "destroy", "action": "recreate"}, "recreate"),
    ],
)
def test_a_state_of_a_resource_gives_its_action_where_it_is_certain(data: dict[str, str], action: str) -> None:
    assert resource(**data).action == action


def test_every_field_of_an_alert_is_parsed() -> None:
    event = alert(
        name="DiskFull",
        fingerprint="f1",
        severity="critical",
        summary="disk is full",
        description="97 % of /data",
        labels={"host": "a"},
        starts_at="1970-01-01T00:00:10Z",
        ends_at="1970-01-01T00:00:20Z",
        generator_url="https://prometheus.example/graph",
        entity={"type": "resource", "id": 5, "name": "db-main"},
        project="shop",
    )
    assert event.kind is Kind.ALERT
    assert event.entity == Entity("resource", "5", "db-main")
    assert (event.severity, event.severity_word, event.status) == (Severity.CRITICAL, "critical", "firing")
    assert (event.title, event.text) == ("DiskFull", "disk is full\n97 % of /data")
    assert (event.started_at_s, event.ended_at_s) == (10.0, 20.0)
    assert event.url == "https://prometheus.example/graph"
    assert event.subject_key == f"alert:fingerprint:f1:{event.source}"


def test_an_alert_without_an_entity_is_its_own_entity() -> None:
    assert alert(name="DiskFull", fingerprint="f1").entity == Entity("alert", "f1", "DiskFull")


def test_two_alerts_of_one_resource_have_different_subject_keys() -> None:
    entity = {"type": "resource", "id": "r1"}
    assert alert(fingerprint="a", entity=entity).subject_key != alert(fingerprint="b", entity=entity).subject_key


def test_a_resolved_alert_keeps_its_severity() -> None:
    event = alert("resolved", name="DiskFull", severity="critical")
    assert (event.status, event.severity, event.severity_word) == ("resolved", Severity.CRITICAL, "critical")


def test_name_and_labels_give_the_fingerprint_of_an_alert_without_one() -> None:
    first = alert(name="A", labels={"x": "1", "y": "2"})
    assert first.subject_key == alert("resolved", name="A", labels={"y": "2", "x": "1"}).subject_key
    assert first.subject_key != alert(name="A", labels={"x": "2", "y": "2"}).subject_key


def test_an_alert_without_a_fingerprint_and_labels_has_a_subject_key_of_its_own() -> None:
    event = alert(description="disk is full")
    assert (event.title, event.severity, event.subject_key) == ("disk is full", Severity.WARNING, "alert:alert:e1")


def test_labels_and_annotations_fill_the_missing_fields_of_an_alert() -> None:
    event = alert(
        labels={"alertname": "DiskFull", "severity": "page"},
        annotations={"summary": "full", "description": "full"},
    )
    assert (event.title, event.text, event.severity_word) == ("DiskFull", "full", "critical")
    assert event.severity is Severity.CRITICAL


def test_the_known_fields_of_an_unknown_type_are_parsed() -> None:
    event = cloudevent(
        "io.infrakitchen.storage.updated",
        {
            "storage_id": 9,
            "name": "bucket",
            "status": "error",
            "message": "denied",
            "creator": {"name": "Ada"},
        },
        subject="storage bucket",
    )
    assert event.kind is Kind.OTHER
    assert event.entity == Entity("storage", "9", "bucket")
    assert (event.title, event.text, event.severity) == ("storage bucket", "denied", Severity.ERROR)
    assert event.requester == "Ada"


def test_the_title_of_a_foreign_type_is_its_type() -> None:
    event = cloudevent("com.example.thing", {"severity": "critical", "entity": {"type": "thing", "id": "1"}})
    assert (event.title, event.severity) == ("com.example.thing", Severity.CRITICAL)
    assert event.entity == Entity("thing", "1")


def test_an_unknown_event_without_an_entity_has_a_subject_key_of_its_own() -> None:
    assert cloudevent("x").subject_key == "other::e1"


def test_an_unknown_event_of_a_known_entity_type_names_the_entity() -> None:
    event = cloudevent("io.infrakitchen.workflow.paused", {"workflow_id": "w1", "name": "deploy"})
    assert (event.kind, event.entity) == (Kind.OTHER, Entity("workflow", "w1", "deploy"))


def test_an_annotation_whose_name_says_that_it_is_an_address_may_have_spaces() -> None:
    annotations = {
        "runbook_url": "HTTPS://wiki.example/run book|db", "dashboard": "https://g.example/d/1",
        "note": "https://wiki.example is down again", "logs_url": "javascript:alert(1)", "copy_url": "https://g.example/d/1",
    }  # fmt: skip
    event = alert(name="DiskFull", annotations=annotations)
    assert [(link.label, link.url) for link in event.links] == [
        ("Runbook", "https://wiki.example/run%20book%7Cdb"), ("Dashboard", "https://g.example/d/1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("person", "name", "email"),
    [
        ({"name": "Ada", "email": "ada@example.com"}, "Ada", "ada@example.com"),
        ({"display_name": "Ada", "identifier": "ada@example.com"}, "Ada", "ada@example.com"),
        ({"identifier": "ada"}, "ada", ""),
        ({"email": "ada@example.com"}, "ada@example.com", "ada@example.com"),
        ("ada@example.com", "ada@example.com", "ada@example.com"),
        ("Ada", "Ada", ""),
        (["Ada"], "", ""),
    ],
)
def test_the_person_who_started_it_has_a_name_and_an_email_address(person: object, name: str, email: str) -> None:
    for event in (resource(requester=person), workflow("started", creator=person), resource(creator=person)):
        assert (event.requester, event.requester_email) == (name, email)


@pytest.mark.parametrize(
    ("given", "parents"),
    [
        (["p1", {"id": "r0", "name": "net"}, "p1", None, {}, ["x"]], ("p1", "r0")),
        ("p1", ()),
        (None, ()),
    ],
)
def test_the_parents_of_an_entity_are_ids_or_objects_with_one(given: object, parents: tuple[str, ...]) -> None:
    assert resource(parents=given).parents == parents

"""Each type of CloudEvent becomes the event people expect."""

import json
from typing import Any

import pytest

from worker.domain.event import Entity, Event, Kind, Severity, Step
from worker.sources import read

PLACE = "1700000000000-3"


def cloudevent(kind: str, data: Any = None, **more: Any) -> Event:
    fields = {"specversion": "1.0", "id": "e1", "source": "/ik", "type": kind, "data": data} | more
    return read(json.dumps(fields).encode(), PLACE)


def workflow(what: str, **data: Any) -> Event:
    return cloudevent(f"io.infrakitchen.workflow.{what}", {"workflow_id": "w1", "name": "deploy-prod"} | data)


def resource(**data: Any) -> Event:
    return cloudevent(
        "io.infrakitchen.resource.state_changed", {"resource_id": "r1", "name": "db-main"} | data
    )


def alert(what: str = "firing", **data: Any) -> Event:
    return cloudevent(f"io.infrakitchen.alert.{what}", data)


def test_a_failed_workflow_tells_everything() -> None:
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
def test_a_workflow_says_what_happened_without_a_status(
    what: str, title: str, status: str, severity: Severity
) -> None:
    event = workflow(what)
    assert (event.title, event.status, event.severity) == (title, status, severity)


def test_a_failure_is_an_error_whatever_its_status_says() -> None:
    assert workflow("failed", status="pending").severity is Severity.ERROR


def test_a_status_nobody_knows_is_kept_and_ranks_as_a_warning() -> None:
    event = workflow("completed", status="Half-Done")
    assert (event.status, event.severity) == ("Half-Done", Severity.WARNING)


def test_completed_steps_are_counted() -> None:
    steps = [{"status": "done"}, {"status": "done"}, {"status": "pending"}]
    assert workflow("step_completed", steps=steps).title == "Workflow deploy-prod: 2 of 3 steps done"


def test_steps_without_a_usable_position_stand_where_they_are_listed() -> None:
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
def test_steps_of_a_wrong_shape_do_not_cost_the_event(steps: object) -> None:
    assert workflow("started", steps=steps).steps == ()


@pytest.mark.parametrize(
    ("creator", "requester"),
    [({"name": " ", "email": "a@b.c"}, "a@b.c"), ("Ada", "Ada"), (None, ""), ([], ""), ({}, "")],
)
def test_who_asked_is_a_name_or_an_address(creator: object, requester: str) -> None:
    assert workflow("started", creator=creator).requester == requester


@pytest.mark.parametrize("data", [None, "text", 5, [], [{}]])
def test_a_known_type_with_unusable_data_is_told_all_the_same(data: object) -> None:
    event = cloudevent("io.infrakitchen.workflow.failed", data, subject="w7")
    assert (event.kind, event.title, event.entity.id) == (Kind.WORKFLOW, "Workflow failed", "w7")


def test_numbers_are_taken_as_texts() -> None:
    event = workflow("started", workflow_id=17, name=3.5, project=True)
    assert (event.entity, event.project) == (Entity("workflow", "17", "3.5"), "true")


@pytest.mark.parametrize("time", ["yesterday", "", 5, None, "2026-13-01T00:00:00Z", "9999-12-31T23:59:60Z"])
def test_a_time_that_is_none_leaves_the_order_to_the_stream(time: object) -> None:
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
def test_a_time_of_any_age_is_read(time: str, time_s: float) -> None:
    assert cloudevent("x", time=time).time_s == time_s


def test_a_resource_tells_what_changed() -> None:
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
    assert event.about == "resource:resource:r1"


@pytest.mark.parametrize(
    ("state", "status", "title", "severity"),
    [
        ("provisioned", "done", "Resource db-main is provisioned", Severity.INFO),
        ("destroyed", None, "Resource db-main is destroyed", Severity.INFO),
        ("provision", "in_progress", "Resource db-main: provision in progress", Severity.INFO),
        ("provision", "approval_pending", "Resource db-main: provision approval pending", Severity.INFO),
        ("provision", "error", "Resource db-main failed to provision", Severity.ERROR),
        ("destroy", "error", "Resource db-main failed to be destroyed", Severity.ERROR),
        ("provisioned", "error", "Resource db-main failed", Severity.ERROR),
        ("provision", "rejected", "Resource db-main: provision rejected", Severity.WARNING),
        ("provision", "cancelled", "Resource db-main: provision cancelled", Severity.WARNING),
        ("provisioned", "odd\nword", "Resource db-main: provisioned odd word", Severity.WARNING),
        (None, None, "Resource db-main changed", Severity.INFO),
    ],
)
def test_a_resource_is_told_in_one_line(
    state: str | None, status: str | None, title: str, severity: Severity
) -> None:
    event = resource(state=state, status=status)
    assert (event.title, event.severity) == (title, severity)


def test_an_alert_tells_everything() -> None:
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
    assert event.about == "alert:fingerprint:f1"


def test_an_alert_without_an_entity_is_about_itself() -> None:
    assert alert(name="DiskFull", fingerprint="f1").entity == Entity("alert", "f1", "DiskFull")


def test_two_alerts_of_one_resource_are_different_things() -> None:
    entity = {"type": "resource", "id": "r1"}
    assert alert(fingerprint="a", entity=entity).about != alert(fingerprint="b", entity=entity).about


def test_a_resolved_alert_keeps_its_severity() -> None:
    event = alert("resolved", name="DiskFull", severity="critical")
    assert (event.status, event.severity, event.severity_word) == ("resolved", Severity.CRITICAL, "critical")


def test_an_alert_without_a_fingerprint_is_known_by_name_and_labels() -> None:
    first = alert(name="A", labels={"x": "1", "y": "2"})
    assert first.about == alert("resolved", name="A", labels={"y": "2", "x": "1"}).about
    assert first.about != alert(name="A", labels={"x": "2", "y": "2"}).about


def test_an_alert_that_says_nothing_is_told_and_is_about_itself_alone() -> None:
    event = alert()
    assert (event.title, event.severity, event.about) == ("Alert", Severity.WARNING, "alert:alert:e1")


def test_what_alertmanager_puts_into_labels_and_annotations_is_found() -> None:
    event = alert(
        labels={"alertname": "DiskFull", "severity": "page"},
        annotations={"summary": "full", "description": "full"},
    )
    assert (event.title, event.text, event.severity_word) == ("DiskFull", "full", "page")
    assert event.severity is Severity.WARNING


def test_a_type_nobody_knows_is_told_with_what_it_says() -> None:
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


def test_a_foreign_type_is_told_by_its_type() -> None:
    event = cloudevent("com.example.thing", {"severity": "critical", "entity": {"type": "thing", "id": "1"}})
    assert (event.title, event.severity) == ("com.example.thing", Severity.CRITICAL)
    assert event.entity == Entity("thing", "1")


def test_an_unknown_event_that_names_nothing_is_about_itself_alone() -> None:
    assert cloudevent("x").about == "other::e1"


def test_a_new_event_of_a_known_thing_still_names_the_thing() -> None:
    event = cloudevent("io.infrakitchen.workflow.paused", {"workflow_id": "w1", "name": "deploy"})
    assert (event.kind, event.entity) == (Kind.OTHER, Entity("workflow", "w1", "deploy"))

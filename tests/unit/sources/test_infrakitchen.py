"""InfraKitchen's own body becomes an event named by its stream entry."""

import json
from typing import Any

import pytest

from worker.domain.event import Entity, Event, Kind, Severity
from worker.sources import read

PLACE = "1700000000000-3"


def body(**fields: Any) -> Event:
    return read(json.dumps({"entity_type": "workflow"} | fields).encode(), PLACE)


def test_a_body_tells_everything() -> None:
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
def test_the_entity_type_says_the_kind(entity_type: str, kind: Kind) -> None:
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
def test_the_status_says_the_severity(status: str | None, severity: Severity) -> None:
    assert body(status=status).severity is severity


@pytest.mark.parametrize("metadata", [None, "text", [], 5])
def test_metadata_may_be_anything(metadata: object) -> None:
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
def test_a_name_quoted_in_the_title_is_the_entitys(title: str, name: str) -> None:
    assert body(title=title).entity.name == name


def test_ids_may_be_numbers_or_booleans() -> None:
    assert body(entity_id=17).entity.id == "17"
    assert body(entity_id=True).entity.id == "true"


def test_without_a_title_the_kind_of_event_is_told() -> None:
    assert body(entity_type="source_code", event_type="sync").title == "Source code sync"
    assert body(event_type=None).type == "workflow"


def test_an_alert_is_known_by_its_id() -> None:
    assert body(entity_type="alert", entity_id="a1").about == "alert:fingerprint:a1"


def test_specversion_null_is_no_cloudevent() -> None:
    assert body(specversion=None).source == "infrakitchen"

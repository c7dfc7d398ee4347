"""Events: their severity, order and subject."""

import dataclasses

import pytest

from worker.domain.event import Entity, Event, Kind, Severity

EVENT = Event(
    id="e1",
    source="s",
    type="t",
    kind=Kind.WORKFLOW,
    entry_id="1700000000123-4",
    entity=Entity("workflow", "w1"),
    severity=Severity.INFO,
    title="T",
)


def event(**changes: object) -> Event:
    return dataclasses.replace(EVENT, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("info", Severity.INFO),
        (" Critical ", Severity.CRITICAL),
        ("ERROR", Severity.ERROR),
        ("warning", Severity.WARNING),
        ("page", Severity.CRITICAL),
        ("SEV-1", Severity.CRITICAL),
        ("p 2", Severity.ERROR),
        ("Sev_3", Severity.WARNING),
        ("none", Severity.INFO),
        ("average", Severity.WARNING),
        ("", Severity.WARNING),
        ("ranked", Severity.WARNING),
    ],
)
def test_a_severity_is_ranked_and_an_unknown_word_is_a_warning(word: str, severity: Severity) -> None:
    assert Severity.ranked(word) is severity


def test_severities_are_ordered() -> None:
    assert Severity.INFO < Severity.WARNING < Severity.ERROR < Severity.CRITICAL


def test_states_are_ordered_by_time_and_else_by_the_stream() -> None:
    assert event().order == (1700000000.123, 1700000000123, 4)
    assert event(time_s=5.0, entry_id="8-0").order < event(time_s=5.0, entry_id="9-0").order
    assert event(time_s=5.0).order < event(time_s=6.0, entry_id="1-0").order
    assert event(entry_id="1700000000123").order < event().order


def test_the_stream_says_when_an_event_was_accepted() -> None:
    assert event(time_s=5.0).accepted_at_ms == 1700000000123


def test_states_of_one_subject_have_the_same_key() -> None:
    assert event().subject_key == "workflow:workflow:w1"
    assert event(entity=Entity("workflow", "")).subject_key == "workflow:workflow:e1"


def test_the_subject_of_an_alert_is_its_fingerprint_and_its_source() -> None:
    alert = event(kind=Kind.ALERT, entity=Entity("resource", "r1"), fingerprint="f1", source="https://am.example")
    assert alert.subject_key == "alert:fingerprint:f1:https://am.example"
    assert alert.subject_key != dataclasses.replace(alert, source="https://other.example").subject_key
    assert dataclasses.replace(alert, fingerprint="").subject_key == "alert:resource:r1"
    assert event(fingerprint="f1").subject_key == "workflow:workflow:w1"


def test_an_event_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        event().title = "other"  # type: ignore[misc]

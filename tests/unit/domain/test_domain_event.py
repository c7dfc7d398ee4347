"""Events: how bad, how new, and what they are about."""

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
        ("page", Severity.WARNING),
        ("", Severity.WARNING),
        ("ranked", Severity.WARNING),
    ],
)
def test_a_severity_is_ranked_and_a_word_nobody_knows_is_a_warning(word: str, severity: Severity) -> None:
    assert Severity.ranked(word) is severity


def test_severities_compare() -> None:
    assert Severity.INFO < Severity.WARNING < Severity.ERROR < Severity.CRITICAL


def test_states_are_ordered_by_time_and_else_by_the_stream() -> None:
    assert event().order == (1700000000.123, 1700000000123, 4)
    assert event(time_s=5.0, entry_id="8-0").order < event(time_s=5.0, entry_id="9-0").order
    assert event(time_s=5.0).order < event(time_s=6.0, entry_id="1-0").order
    assert event(entry_id="1700000000123").order < event().order


def test_the_stream_says_when_an_event_was_accepted() -> None:
    assert event(time_s=5.0).accepted_at_ms == 1700000000123


def test_states_are_compared_within_one_thing() -> None:
    assert event().about == "workflow:workflow:w1"
    assert event(entity=Entity("workflow", "")).about == "workflow:workflow:e1"


def test_an_alert_is_about_its_fingerprint_whatever_it_concerns() -> None:
    alert = event(kind=Kind.ALERT, entity=Entity("resource", "r1"), fingerprint="f1")
    assert alert.about == "alert:fingerprint:f1"
    assert dataclasses.replace(alert, fingerprint="").about == "alert:resource:r1"
    assert event(fingerprint="f1").about == "workflow:workflow:w1"


def test_an_event_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        event().title = "other"  # type: ignore[misc]

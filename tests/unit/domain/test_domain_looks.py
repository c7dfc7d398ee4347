"""How a state looks, and what a message that tells several things counts."""

import pytest

from worker.domain.event import Entity, Event, Kind, Severity
from worker.domain.folding import Folding, Line
from worker.domain.looks import look, step_sign, urgency
from worker.domain.message import Colour


def event(kind: Kind, status: str, severity: Severity = Severity.INFO, what: str = "t") -> Event:
    return Event("e", "s", what, kind, "1-0", Entity("x", "1"), severity, "T", status=status)


@pytest.mark.parametrize(
    ("status", "sign", "colour"),
    [
        ("done", "✅", Colour.GOOD),
        ("error", "❌", Colour.DANGER),
        ("in_progress", "⏳", Colour.BUSY),
        ("cancelled", "⚪", Colour.QUIET),
        ("approval_pending", "🟡", Colour.WARNING),
        ("", "🔵", Colour.BUSY),
    ],
)
def test_a_status_has_its_look(status: str, sign: str, colour: Colour) -> None:
    assert look(event(Kind.WORKFLOW, status)) == (sign, colour)


def test_a_status_nobody_knows_looks_as_bad_as_it_ranks() -> None:
    assert look(event(Kind.WORKFLOW, "odd", Severity.WARNING)) == ("🟡", Colour.WARNING)


def test_an_alert_looks_as_severe_as_it_is_until_it_is_over() -> None:
    firing = event(Kind.ALERT, "firing", Severity.CRITICAL, "io.infrakitchen.alert.firing")
    resolved = event(Kind.ALERT, "resolved", Severity.CRITICAL, "io.infrakitchen.alert.resolved")
    assert look(firing) == ("🔴", Colour.DANGER)
    assert look(resolved) == ("🟢", Colour.GOOD)


def test_what_is_over_comes_after_everything_that_is_not() -> None:
    events = [
        event(Kind.WORKFLOW, "done"),
        event(Kind.WORKFLOW, "in_progress"),
        event(Kind.WORKFLOW, "error", Severity.ERROR),
    ]
    assert sorted(map(urgency, events)) == [urgency(one) for one in events]


@pytest.mark.parametrize(("status", "sign"), [("done", "✅"), ("pending", "▫️"), ("", "▫️"), ("odd", "⚪")])
def test_a_step_has_a_sign(status: str, sign: str) -> None:
    assert step_sign(status) == sign


def test_a_message_counts_every_event_it_tells() -> None:
    one, two = event(Kind.WORKFLOW, "done"), event(Kind.WORKFLOW, "error")
    folding = Folding((Line(one, "d1", older=2), Line(two, "d2")))
    assert (folding.lines[0].delivery_id, folding.events) == ("d1", 4)

"""How a state looks, and what a message that tells several things counts."""

from dataclasses import replace

import pytest

from worker.domain.event import Entity, Event, Kind, Severity, Step
from worker.domain.folding import Folding, Line
from worker.domain.looks import WORDS, gist, look, step_sign, urgency, why
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


@pytest.mark.parametrize(("status", "sign"), [("done", "✅"), ("pending", "⬜"), ("", "⬜"), ("odd", "⚪")])
def test_a_step_has_a_sign(status: str, sign: str) -> None:
    assert step_sign(status) == sign


@pytest.mark.parametrize("status", ["done", "error", "in_progress", "cancelled", "approval_pending", "info"])
def test_every_sign_has_a_word_for_those_who_count_it(status: str) -> None:
    for kind in (Kind.WORKFLOW, Kind.ALERT):
        for severity in Severity:
            for what in ("io.infrakitchen.alert.resolved", "t"):
                assert WORDS[look(event(kind, status, severity, what))[0]]


def test_why_is_the_error_else_that_of_the_failed_step_else_the_text_of_a_failure() -> None:
    steps = (Step("a", 1, "done", "fine"), Step("b", 2, "error", "no quota"))
    failed = replace(event(Kind.WORKFLOW, "error"), error="broke", steps=steps, text="it says")
    assert why(failed) == "broke"
    assert why(replace(failed, error="")) == "no quota"
    assert why(replace(failed, error="", steps=())) == "it says"
    assert why(replace(event(Kind.WORKFLOW, "done"), text="it says")) == ""


def test_of_a_traceback_the_last_line_says_most_of_other_errors_the_first_paragraph() -> None:
    trace = "Traceback (most recent call last):\n  File x\nValueError: no quota\n"
    assert gist(replace(event(Kind.WORKFLOW, "error"), error=trace)) == "ValueError: no quota"
    assert gist(replace(event(Kind.WORKFLOW, "error"), error="Error: a,\nb\n\n  on c")) == "Error: a,\nb"
    assert gist(replace(event(Kind.WORKFLOW, "done"), text="it says")) == "it says"


def test_a_message_counts_every_event_it_tells() -> None:
    one, two = event(Kind.WORKFLOW, "done"), event(Kind.WORKFLOW, "error")
    folding = Folding((Line(one, "d1", older=2), Line(two, "d2")))
    assert (folding.lines[0].delivery_id, folding.events) == ("d1", 4)

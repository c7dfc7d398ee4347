"""Emoji, colours and summaries of states, and the counts of a message."""

from dataclasses import replace

import pytest

from worker.domain.event import Entity, Event, Kind, Severity, Step
from worker.domain.message import Colour
from worker.domain.message_plan import Line, MessageContent
from worker.domain.presentation import (
    EMOJI_NAMES,
    appearance,
    failure_reason,
    next_step,
    step_emoji,
    summary_line,
    urgency,
    where_labels,
)


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
def test_a_status_has_an_emoji_and_a_colour(status: str, sign: str, colour: Colour) -> None:
    assert appearance(event(Kind.WORKFLOW, status)) == (sign, colour)


def test_an_unknown_status_has_the_emoji_of_its_severity() -> None:
    assert appearance(event(Kind.WORKFLOW, "odd", Severity.WARNING)) == ("🟡", Colour.WARNING)


def test_an_alert_has_the_emoji_of_its_severity_until_it_is_resolved() -> None:
    firing = event(Kind.ALERT, "firing", Severity.CRITICAL, "io.infrakitchen.alert.firing")
    resolved = event(Kind.ALERT, "resolved", Severity.CRITICAL, "io.infrakitchen.alert.resolved")
    assert appearance(firing) == ("🔴", Colour.DANGER)
    assert appearance(resolved) == ("🟢", Colour.GOOD)


def test_an_event_that_ended_well_ranks_last() -> None:
    events = [
        event(Kind.WORKFLOW, "done"),
        event(Kind.WORKFLOW, "in_progress"),
        event(Kind.WORKFLOW, "error", Severity.ERROR),
    ]
    assert sorted(map(urgency, events)) == [urgency(one) for one in events]


@pytest.mark.parametrize(("status", "sign"), [("done", "✅"), ("pending", "⬜"), ("", "⬜"), ("odd", "⚪")])
def test_a_step_has_an_emoji(status: str, sign: str) -> None:
    assert step_emoji(status) == sign


@pytest.mark.parametrize("status", ["done", "error", "in_progress", "cancelled", "approval_pending", "info"])
def test_every_emoji_has_a_name(status: str) -> None:
    for kind in (Kind.WORKFLOW, Kind.ALERT):
        for severity in Severity:
            for what in ("io.infrakitchen.alert.resolved", "t"):
                assert EMOJI_NAMES[appearance(event(kind, status, severity, what))[0]]


def test_the_failure_reason_is_the_error_of_the_event_or_step_else_the_text() -> None:
    steps = (Step("a", 1, "done", "fine"), Step("b", 2, "error", "no quota"))
    failed = replace(event(Kind.WORKFLOW, "error"), error="broke", steps=steps, text="it says")
    assert failure_reason(failed) == "broke"
    assert failure_reason(replace(failed, error="")) == "no quota"
    assert failure_reason(replace(failed, error="", steps=())) == "it says"
    assert failure_reason(replace(event(Kind.WORKFLOW, "done"), text="it says")) == ""


def test_the_summary_of_a_traceback_is_its_last_line_of_other_errors_the_first_paragraph() -> None:
    trace = "Traceback (most recent call last):\n  File x\nValueError: no quota\n"
    assert summary_line(replace(event(Kind.WORKFLOW, "error"), error=trace)) == "ValueError: no quota"
    assert summary_line(replace(event(Kind.WORKFLOW, "error"), error="Error: a,\nb\n\n  on c")) == "Error: a,\nb"
    boxed = "Exit: ╷\n│ Error: no quota\n│ \n│   with aws_db_instance.orders,\n╵"
    assert summary_line(replace(event(Kind.WORKFLOW, "error"), error=boxed)) == "Exit:\nError: no quota"
    assert summary_line(replace(event(Kind.WORKFLOW, "done"), text="it says")) == "it says"


def test_a_message_counts_every_event_it_covers() -> None:
    one, two = event(Kind.WORKFLOW, "done"), event(Kind.WORKFLOW, "error")
    folding = MessageContent((Line(one, "d1", older_count=2), Line(two, "d2")))
    assert (folding.lines[0].delivery_id, folding.event_count) == ("d1", 4)


def test_alerts_that_were_left_out_are_a_warning_until_their_group_is_resolved() -> None:
    left_out = event(Kind.ALERT, "firing", Severity.CRITICAL, "io.infrakitchen.alert.left_out")
    assert appearance(left_out) == ("🟡", Colour.WARNING)
    assert appearance(replace(left_out, status="resolved")) == ("🟢", Colour.GOOD)


def where(title: str = "PodCrashLooping", **labels: str) -> list[tuple[str, str]]:
    alert = replace(event(Kind.ALERT, "firing"), title=title, labels={"alertname": title, "severity": "page"} | labels)
    return list(where_labels(alert).items())


def test_the_labels_that_say_where_come_first() -> None:
    labels = {"app": "a", "service": "s", "pod": "p", "namespace": "n", "cluster": "c", "zone": "z"}
    assert [name for name, _ in where(**labels)] == ["cluster", "namespace", "pod", "service", "app", "zone"]


def test_labels_that_say_nothing_about_the_subject_are_not_shown() -> None:
    hidden = {"endpoint": "http", "prometheus": "monitoring/k8s", "__alert_rule_uid__": "u", "empty": ""}
    assert where(host="h1", **hidden) == [("host", "h1")]


def test_labels_that_the_title_says_are_not_shown() -> None:
    assert where("Query error: api_down", rulename="api_down", env="api") == [("env", "api")]


def test_the_labels_of_kube_state_metrics_give_way_to_those_of_its_subject() -> None:
    own = {"container": "kube-state-metrics", "instance": "10.0.0.1:8080", "service": "ksm"}
    own["job"] = "monitoring/kube-state-metrics"
    assert where(namespace="shop", pod="web-1", **own) == [("namespace", "shop"), ("pod", "web-1")]
    assert where(pod="ksm-0", exported_pod="web-1", exported_container="app", **own) == [
        ("pod", "web-1"), ("container", "app"),
    ]  # fmt: skip
    assert where(instance="h1", exported_instance="h2", job="node") == [("instance", "h2"), ("job", "node")]


def test_an_alert_without_a_cluster_names_the_installation_that_sent_it() -> None:
    alert = replace(event(Kind.ALERT, "firing"), labels={"app": "a", "pod": "p"}, origin="am.example")
    assert list(where_labels(alert).items()) == [("pod", "p"), ("source", "am.example"), ("app", "a")]
    assert "source" not in where_labels(replace(alert, labels={"cluster": "c"}))
    assert where_labels(replace(alert, labels={"source": "s"})) == {"source": "s"}


@pytest.mark.parametrize(
    ("state", "status", "action", "step"),
    [
        ("provision", "approval_pending", "create", "A person with admin rights approves or rejects this"),
        ("destroy", "approval_pending", "destroy", "A person with admin rights approves or rejects this"),
        ("provision", "rejected", "reject", "Recreate it to ask for approval again"),
        ("provisioned", "rejected", "reject", ""),
        ("provision", "error", "execute", "Fix the cause, then execute the resource again."),
        ("destroy", "error", "execute", "Fix the cause, then execute the resource again."),
        ("provision", "error", "dryrun", ""),
        ("provision", "in_progress", "execute", ""),
        ("destroyed", "done", "execute", ""),
    ],
)
def test_a_state_of_a_resource_names_what_a_person_can_do(state: str, status: str, action: str, step: str) -> None:
    resource = replace(event(Kind.RESOURCE, status), state=state, action=action)
    assert next_step(resource).startswith(step)
    assert bool(next_step(resource)) == bool(step)
    assert next_step(replace(resource, kind=Kind.WORKFLOW)) == ""

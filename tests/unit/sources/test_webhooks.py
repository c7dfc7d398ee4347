"""Webhooks of Alertmanager and Grafana become one event an alert, however often they are sent."""

import json
import re
from typing import Any
from urllib.parse import unquote

import pytest

from worker.domain.card import can_have_card
from worker.domain.event import Entity, Event, Kind, Link, Severity
from worker.domain.presentation import appearance
from worker.sources import WEBHOOKS, AlertGroup, LabelMapping, Unreadable, parse
from worker.sources.monitoring import FaultReason

ID = "4d1e2f60-7a6b-4c6e-9a43-1b1f0a5d2c11"
LABELS = {
    "alertname": "DiskFull",
    "severity": "page",
    "resource_id": ID,
    "resource_name": "db",
    "project": "shop",
}
NEVER = "0001-01-01T00:00:00Z"


def alert(**fields: object) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": LABELS,
        "annotations": {"summary": "nearly full", "description": "98 % of /data"},
        "startsAt": "2026-11-27T10:00:00.123456789Z",
        "endsAt": NEVER,
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "f1",
    } | fields


def group(
    name: str, *alerts: object, label_mapping: LabelMapping | None = None, source: str = "", **fields: object
) -> AlertGroup:
    version = {"alertmanager": "4", "grafana": "1"}[name]
    body = {"version": version, "status": "firing", "alerts": list(alerts), "truncatedAlerts": 0} | fields
    return WEBHOOKS[name](body, label_mapping or LabelMapping(), source)


def event(name: str, *alerts: object, entry_id: str = "1798000000000-0", **more: Any) -> Event:
    """Return the first event as parsed from the stream."""
    found = group(name, *alerts, **more)
    assert found.faults == ()
    return parse(json.dumps(found.events[0]).encode(), entry_id)


def refused(name: str, body: dict[str, object]) -> str:
    with pytest.raises(Unreadable) as caught:
        WEBHOOKS[name](body, LabelMapping(), "")
    return caught.value.detail


@pytest.mark.parametrize("name", WEBHOOKS)
def test_every_field_of_an_alert_is_converted(name: str) -> None:
    found = event(name, alert())
    assert found == Event(
        id="f1:1795773600123:firing",
        source=name,
        type="io.infrakitchen.alert.firing",
        kind=Kind.ALERT,
        entry_id="1798000000000-0",
        entity=Entity("resource", ID, "db"),
        severity=Severity.CRITICAL,
        severity_word="critical",
        title="DiskFull",
        status="firing",
        text="nearly full\n98 % of /data",
        project="shop",
        url="http://prometheus/graph",
        labels=LABELS,
        time_s=found.time_s,
        started_at_s=found.time_s,
        fingerprint="f1",
        annotations=alert()["annotations"],
    )


def test_the_password_in_an_address_is_left_out() -> None:
    found = event("alertmanager", alert(), externalURL="https://user:secret@am.example/x")
    assert (found.source, found.origin) == ("https://am.example/x", "am.example")
    assert "secret" not in str(found)


@pytest.mark.parametrize("name", WEBHOOKS)
def test_the_same_alert_sent_again_or_by_another_of_a_pair_is_the_same_event(name: str) -> None:
    again = alert(startsAt="2026-11-27T12:00:00.123+02:00", annotations={"summary": "99 %"}, generatorURL="x")
    assert event(name, alert()).id == event(name, again, externalURL="http://other").id


@pytest.mark.parametrize("name", WEBHOOKS)
def test_an_alert_that_fires_again_is_another_event_with_the_same_subject_key(name: str) -> None:
    first, second = event(name, alert()), event(name, alert(startsAt="2026-11-27T11:00:00Z"))
    assert first.id != second.id
    assert first.subject_key == second.subject_key


@pytest.mark.parametrize("name", WEBHOOKS)
def test_a_late_firing_is_older_than_the_resolution(name: str) -> None:
    ended = alert(status="resolved", endsAt="2026-11-27T10:05:00Z")
    resolved = event(name, ended, entry_id="1798000000000-0")
    late = event(name, alert(), entry_id="1800000000000-0")
    assert (resolved.status, resolved.subject_key) == ("resolved", late.subject_key)
    assert late.order < resolved.order
    assert event(name, alert(startsAt="2026-11-27T10:06:00Z")).order > resolved.order


def test_a_resolution_before_the_start_still_resolves_the_alert() -> None:
    resolved = event("alertmanager", alert(status="resolved", endsAt="2026-11-27T09:00:00Z"), entry_id="2-0")
    assert resolved.order > event("alertmanager", alert(), entry_id="1-0").order


def test_a_resolution_without_an_end_has_the_time_of_its_entry() -> None:
    assert event("alertmanager", alert(status="resolved")).time_s is None


def test_each_alert_of_a_group_is_an_event() -> None:
    found = group("alertmanager", alert(), alert(fingerprint="f2"), alert(status="resolved", fingerprint="f3"))
    assert [one["type"] for one in found.events] == [
        "io.infrakitchen.alert.firing", "io.infrakitchen.alert.firing", "io.infrakitchen.alert.resolved",
    ]  # fmt: skip


def test_the_labels_identify_an_alert_without_a_fingerprint() -> None:
    one, same = alert(fingerprint=""), alert(fingerprint="", labels=dict(reversed(LABELS.items())))
    assert event("alertmanager", one).id == event("alertmanager", same).id
    other = alert(fingerprint="", labels={**LABELS, "instance": "b"})
    assert event("alertmanager", one).fingerprint != event("alertmanager", other).fingerprint


def test_alerts_of_two_grafana_organizations_have_different_fingerprints() -> None:
    assert event("grafana", alert(), orgId=1).subject_key == event("grafana", alert()).subject_key
    assert event("grafana", alert(), orgId=2).subject_key != event("grafana", alert(), orgId=1).subject_key


@pytest.mark.parametrize(
    ("written", "severity"),
    [("critical", 3), ("PAGE", 3), ("error", 2), ("warning", 1), ("info", 0), ("none", 0), ("purple", 1)],
)
def test_the_usual_words_for_a_severity_are_mapped(written: str, severity: int) -> None:
    found = event("alertmanager", alert(labels={"alertname": "a", "severity": written}))
    assert found.severity == severity
    assert event("alertmanager", alert(labels={"alertname": "a"})).severity is Severity.WARNING


def test_the_first_label_with_a_value_counts() -> None:
    label_mapping = LabelMapping.parse(
        "{severity: [urgency, severity], severities: {Red: critical}, entity_id: [vm_id, x], project: team}"
    )
    found = event(
        "grafana", alert(labels={"urgency": "red", "vm_id": "v1", "team": "shop"}), label_mapping=label_mapping
    )
    assert (found.severity, found.project, found.entity) == (Severity.CRITICAL, "shop", Entity("vm", "v1"))


def test_the_labels_give_the_type_of_the_entity() -> None:
    for labels, entity in (
        ({"entity_id": ID, "entity_type": "storage", "entity_name": "s"}, Entity("storage", ID, "s")),
        ({"entity_id": ID}, Entity("resource", ID)),
        ({"workflow_id": ID}, Entity("workflow", ID)),
        ({"alertname": "a"}, Entity("alert", "f1", "a")),
        ({"alertname": "a", "resource_id": "postgres-primary"}, Entity("alert", "f1", "a")),
    ):
        assert event("alertmanager", alert(labels=labels)).entity == entity


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("severety: [x]", "severety: .*known are severity, "),
        ("severities: {red: bad}", r"severities\.red: "),
        ("[1]", "the file: "),
        ("a: [", "not YAML"),
    ],
)
def test_the_error_of_a_wrong_label_mapping_is_one_line(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as caught:
        LabelMapping.parse(text)
    assert "\n" not in str(caught.value)


def test_an_empty_label_mapping_is_the_default() -> None:
    assert LabelMapping.parse("") == LabelMapping()


@pytest.mark.parametrize("name", WEBHOOKS)
def test_another_version_is_rejected_with_the_fix(name: str) -> None:
    said = refused(name, {"version": "3", "alerts": [alert()]})
    assert said.startswith("version: '3' is not known")
    assert "receiver" in said or "contact point" in said
    assert refused(name, {"alerts": [alert()]}).startswith("version: missing")
    assert refused(name, {"version": "4" if name == "alertmanager" else "1"}).startswith("alerts: missing")


def test_a_webhook_sent_to_the_wrong_path_is_rejected_with_the_right_path() -> None:
    assert "/webhooks/grafana" in refused("alertmanager", {"version": "1", "orgId": 1, "alerts": [alert()]})
    assert "/webhooks/alertmanager" in refused("grafana", {"version": "4", "alerts": [alert()]})


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (alert(status="pending"), r"alerts\[1\].status: 'pending' is neither firing nor resolved"),
        (alert(status=None), r"alerts\[1\].status: missing: firing or resolved"),
        (alert(labels={}), r"alerts\[1\].labels: missing"),
        (alert(startsAt="soon"), r"alerts\[1\].startsAt: missing, or no RFC 3339 time"),
        (alert(startsAt=NEVER), r"alerts\[1\].startsAt: missing"),
        ("text", r"alerts\[1\].status: missing"),
    ],
)
def test_an_incomplete_alert_is_a_fault_and_the_others_are_events(wrong: object, named: str) -> None:
    found = group("alertmanager", alert(), wrong, alert(fingerprint="f3"), status="")
    assert [event["id"][:2] for event in found.events] == ["f1", "f3"]
    assert len(found.faults) == 1
    assert re.match(named, found.faults[0].text)


def test_a_truncated_group_has_an_event_that_reaches_the_same_destinations() -> None:
    other = alert(fingerprint="f2", labels={**LABELS, "severity": "info", "pod": "b"})
    for status, title, sign in (
        ("firing", "Alertmanager left out 7 alerts of this group", "🟡"),
        ("resolved", "Alertmanager left out 7 resolved alerts of this group", "🟢"),
    ):
        found = group(
            "alertmanager", alert(), other, truncatedAlerts=7, status=status, groupLabels={"team": "a"},
            externalURL="https://am.example",
        )  # fmt: skip
        (fault,) = found.faults
        assert (fault.reason, fault.alerts) == (FaultReason.TRUNCATED, 7)
        assert "max_alerts: 0" in fault.text
        left_out = parse(json.dumps(found.events[2]).encode(), "1-0")
        assert (left_out.kind, left_out.entity.name, left_out.project) == (Kind.ALERT, "DiskFull", "shop")
        assert (left_out.title, left_out.status, appearance(left_out)[0]) == (title, status, sign)
        assert left_out.severity is Severity.CRITICAL
        assert left_out.text.startswith("2 of 9 alerts are reported (team=a). To receive all")
        assert left_out.url == "https://am.example/#/alerts?filter=%7Bteam%3D%22a%22%7D"
        assert not can_have_card(left_out)


def test_an_alert_without_a_status_has_that_of_its_group() -> None:
    assert event("alertmanager", alert(status=""), status="resolved").status == "resolved"


def test_the_sources_of_two_installations_differ_and_those_of_a_pair_do_not() -> None:
    first, second = (event("alertmanager", alert(), externalURL=f"https://am.{name}.example") for name in "ab")
    assert first.fingerprint == second.fingerprint
    assert first.subject_key != second.subject_key
    assert first.subject_key == event("alertmanager", alert(), externalURL="https://am.a.example/").subject_key
    named = event("alertmanager", alert(), externalURL="https://am.a.example", source="blue")
    assert (named.source, named.origin) == ("blue", "blue")
    assert first.origin == "am.a.example"


def test_a_resolution_whose_start_is_its_end_says_nothing_about_the_duration() -> None:
    ended = "2026-11-27T10:05:00Z"
    resolved = event("grafana", alert(status="resolved", startsAt=ended, endsAt=ended))
    assert (resolved.started_at_s, resolved.ended_at_s) == (None, resolved.time_s)


def test_the_links_and_values_of_grafana_are_kept() -> None:
    found = event(
        "grafana",
        alert(
            annotations={"runbook_url": "https://rb.example/q", "logsURL": "https://logs.example", "note": "x"},
            silenceURL="https://g.example/silence", dashboardURL="https://g.example/d/x",
            panelURL="https://g.example/d/x?viewPanel=2", imageURL="https://g.example/i.png",
            values={"B": 6.7, "C": None},
        ),
    )  # fmt: skip
    assert [link.label for link in found.links] == ["Runbook", "Dashboard", "Panel", "Logs", "Silence", "Image"]
    assert found.values == {"B": "6.7"}
    assert found.annotations["note"] == found.text == "x"


@pytest.mark.parametrize("place", ["body", "annotation"])
def test_values_are_read_from_their_text(place: str) -> None:
    text = "[ var='B' labels={host=h1} type='reduce' value=6.7 ], [ metric='m x' labels={} value=null ]"
    fields = {"valueString": text} if place == "body" else {"annotations": {"__value_string__": text}}
    found = event("grafana", alert(**fields))
    assert found.values == {"B": "6.7", "m x": "null"}
    assert "__value_string__" not in found.annotations


def test_a_dashboard_that_is_named_by_its_id_is_a_link() -> None:
    ids = {"__dashboardUid__": "d/1", "__panelId__": "2"}
    found = event("alertmanager", alert(annotations=ids, generatorURL="https://g.example/alerting/grafana/u1/view"))
    assert found.links == (
        Link("Dashboard", "https://g.example/d/d%2F1"), Link("Panel", "https://g.example/d/d%2F1?viewPanel=2"),
    )  # fmt: skip


def test_the_link_that_silences_an_alert_has_its_labels_as_matchers() -> None:
    firing = alert(labels={"alertname": 'a "b"', "pod": "x/1&2", "__private__": "x"})
    (silence,) = event("alertmanager", firing, externalURL="https://am.example/").links
    address, _, matchers = silence.url.partition("?filter=")
    assert (silence.label, address) == ("Silence", "https://am.example/#/silences/new")
    assert unquote(matchers) == r'{alertname="a \"b\"",pod="x/1&2"}'
    assert not set(matchers) & set('{}"&= ')
    over = firing | {"status": "resolved", "endsAt": "2026-11-27T10:05:00Z"}
    assert event("alertmanager", over, externalURL="https://am.example").links == ()


@pytest.mark.parametrize(
    ("annotations", "text"),
    [
        ({"Summary": "s", "DESCRIPTION": "d", "message": "m"}, "s\nd"),
        ({"details": "d", "Message": "m", "title": "t"}, "m"),
        ({"title": "t", "value": "1"}, "t"),
        ({"error": "e", "Value": "1"}, "1"),
        ({"Error": "e", "impact": "i"}, "e"),
        ({"impact": "i", "runbook_url": "https://rb.example", "__orgId__": "1"}, "i"),
        ({"impact": "i", "action": "a"}, "impact: i\naction: a"),
        ({"summary": " ", "runbook": "https://rb.example"}, ""),
    ],
)
def test_the_text_is_the_annotation_that_says_most(annotations: dict[str, str], text: str) -> None:
    assert event("alertmanager", alert(annotations=annotations)).text == text


@pytest.mark.parametrize(
    ("labels", "annotations", "title", "text"),
    [
        (
            {"alertname": "DatasourceError", "rulename": "api_down"}, {"summary": "API is down", "Error": "no host"},
            "Query error: api_down", "no host",
        ),
        (
            {"alertname": "DatasourceNoData", "rulename": "bot_down", "ref_id": "A", "datasource_uid": "prom"},
            {"summary": "Bot is down"},
            "No data: bot_down",
            "Query A of the data source prom returned no data, so the rule could not be evaluated.",
        ),
        (
            {"alertname": "api_down"}, {"summary": "API is down", "grafana_state_reason": "Error"},
            "Query error: api_down", "Query failed, so the rule could not be evaluated.",
        ),
        ({"alertname": "DatasourceError"}, {"Error": "e"}, "Query error", "e"),
        ({"alertname": "TestAlert"}, {"summary": "s"}, "Test notification: TestAlert", "s"),
        ({"alertname": "TestFailed"}, {"summary": "s"}, "TestFailed", "s"),
        ({"instance": "a"}, {"summary": "s\nt"}, "s", "s\nt"),
    ],
)  # fmt: skip
def test_a_title_says_what_kind_of_alert_it_is(
    labels: dict[str, str], annotations: dict[str, str], title: str, text: str
) -> None:
    found = event("grafana", alert(labels=labels, annotations=annotations))
    assert (found.title, found.text) == (title, text)


def test_private_labels_are_left_out() -> None:
    found = event("grafana", alert(labels={"alertname": "a", "__alert_rule_uid__": "u"}))
    assert found.labels == {"alertname": "a"}


def test_an_unknown_word_for_a_severity_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for word in ("Chartreuse", "chartreuse ", "page", ""):
        event("alertmanager", alert(labels={"alertname": "a", "priority": word}))
    assert [record.__dict__["word"] for record in caplog.records] == ["chartreuse"]


def test_a_house_has_its_own_scale() -> None:
    azure = LabelMapping.parse("severities: {Sev0: critical, Sev1: error, Sev2: warning, Sev3: info, Sev4: info}")
    ranks = [
        event("alertmanager", alert(labels={"severity": f"Sev-{number}"}), label_mapping=azure).severity
        for number in range(5)
    ]
    assert ranks == [Severity.CRITICAL, Severity.ERROR, Severity.WARNING, Severity.INFO, Severity.INFO]

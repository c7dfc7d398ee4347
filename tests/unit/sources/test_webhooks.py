"""What Alertmanager and Grafana post becomes one event an alert, the same however often it is sent."""

import json
import re
from typing import Any

import pytest

from worker.domain.event import Entity, Event, Kind, Severity
from worker.sources import WEBHOOKS, Group, Labelled, Unreadable, read

LABELS = {
    "alertname": "DiskFull",
    "severity": "page",
    "resource_id": "r1",
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


def group(name: str, *alerts: object, labelled: Labelled | None = None, **fields: object) -> Group:
    version = {"alertmanager": "4", "grafana": "1"}[name]
    body = {"version": version, "status": "firing", "alerts": list(alerts), "truncatedAlerts": 0} | fields
    return WEBHOOKS[name](body, labelled or Labelled())


def event(name: str, *alerts: object, entry_id: str = "1700000000000-0", **more: Any) -> Event:
    """The first event, as it is read from the stream."""
    found = group(name, *alerts, **more)
    assert found.faults == ()
    return read(json.dumps(found.events[0]).encode(), entry_id)


def refused(name: str, body: dict[str, object]) -> str:
    with pytest.raises(Unreadable) as caught:
        WEBHOOKS[name](body, Labelled())
    return caught.value.detail


@pytest.mark.parametrize("name", WEBHOOKS)
def test_an_alert_tells_everything(name: str) -> None:
    found = event(name, alert())
    assert found == Event(
        id="f1:1795773600123:firing",
        source=name,
        type="io.infrakitchen.alert.firing",
        kind=Kind.ALERT,
        entry_id="1700000000000-0",
        entity=Entity("resource", "r1", "db"),
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
    )


@pytest.mark.parametrize("name", WEBHOOKS)
def test_the_same_alert_sent_again_or_by_another_of_a_pair_is_the_same_event(name: str) -> None:
    again = alert(startsAt="2026-11-27T12:00:00.123+02:00", annotations={"summary": "99 %"}, generatorURL="x")
    assert event(name, alert()).id == event(name, again, externalURL="http://other").id


@pytest.mark.parametrize("name", WEBHOOKS)
def test_an_alert_that_fires_again_is_another_event_of_the_same_thing(name: str) -> None:
    first, second = event(name, alert()), event(name, alert(startsAt="2026-11-27T11:00:00Z"))
    assert first.id != second.id
    assert first.about == second.about


@pytest.mark.parametrize("name", WEBHOOKS)
def test_a_late_firing_is_older_than_the_resolution(name: str) -> None:
    ended = alert(status="resolved", endsAt="2026-11-27T10:05:00Z")
    resolved = event(name, ended, entry_id="1700000000000-0")
    late = event(name, alert(), entry_id="1800000000000-0")
    assert (resolved.status, resolved.about) == ("resolved", late.about)
    assert late.order < resolved.order
    assert event(name, alert(startsAt="2026-11-27T10:06:00Z")).order > resolved.order


def test_an_end_before_the_beginning_is_no_reason_to_stay_open() -> None:
    resolved = event("alertmanager", alert(status="resolved", endsAt="2026-11-27T09:00:00Z"), entry_id="2-0")
    assert resolved.order > event("alertmanager", alert(), entry_id="1-0").order


def test_without_an_end_the_resolution_is_of_now() -> None:
    assert event("alertmanager", alert(status="resolved")).time_s is None


def test_each_alert_of_a_group_is_an_event() -> None:
    found = group(
        "alertmanager", alert(), alert(fingerprint="f2"), alert(status="resolved", fingerprint="f3")
    )
    assert [one["type"] for one in found.events] == [
        "io.infrakitchen.alert.firing", "io.infrakitchen.alert.firing", "io.infrakitchen.alert.resolved",
    ]  # fmt: skip


def test_without_a_fingerprint_the_labels_say_which_alert_it_is() -> None:
    one, same = alert(fingerprint=""), alert(fingerprint="", labels=dict(reversed(LABELS.items())))
    assert event("alertmanager", one).id == event("alertmanager", same).id
    other = alert(fingerprint="", labels={**LABELS, "instance": "b"})
    assert event("alertmanager", one).fingerprint != event("alertmanager", other).fingerprint


def test_organizations_of_grafana_do_not_share_a_card() -> None:
    assert event("grafana", alert(), orgId=1).about == event("grafana", alert()).about
    assert event("grafana", alert(), orgId=2).about != event("grafana", alert(), orgId=1).about


@pytest.mark.parametrize(
    ("written", "severity"),
    [("critical", 3), ("PAGE", 3), ("error", 2), ("warning", 1), ("info", 0), ("none", 0), ("purple", 1)],
)
def test_the_usual_words_for_a_severity_are_known(written: str, severity: int) -> None:
    found = event("alertmanager", alert(labels={"alertname": "a", "severity": written}))
    assert found.severity == severity
    assert event("alertmanager", alert(labels={"alertname": "a"})).severity is Severity.WARNING


def test_the_first_label_that_is_there_counts() -> None:
    labelled = Labelled.of(
        "{severity: [urgency, severity], severities: {Red: critical}, entity_id: [vm_id, x], project: team}"
    )
    found = event(
        "grafana", alert(labels={"urgency": "red", "vm_id": "v1", "team": "shop"}), labelled=labelled
    )
    assert (found.severity, found.project, found.entity) == (Severity.CRITICAL, "shop", Entity("vm", "v1"))


def test_an_entity_has_the_type_its_labels_say() -> None:
    for labels, entity in (
        ({"entity_id": "e", "entity_type": "storage", "entity_name": "s"}, Entity("storage", "e", "s")),
        ({"entity_id": "e"}, Entity("resource", "e")),
        ({"workflow_id": "w"}, Entity("workflow", "w")),
        ({"alertname": "a"}, Entity("alert", "f1", "a")),
    ):
        assert event("alertmanager", alert(labels=labels)).entity == entity


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("severety: [x]", "severety: .*known are severity, "),
        ("severities: {red: bad}", r"severities\.red: "),
        ("[1]", "it: "),
        ("a: [", "no YAML"),
    ],
)
def test_a_wrong_file_of_labels_is_one_line(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as caught:
        Labelled.of(text)
    assert "\n" not in str(caught.value)


def test_an_empty_file_of_labels_means_the_usual_ones() -> None:
    assert Labelled.of("") == Labelled()


@pytest.mark.parametrize("name", WEBHOOKS)
def test_another_version_is_refused_with_what_to_do(name: str) -> None:
    said = refused(name, {"version": "3", "alerts": [alert()]})
    assert said.startswith("version: '3' is not known")
    assert "receiver" in said or "contact point" in said
    assert refused(name, {"alerts": [alert()]}).startswith("version: missing")
    assert refused(name, {"version": "4" if name == "alertmanager" else "1"}).startswith("alerts: missing")


def test_who_posts_to_the_other_path_is_told_so() -> None:
    assert "/webhooks/grafana" in refused("alertmanager", {"version": "1", "orgId": 1, "alerts": [alert()]})
    assert "/webhooks/alertmanager" in refused("grafana", {"version": "4", "alerts": [alert()]})


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (alert(status="pending"), r"alerts\[1\].status: 'pending' is neither firing nor resolved"),
        (alert(status=None), r"alerts\[1\].status: missing: it is either firing or resolved"),
        (alert(labels={}), r"alerts\[1\].labels: missing"),
        (alert(startsAt="soon"), r"alerts\[1\].startsAt: missing, or no RFC 3339 time"),
        (alert(startsAt=NEVER), r"alerts\[1\].startsAt: missing"),
        ("text", r"alerts\[1\].status: missing"),
    ],
)
def test_an_alert_that_lacks_something_is_named_and_the_others_are_told(wrong: object, named: str) -> None:
    found = group("alertmanager", alert(), wrong, alert(fingerprint="f3"))
    assert [one["id"][:2] for one in found.events] == ["f1", "f3"]
    assert len(found.faults) == 1
    assert re.match(named, found.faults[0])


def test_a_group_that_was_cut_says_how_to_get_all_of_it() -> None:
    found = group("alertmanager", alert(), truncatedAlerts=7)
    assert len(found.events) == 1
    assert "left out 7 alerts" in found.faults[0]
    assert "max_alerts: 0" in found.faults[0]


def test_many_faults_are_a_few_and_a_number() -> None:
    found = group("grafana", *["text"] * 25)
    assert (len(found.faults), found.faults[-1]) == (11, "and 15 more")

"""What webhooks of monitoring systems share: a group of alerts becomes CloudEvents, one an alert.

They go into the stream in that form, so what is in the stream needs no setting to be read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import Field

from worker.domain.delivery import digest
from worker.sources.decode import Fields, Unreadable
from worker.sources.labelled import Labelled
from worker.sources.lenient import Lenient, Moment, Text, Texts, rfc3339, text

STATUSES = ("firing", "resolved")
FAULTS_MOST = 10


class MonitoringAlert(Lenient):
    """One alert of a group."""

    status: Text = ""
    labels: Texts = Field(default_factory=dict)
    annotations: Texts = Field(default_factory=dict)
    startsAt: Moment = None  # noqa: N815  # as they write it
    endsAt: Moment = None  # noqa: N815
    generatorURL: Text = ""  # noqa: N815
    fingerprint: Text = ""


@dataclass(frozen=True, slots=True)
class Group:
    """What a webhook brought: an event for each alert that can be read, and what is wrong with the rest."""

    events: tuple[Fields, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class System:
    """A monitoring system: its name, the version of its webhook, and what to do when it sends another."""

    name: str
    version: str
    mend: str
    uncut: str


def read_group(fields: Fields, system: System, event_of: Callable[[MonitoringAlert], Fields]) -> Group:
    """Every alert of a webhook; raises Unreadable when it is none of this system and version."""
    version = text(fields.get("version"))
    if version != system.version:
        found = f"{version!r} is not known" if version else "missing"
        raise Unreadable(f"version: {found}: {system.name} sends {system.version!r}. {system.mend}")
    alerts = fields.get("alerts")
    if not isinstance(alerts, list) or not alerts:
        raise Unreadable(f"alerts: missing or empty: there is nothing to tell. {system.mend}")
    events, faults = [], []
    for place, alert in enumerate(alerts):
        try:
            events.append(event_of(_checked(alert)))
        except Unreadable as error:
            faults.append(f"alerts[{place}].{error}")
    cut = text(fields.get("truncatedAlerts"))
    if cut not in ("", "0"):
        faults.append(f"truncatedAlerts: {system.name} left out {cut} alerts of this group. {system.uncut}")
    return Group(tuple(events), _few(faults))


def cloudevent(source: str, alert: MonitoringAlert, labelled: Labelled, *, url: str = "") -> Fields:
    """An alert as CloudEvent; the same alert in the same state is the same event whoever sends it again.

    Its time is when it began, or once it is resolved when it ended: so a late `firing` reopens nothing.
    """
    began_s = alert.startsAt or 0.0
    resolved = alert.status == "resolved"
    ended_s = max(alert.endsAt or 0.0, began_s) if resolved and (alert.endsAt or 0) > 0 else None
    fingerprint = alert.fingerprint or _fingerprint(alert.labels)
    at_s = ended_s if resolved else began_s
    labels = alert.labels
    return {
        "specversion": "1.0",
        "id": f"{fingerprint}:{round(began_s * 1000)}:{alert.status}",
        "source": source,
        "type": f"io.infrakitchen.alert.{alert.status}",
        **({} if at_s is None else {"time": rfc3339(at_s)}),
        "data": {
            "name": labels.get("alertname", ""),
            "fingerprint": fingerprint,
            "severity": labelled.severity_of(labels),
            "labels": labels,
            "annotations": alert.annotations,
            "starts_at": rfc3339(began_s),
            **({} if ended_s is None else {"ends_at": rfc3339(ended_s)}),
            "generator_url": url or alert.generatorURL,
            "entity": labelled.entity_of(labels),
            "project": labelled.project_of(labels),
        },
    }


def _checked(alert: object) -> MonitoringAlert:
    """What is needed of an alert: its status, its labels and when it began."""
    if not isinstance(alert, dict):
        raise Unreadable("status: missing: an alert is an object")
    found = MonitoringAlert.model_validate(alert)
    if found.status not in STATUSES:
        said = f"{found.status!r} is neither" if found.status else "missing: it is either"
        raise Unreadable(f"status: {said} firing {'nor' if found.status else 'or'} resolved")
    if not found.labels:
        raise Unreadable("labels: missing: they say which alert it is")
    if found.startsAt is None or found.startsAt <= 0:
        raise Unreadable("startsAt: missing, or no RFC 3339 time: it tells one firing from the next")
    return found


def _few(faults: list[str]) -> tuple[str, ...]:
    """The first ones, and how many more there are."""
    more = len(faults) - FAULTS_MOST
    return (*faults[:FAULTS_MOST], *([f"and {more} more"] if more > 0 else []))


def _fingerprint(labels: Mapping[str, str]) -> str:
    """Alerts with the same labels are the same alert; for senders that do not say so."""
    return digest("\0".join(f"{name}={labels[name]}" for name in sorted(labels)))

"""An alert's event: `io.infrakitchen.alert.firing`, `.resolved`."""

from pydantic import Field

from worker.domain.delivery import digest
from worker.domain.event import Entity, Event, Kind, Severity
from worker.sources.decode import Fields
from worker.sources.envelope import Envelope
from worker.sources.lenient import Lenient, Moment, Text, Texts
from worker.sources.wording import one_line


class Alert(Lenient):
    """`data` of an alert's event."""

    name: Text = ""
    fingerprint: Text = ""
    severity: Text = ""
    summary: Text = ""
    description: Text = ""
    labels: Texts = Field(default_factory=dict)
    annotations: Texts = Field(default_factory=dict)
    starts_at: Moment = None
    ends_at: Moment = None
    generator_url: Text = ""
    entity: Texts = Field(default_factory=dict)
    project: Text = ""


def alert_event(envelope: Envelope, data: Fields, what: str) -> Event:
    """`what` is `firing` or `resolved`; what is resolved keeps its severity: the same people hear it."""
    found = Alert.model_validate(data)
    labels = found.labels
    name = found.name or labels.get("alertname", "")
    summary = found.summary or found.annotations.get("summary", "")
    description = found.description or found.annotations.get("description", "")
    severity = found.severity or labels.get("severity", "")
    fingerprint = found.fingerprint or _fingerprint(name, labels) or envelope.subject
    entity = found.entity
    return Event(
        id=envelope.id,
        source=envelope.source,
        type=envelope.type,
        kind=Kind.ALERT,
        entry_id=envelope.entry_id,
        entity=Entity(entity.get("type", ""), entity["id"], entity.get("name", ""))
        if entity.get("id")
        else Entity("alert", fingerprint, name),
        severity=Severity.ranked(severity),
        title=one_line(name or summary or description) or "Alert",
        status=what,
        severity_word=severity,
        text="\n".join(dict.fromkeys(filter(None, (summary, description)))),
        project=found.project,
        url=found.generator_url,
        labels=labels,
        time_s=envelope.time,
        started_at_s=found.starts_at,
        ended_at_s=found.ends_at,
        fingerprint=fingerprint,
    )


def _fingerprint(name: str, labels: dict[str, str]) -> str:
    """As Alertmanager does: alerts with the same labels are the same alert."""
    return (
        digest("\0".join((name, *(f"{key}={labels[key]}" for key in sorted(labels)))))
        if name or labels
        else ""
    )

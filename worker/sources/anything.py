"""An event of a type nobody knows: what is named as elsewhere is used, nothing is dropped."""

from pydantic import Field

from worker.domain.event import Entity, Event, Kind, Severity
from worker.sources.decode import Fields
from worker.sources.envelope import Envelope
from worker.sources.lenient import Lenient, PersonName, Text, Texts, text
from worker.sources.wording import one_line, status_severity


class Anything(Lenient):
    """`data` of a type nobody knows."""

    title: Text = ""
    name: Text = ""
    summary: Text = ""
    message: Text = ""
    description: Text = ""
    severity: Text = ""
    status: Text = ""
    state: Text = ""
    action: Text = ""
    error_message: Text = ""
    requester: PersonName = ""
    creator: PersonName = ""
    project: Text = ""
    labels: Texts = Field(default_factory=dict)
    entity: Texts = Field(default_factory=dict)
    entity_type: Text = ""
    entity_id: Text = ""


def any_event(envelope: Envelope, data: Fields, area: str) -> Event:
    """`area` is what the type says it is about (`storage` of `io.infrakitchen.storage.updated`), or empty."""
    found = Anything.model_validate(data)
    entity_type = found.entity.get("type") or found.entity_type or area
    entity_id = (
        found.entity.get("id") or found.entity_id or text(data.get(f"{entity_type}_id")) or envelope.subject
    )
    words = (found.summary, found.message, found.description)
    return Event(
        id=envelope.id,
        source=envelope.source,
        type=envelope.type,
        kind=Kind.OTHER,
        entry_id=envelope.entry_id,
        entity=Entity(entity_type, entity_id, found.entity.get("name") or found.name),
        severity=Severity.ranked(found.severity) if found.severity else status_severity(found.status),
        title=one_line(found.title) or one_line(envelope.subject) or one_line(envelope.type),
        status=found.status,
        severity_word=found.severity,
        state=found.state,
        action=found.action,
        text="\n".join(dict.fromkeys(filter(None, words))),
        error=found.error_message,
        project=found.project,
        requester=found.requester or found.creator,
        labels=found.labels,
        time_s=envelope.time,
    )

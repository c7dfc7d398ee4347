"""A resource's event: `io.infrakitchen.resource.state_changed`."""

from pydantic import Field

from worker.domain.event import Entity, Event, Kind
from worker.sources.decode import Fields
from worker.sources.envelope import Envelope
from worker.sources.lenient import Lenient, PersonName, Text, Texts
from worker.sources.wording import resource_title, status_severity


class Resource(Lenient):
    """`data` of a resource's event."""

    resource_id: Text = ""
    name: Text = ""
    template: Text = ""
    state: Text = ""
    status: Text = ""
    previous_state: Text = ""
    previous_status: Text = ""
    requester: PersonName = ""
    project: Text = ""
    labels: Texts = Field(default_factory=dict)
    message: Text = ""


def resource_event(envelope: Envelope, data: Fields) -> Event:
    """`previous` is what was different before: `provision, in_progress`."""
    found = Resource.model_validate(data)
    return Event(
        id=envelope.id,
        source=envelope.source,
        type=envelope.type,
        kind=Kind.RESOURCE,
        entry_id=envelope.entry_id,
        entity=Entity("resource", found.resource_id or envelope.subject, found.name),
        severity=status_severity(found.status),
        title=resource_title(found.name or found.resource_id, found.state, found.status),
        status=found.status,
        state=found.state,
        previous=", ".join(filter(None, (found.previous_state, found.previous_status))),
        text=found.message,
        project=found.project,
        requester=found.requester,
        template=found.template,
        labels=found.labels,
        time_s=envelope.time,
    )

"""A workflow's event: `io.infrakitchen.workflow.` and one of the words in `STATUSES`."""

from pydantic import Field

from worker.domain.event import Entity, Event, Kind
from worker.sources.decode import Fields
from worker.sources.envelope import Envelope
from worker.sources.lenient import Lenient, Moment, PersonName, Steps, Text, Texts
from worker.sources.wording import status_severity, workflow_title

STATUSES = {
    "started": "in_progress",
    "step_completed": "in_progress",
    "completed": "done",
    "failed": "error",
    "cancelled": "cancelled",
}
"""The status a type stands for, where the event gives none."""


class Workflow(Lenient):
    """`data` of a workflow's event."""

    workflow_id: Text = ""
    name: Text = ""
    action: Text = ""
    status: Text = ""
    error_message: Text = ""
    steps: Steps = ()
    creator: PersonName = ""
    project: Text = ""
    labels: Texts = Field(default_factory=dict)
    started_at: Moment = None
    completed_at: Moment = None


def workflow_event(envelope: Envelope, data: Fields, what: str) -> Event:
    """`what` is the last word of the type; a failure is an error whatever status comes with it."""
    found = Workflow.model_validate(data)
    status = found.status or STATUSES[what]
    return Event(
        id=envelope.id,
        source=envelope.source,
        type=envelope.type,
        kind=Kind.WORKFLOW,
        entry_id=envelope.entry_id,
        entity=Entity("workflow", found.workflow_id or envelope.subject, found.name),
        severity=status_severity(status, what),
        title=workflow_title(found.name or found.workflow_id, what, found.steps),
        status=status,
        action=found.action,
        error=found.error_message,
        project=found.project,
        requester=found.creator,
        labels=found.labels,
        steps=found.steps,
        time_s=envelope.time,
        started_at_s=found.started_at,
        ended_at_s=found.completed_at,
    )

"""CloudEvents 1.0 in structured JSON: the type says which kind of event, `data` is read leniently.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from worker.domain.event import Event
from worker.sources.alert import alert_event
from worker.sources.anything import any_event
from worker.sources.decode import Fields
from worker.sources.envelope import Envelope
from worker.sources.resource import resource_event
from worker.sources.workflow import workflow_event

PREFIX = "io.infrakitchen."


def read_cloudevent(fields: Fields, entry_id: str) -> Event:
    """A decoded CloudEvent as an Event; raises Unreadable when an attribute it needs is missing or wrong."""
    envelope = Envelope.of(fields, entry_id)
    found = fields.get("data")
    data = found if isinstance(found, dict) else {}
    if not envelope.type.startswith(PREFIX):
        return any_event(envelope, data, "")
    area, _, what = envelope.type.removeprefix(PREFIX).partition(".")
    match area, what:
        case "workflow", "started" | "step_completed" | "completed" | "failed" | "cancelled":
            return workflow_event(envelope, data, what)
        case "resource", "state_changed":
            return resource_event(envelope, data)
        case "alert", "firing" | "resolved":
            return alert_event(envelope, data, what)
        case _:
            return any_event(envelope, data, area)

"""Foreign formats become an `Event` here, one file a format, validated with pydantic at this border.

A new format is a new file and a line in `read`, or in `WEBHOOKS` when it is what a monitoring system posts.
What an event means to people is `domain`'s, not theirs.
"""

from collections.abc import Callable, Mapping

from worker.domain.event import MAX_EVENT_BYTES, Event
from worker.sources.alertmanager import read_alertmanager
from worker.sources.cloudevents import read_cloudevent
from worker.sources.decode import Fields, Unreadable, decode
from worker.sources.grafana import read_grafana
from worker.sources.infrakitchen import read_body
from worker.sources.labelled import Labelled
from worker.sources.webhook import Group

__all__ = ["MAX_EVENT_BYTES", "WEBHOOKS", "Fields", "Group", "Labelled", "Unreadable", "read"]

WEBHOOKS: Mapping[str, Callable[[Fields, Labelled], Group]] = {
    "alertmanager": read_alertmanager,
    "grafana": read_grafana,
}
"""What is posted to `/webhooks/NAME`, as CloudEvents."""


def read(raw: bytes, entry_id: str) -> Event:
    """One entry's `event` field as an Event; raises Unreadable, and nothing else, when it is none."""
    fields = decode(raw)
    if fields.get("specversion") is not None:
        return read_cloudevent(fields, entry_id)
    return read_body(fields, entry_id)

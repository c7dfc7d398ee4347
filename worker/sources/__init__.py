"""Foreign formats become an `Event` here, one file a format, validated with pydantic at this border.

A new format is a new file and a line in `read`. What an event means to people is `domain`'s, not theirs.
"""

from worker.domain.event import MAX_EVENT_BYTES, Event
from worker.sources.cloudevents import read_cloudevent
from worker.sources.decode import Unreadable, decode
from worker.sources.infrakitchen import read_body

__all__ = ["MAX_EVENT_BYTES", "Unreadable", "read"]


def read(raw: bytes, entry_id: str) -> Event:
    """One entry's `event` field as an Event; raises Unreadable, and nothing else, when it is none."""
    fields = decode(raw)
    if fields.get("specversion") is not None:
        return read_cloudevent(fields, entry_id)
    return read_body(fields, entry_id)

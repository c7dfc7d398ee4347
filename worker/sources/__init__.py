"""Parsers of foreign formats: bytes become an `Event`, validated with pydantic, one format a file.

A new format of stream entries is a new file and a line in `parse`; a new webhook is a new file and a line in
`WEBHOOKS`. How an event is shown is decided in `domain` and `rendering`, not here.
"""

from collections.abc import Callable, Mapping

from worker.domain.event import MAX_EVENT_BYTES, Event, EventTooLarge
from worker.sources.alertmanager import parse_alertmanager
from worker.sources.cloudevents import parse_cloudevent
from worker.sources.fields import parse_text
from worker.sources.grafana import parse_grafana
from worker.sources.infrakitchen import mask_secrets, parse_notification, with_metadata
from worker.sources.json_decoder import JsonObject, Unreadable, decode_json, require_object
from worker.sources.monitoring import AlertGroup, LabelMapping

__all__ = [
    "MAX_EVENT_BYTES", "WEBHOOKS", "AlertGroup", "JsonObject", "LabelMapping", "Unreadable", "find_webhook",
    "mask_secrets", "parse", "with_metadata",
]  # fmt: skip

#: Parser of the requests to `/webhooks/NAME`; it takes the name in `?source=` and returns CloudEvents.
WEBHOOKS: Mapping[str, Callable[[JsonObject, LabelMapping, str], AlertGroup]] = {
    "alertmanager": parse_alertmanager,
    "grafana": parse_grafana,
}


def parse(raw: bytes, entry_id: str) -> Event:
    """Make an Event of the `event` field of a stream entry; raise Unreadable, and nothing else, for other bytes."""
    if len(raw) > MAX_EVENT_BYTES:
        raise Unreadable(str(EventTooLarge(len(raw))))
    fields = require_object(decode_json(raw))
    if fields.get("specversion") is not None:
        return parse_cloudevent(fields, entry_id)
    return parse_notification(fields, entry_id)


def find_webhook(body: JsonObject) -> str:
    """Return the name of the webhook that a decoded body belongs to; empty for an event, which has a type."""
    if "specversion" in body or "entity_type" in body:
        return ""
    if "alerts" not in body and not {"receiver", "version"} <= body.keys():
        return ""
    return "grafana" if "orgId" in body or parse_text(body.get("version")) == "1" else "alertmanager"

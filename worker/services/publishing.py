"""Files of events and bodies of webhooks as the stream holds them: what `publish`, `preview` and the webhooks share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worker.domain.delivery import event_ref
from worker.domain.errors import UserError
from worker.publish import encode
from worker.sources import WEBHOOKS, JsonObject, LabelMapping, Unreadable, find_webhook, parse
from worker.sources.fields import format_rfc3339
from worker.store.events import Events

LATE_MS = 60_000
MAX_ROUNDS = 50


@dataclass(slots=True)
class EventFile:
    """The events of a file, in order; every alert of a webhook's body is one."""

    events: list[bytes] = field(default_factory=list)  #: As the stream holds them.
    alerts: dict[int, JsonObject] = field(default_factory=dict)  #: The events that are a webhook's, by their index.
    faults: list[str] = field(default_factory=list)  #: One sentence for each alert that was left out or cut.


def convert_bodies(bodies: Sequence[JsonObject], labels: LabelMapping) -> EventFile:
    """Convert decoded events and webhooks' bodies; raise ValueError that names the first wrong one.

    A wrong alert is left out, as the webhook does, unless its body has no other.
    """
    file = EventFile()
    for number, body in enumerate(bodies, 1):
        name = f"event {number} of {len(bodies)}"
        try:
            if webhook := find_webhook(body):
                faults = _add_alerts(file, webhook, body, labels)
                file.faults += [f"{name}: {fault}" for fault in faults]
            else:
                raw = encode(body)
                parse(raw, "0-0")
                file.events.append(raw)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return file


def _add_alerts(file: EventFile, webhook: str, body: JsonObject, labels: LabelMapping) -> list[str]:
    """Add the alerts of a webhook's body; return what is wrong with others. Raises Unreadable if all are wrong."""
    group = WEBHOOKS[webhook](body, labels, "")
    faults = [fault.text for fault in group.faults]
    if not group.events:
        raise Unreadable("; ".join(faults[:3]))
    for event in group.events:
        file.alerts[len(file.events)] = event
        file.events.append(encode(event))
    return faults


def load_label_mapping(path: Path | None) -> LabelMapping:
    """Return the label mapping in the file of `ALERT_LABELS`; raises UserError when it cannot be used."""
    if path is None:
        return LabelMapping()
    try:
        return LabelMapping.parse(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"ALERT_LABELS: {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise UserError(f"ALERT_LABELS: {path}: {error}. See docs/monitoring.md.") from None


async def encode_with_rounds(events: Events, file: EventFile, now_ms: int) -> list[bytes]:
    """Return the events of a file as the stream holds them, the alerts of webhooks with the ids of their rounds."""
    encoded = list(file.events)
    for index, alert in file.alerts.items():
        encoded[index] = encode(await with_round(events, alert, now_ms))
    return encoded


async def with_round(events: Events, alert: JsonObject, now_ms: int) -> JsonObject:
    """Return an alert with the id of its round: its own id at first, another one after each resolution."""
    source, own_id = str(alert["source"]), str(alert["id"])
    stem, _, status = own_id.rpartition(":")
    suffix = ""
    for _ in range(MAX_ROUNDS):
        resolved_ms = await _accepted_ms(events, source, f"{stem}:resolved{suffix}")
        is_over = resolved_ms and now_ms - resolved_ms > LATE_MS
        next_suffix = f":{resolved_ms}"
        if status == "firing" and not is_over:
            break
        if status == "resolved" and not await _accepted_ms(events, source, f"{stem}:firing{next_suffix}"):
            break
        suffix = next_suffix
    if not suffix:
        return alert
    # The start of a later round is that of the first one, and its end is by another clock: the time of arrival counts.
    return {**alert, "id": f"{own_id}{suffix}", "time": format_rfc3339(now_ms / 1000)}


async def _accepted_ms(events: Events, source: str, event_id: str) -> int:
    """Return when the stream accepted an event; 0 when it did not."""
    stored = await events.body(event_ref(source, event_id))
    return int(stored.entry_id.partition("-")[0]) if stored else 0

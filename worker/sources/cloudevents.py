"""CloudEvents 1.0 in structured JSON: the envelope, and the `data` of each of InfraKitchen's event types.

A new event type is a function that makes the Event and a case in `parse_cloudevent`, and a field of EventData for each
new field. The envelope is checked, `data` is read leniently.
Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

import json
import re
from base64 import b64decode
from codecs import BOM_UTF8
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated

from pydantic import ConfigDict, StringConstraints, ValidationError

from worker.domain.event import Entity, Event, Kind, Severity, Step
from worker.sources.alerts import alert_event, left_out_event, paragraphs, rank_severity
from worker.sources.fields import EventData, Lenient, Text, Timestamp, one_line, parse_text, parse_texts, spell_out
from worker.sources.json_decoder import JsonObject, Unreadable, decode_json, name_json_type

VERSION = "1.0"
PREFIX = "io.infrakitchen."
#: Fields of `data`, one of which must name what an event of InfraKitchen's is about.
WORKFLOW_TOPIC, RESOURCE_TOPIC = ("workflow_id", "name"), ("resource_id", "name")
ALERT_TOPIC = ("name", "summary", "description", "labels", "annotations", "entity", "fingerprint")
OTHER_TOPIC = ("entity_id", "entity", "name", "title", "summary", "message", "description", "error_message")
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)
Name = Annotated[str, StringConstraints(strict=True, min_length=1)]
#: Status of a workflow by the last word of the event's type, used when `data` has none.
WORKFLOW_STATUSES = {
    "started": "in_progress", "step_completed": "in_progress", "completed": "done", "failed": "error",
    "cancelled": "cancelled",
}  # fmt: skip
#: The word for the end of a workflow by its status, which a type such as `step_completed` may not know.
_FINAL_ACTIONS = {"done": "completed", "error": "failed", "failed": "failed", "cancelled": "cancelled"}
FAILED = frozenset({"error", "failed", "failure"})
STATUS_WORDS = {"ready": "approved, not executed yet", "approval_pending": "waits for approval"}
#: By the state of a resource: what is done to it while it has one of these statuses.
_OPERATIONS = {"provision": "provisioning", "provisioned": "update", "destroyed": "destroy"}
_OPERATION_STATUSES = frozenset({*STATUS_WORDS, "pending", "queued", "in_progress", "rejected", "cancelled"})
_ROUTINE = frozenset({
    "pending", "in_progress", "queued", "approval_pending", "started", "step_completed",
    "done", "ready", "enabled", "disabled", "success", "completed", "info", "ok",
})  # fmt: skip


class Envelope(Lenient):
    """The attributes of a CloudEvent that are used."""

    model_config = ConfigDict(hide_input_in_errors=True)

    id: Name
    source: Name
    type: Name
    time: Timestamp = None
    subject: Text = ""
    datacontenttype: Text = ""


def parse_cloudevent(fields: JsonObject, entry_id: str) -> Event:
    """Make an Event of a decoded CloudEvent; raise Unreadable if an attribute or the data does not say what it must."""
    version = parse_text(fields["specversion"])
    if version != VERSION:
        raise Unreadable(f"specversion {version[:20]!r} is not supported: send {VERSION}")
    try:
        envelope = Envelope.model_validate(fields)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        reason = "missing" if fault["type"] == "missing" else "must be a text that is not empty"
        raise Unreadable(f"{fault['loc'][0]}: {reason}") from None
    content = decode_data(fields, envelope)
    raw_data = content if isinstance(content, dict) else {}
    data = EventData.model_validate(raw_data)
    new_event = partial(
        Event, id=envelope.id, source=envelope.source, type=envelope.type, entry_id=entry_id, time_s=envelope.time,
        project=data.project, labels=data.labels, parents=data.parents,
    )  # fmt: skip
    is_own = envelope.type.startswith(PREFIX)
    area, _, action = envelope.type.removeprefix(PREFIX).partition(".") if is_own else ("", "", "")
    match area, action:
        case "workflow", "started" | "step_completed" | "completed" | "failed" | "cancelled":
            _require_topic(content, envelope, WORKFLOW_TOPIC)
            return _workflow_event(new_event, data, envelope.subject, action)
        case "resource", "state_changed":
            _require_topic(content, envelope, RESOURCE_TOPIC)
            return _resource_event(new_event, data, envelope.subject)
        case "alert", "firing" | "resolved":
            _require_topic(content, envelope, ALERT_TOPIC)
            return alert_event(new_event, data, envelope.subject, action)
        case "alert", "left_out":
            _require_topic(content, envelope, ("title",))
            return left_out_event(new_event, data)
        case _:
            if is_own:
                _require_topic(content, envelope, (f"{area}_id", *OTHER_TOPIC))
            return _other_event(new_event, data, content, envelope, area)


def decode_data(fields: JsonObject, envelope: Envelope) -> object:
    """Return the data of a CloudEvent; a text that holds JSON is decoded, unless the content type says otherwise.

    Bytes that are no text become a sentence with their number. Raises Unreadable if `data_base64` is not Base64.
    """
    value, type_ = fields.get("data"), envelope.datacontenttype.partition(";")[0].strip().lower()
    if value is None and isinstance(encoded := fields.get("data_base64"), str):
        try:
            raw = b64decode("".join(encoded.split()), validate=True)
        except ValueError:
            raise Unreadable("data_base64: not Base64") from None
        value = decode_text(raw, envelope.datacontenttype)
        if value is None:
            value = f"{len(raw):,} byte{'s' if len(raw) > 1 else ''} of {type_ or 'an unknown type'}"
    holds_json = not type_ or "json" in type_ or envelope.type.startswith(PREFIX)
    for _ in range(2):  # some senders encode twice
        if holds_json and isinstance(value, str) and value.lstrip()[:1] in tuple('{["'):
            with suppress(Unreadable):
                value = decode_json(value.encode())
    return value


def decode_text(raw: bytes, content_type: str) -> str | None:
    """Return bytes as text, in UTF-8 or the charset of their content type; None if they are no such text."""
    charset = _CHARSET.search(content_type)
    try:
        text = raw.removeprefix(BOM_UTF8).decode(charset[1] if charset else "utf-8")
    except (LookupError, ValueError):
        return None
    return None if "\0" in text else text


def _require_topic(data: object, envelope: Envelope, names: Sequence[str]) -> None:
    """Raise Unreadable unless the data of one of InfraKitchen's events names what the event is about."""
    if not isinstance(data, dict):
        found = "missing" if data is None else f"{name_json_type(data)}, not an object"
        raise Unreadable(f"data: {found}: it names what an event of type {envelope.type} is about")
    values = (value for name in names for value in (parse_text(data.get(name)), *parse_texts(data.get(name)).values()))
    if not (envelope.subject or any(values)):
        raise Unreadable(f"data: one of {', '.join(names)} must name what an event of type {envelope.type} is about")


def _workflow_event(new_event: partial[Event], data: EventData, subject: str, action: str) -> Event:
    """Make the Event of a workflow; `action` is the last word of the type, and `failed` an error at any status."""
    status = data.status or WORKFLOW_STATUSES[action]
    final = _FINAL_ACTIONS.get(status, action)
    return new_event(
        kind=Kind.WORKFLOW, entity=Entity("workflow", data.workflow_id or subject, data.name),
        severity=status_severity(status, action), status=status, action=data.action, error=data.error_message,
        title=workflow_title(data.name or data.workflow_id or subject, final, data.steps),
        requester=data.person.name, requester_email=data.person.email, steps=data.steps,
        started_at_s=data.started_at, ended_at_s=data.completed_at,
    )  # fmt: skip


def _resource_event(new_event: partial[Event], data: EventData, subject: str) -> Event:
    return new_event(
        kind=Kind.RESOURCE, entity=Entity("resource", data.resource_id or subject, data.name),
        severity=status_severity(data.status), status=data.status, state=data.state,
        title=resource_title(data.name or data.resource_id or subject, data.state, data.status),
        action=data.action or resource_action(data.state, data.status),
        previous=", ".join(filter(None, (data.previous_state, data.previous_status))),
        text=data.message, requester=data.person.name, requester_email=data.person.email, template=data.template,
    )  # fmt: skip


def _other_event(new_event: partial[Event], data: EventData, content: object, envelope: Envelope, area: str) -> Event:
    """Make the Event of an unknown type, of any `content`; `area` is `storage` of `io.infrakitchen.storage.updated`."""
    raw_data = content if isinstance(content, dict) else {}
    type_ = data.entity.get("type") or data.entity_type or area
    id_ = data.entity.get("id") or data.entity_id or parse_text(raw_data.get(f"{type_}_id")) or envelope.subject
    return new_event(
        kind=Kind.OTHER, entity=Entity(type_, id_, data.entity.get("name") or data.name),
        severity=rank_severity(data.severity) if data.severity else status_severity(data.status),
        title=one_line(data.title) or one_line(envelope.subject) or one_line(envelope.type),
        status=data.status, severity_word=data.severity, state=data.state, action=data.action,
        text=paragraphs(data.summary, data.message, data.description, _show_value(content)),
        error=data.error_message, requester=data.person.name, requester_email=data.person.email, provider=data.provider,
    )  # fmt: skip


def _show_value(value: object) -> str:
    """Return a JSON value that is no object as text."""
    if not isinstance(value, list):
        return parse_text(value)
    if any(isinstance(item, dict | list) for item in value):
        return json.dumps(value, ensure_ascii=False)
    return ", ".join(filter(None, map(parse_text, value)))


def status_severity(*statuses: str) -> Severity:
    """Return the severity of the worst status: an unknown word is a warning, an empty one is information."""
    words = {status.strip().lower() for status in statuses} - {""}
    if words & FAILED:
        return Severity.ERROR
    return Severity.INFO if words <= _ROUTINE else Severity.WARNING


def workflow_title(name: str, action: str, steps: Sequence[Step]) -> str:
    """Return a title such as `Workflow deploy-prod failed`; `action` is the last word of the event's type."""
    subject = one_line(f"Workflow {name}")
    if action == "step_completed":
        if not steps:
            return f"{subject} completed a step"
        done = sum(step.status == "done" for step in steps)
        return f"{subject}: {done} of {len(steps)} steps done"
    return f"{subject} {'was cancelled' if action == 'cancelled' else action}"


def resource_action(state: str, status: str) -> str:
    """Return the action that brought a resource into a state; empty where several could have."""
    return "reject" if status == "rejected" else "destroy" if state in {"destroy", "destroyed"} else ""


def resource_title(name: str, state: str, status: str) -> str:
    """Return a title such as `Resource db-main is provisioned` or `Resource db-main: destroy in progress`.

    What runs in the state `provisioned` is an update. `ready` means approved, not executed yet.
    """
    subject = one_line(f"Resource {name}")
    if state in {"provisioned", "destroyed"} and status in {"", "done"}:
        return f"{subject} is {state}"
    if status in FAILED:
        failed = {"provision": " to provision", "destroy": " to be destroyed"}.get(state, "")
        return f"{subject} failed{failed}"
    operations = _OPERATIONS if status in _OPERATION_STATUSES else {}
    words = one_line(f"{operations.get(state, spell_out(state))} {STATUS_WORDS.get(status, spell_out(status))}")
    return f"{subject}: {words}" if words else f"{subject} changed"

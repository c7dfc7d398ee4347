"""Translator: a message of InfraKitchen's RabbitMQ becomes an event of the stream without its id, or nothing.

Only the fields that are named here leave RabbitMQ: the variables, outputs and configurations of an entity stay there.
An entity event reports a state; a notification reports the reason of a failure, or a state that an entity event should
report too. Which of them is published, and when, is decided in `store/scripts/bridge_take.lua`.
"""

import json
from collections.abc import Mapping
from hashlib import sha256

from worker.domain.event import DRY_RUN, Entity, Event, Kind
from worker.domain.mrkdwn import cut
from worker.sources.cloudevents import FAILED, PREFIX, STATUS_WORDS, VERSION
from worker.sources.fields import one_line, parse_ids, parse_labels, parse_text, spell_out
from worker.sources.infrakitchen import SOURCE, mask_secrets, parse_notification, read_action
from worker.sources.json_decoder import JsonObject, Unreadable, decode_json, require_object
from worker.store.bridge import BridgeMessage, MessageKind, Phase

TEXT_LIMIT, REASON_LIMIT = 300, 20_000
STEP_LIMIT, STEP_ERROR_LIMIT = 100, 1_000
LABEL_LIMIT, PARENT_LIMIT = 50, 200
SHORT_ID = 8  # of an id that stands for a name
SHOWN_STEPS = 3  # names in the name of a workflow
#: The fields that name an entity, in the order of preference: a source code and its versions have no name.
_NAMES = ("name", "identifier")
_FIELDS = ("event_type", "entity_type", "entity_id", "title", "message", "status")
_METADATA = ("entity_name", "name", "state", "project", "template")
_FINISHED = frozenset({"done", "enabled", "disabled", "rejected", "cancelled"})
_WORKFLOW_TYPES = {"done": "completed", "error": "failed", "cancelled": "cancelled"}
_ACTIONS_OF_STATE = frozenset({"create", "update", "execute", "edit", "retry", ""})
#: Not of `sync`: its request repeats the state that the entity had before.
_DONE_WORDS = {
    "create": "created", "update": "updated", "edit": "updated", "execute": "run finished", "delete": "deleted",
    "destroy": "destroyed", "enable": "enabled", "disable": "disabled",
}  # fmt: skip


def translate(raw: bytes) -> BridgeMessage | None:
    """Translate the body of a message; None where it is no news.

    No news are InfraKitchen's reload signals and log lines, the entity event that repeats a state because a dry run was
    requested, and that the task of a workflow ended: InfraKitchen reports success even where a step failed, and the
    entity event reports the truth. Raises Unreadable for what InfraKitchen does not send.
    """
    fields = require_object(decode_json(raw))
    if _text(fields, "_entity_name") and _text(fields, "id"):
        return _translate_entity(fields, _hash(raw))
    if _text(fields, "entity_type") and _text(fields, "title"):
        return _translate_notification(fields, _hash(raw))
    if fields.keys() == {"_metadata"} or _text(fields.get("_metadata"), "_message_type") == "log":
        return None
    raise Unreadable("neither an entity event nor a notification of InfraKitchen")


def pass_on(raw: bytes) -> BridgeMessage:
    """Return the message that publishes a body as it is, its secrets masked; ingest makes it a dead letter."""
    return BridgeMessage(
        body_hash=_hash(raw), kind=MessageKind.UNREADABLE, entity=Entity("", ""), event=mask_secrets(raw)
    )


def _translate_entity(fields: JsonObject, body_hash: str) -> BridgeMessage | None:
    type_, id_ = _text(fields, "_entity_name"), _text(fields, "id")
    status, state = _text(fields, "status"), _text(fields, "state")
    action = read_action(_text(fields.get("_metadata"), "event"))
    if action == DRY_RUN:
        return None
    person, labels = _person(fields.get("creator")), _labels(fields.get("labels"))
    common: dict[str, object] = {
        "status": status, "project": _name_of(fields.get("project")), "labels": labels, "parents": _parents(fields),
    }  # fmt: skip
    reason, field = parse_text(fields.get("error_message")), "error_message"
    match type_:
        case "workflow":
            steps = _steps(fields.get("steps"))
            action = _text(fields, "action") or action
            name = _workflow_name(action, steps)
            last_word = _WORKFLOW_TYPES.get(status) or (
                "step_completed" if any(step.get("status") == "done" for step in steps) else "started"
            )
            reason = reason or next((text for step in steps if (text := str(step.get("error_message", "")))), "")
            data = {
                "workflow_id": id_, "name": name, "action": action, "steps": steps, "creator": person, **common,
                "started_at": _text(fields, "started_at"), "completed_at": _text(fields, "completed_at"),
            }  # fmt: skip
            event_type = f"workflow.{last_word}"
        case "resource":
            if action in _ACTIONS_OF_STATE:
                action = "destroy" if state in ("destroy", "destroyed") else action
            name, field = _name_of(fields), "message"
            data = {
                "resource_id": id_, "name": name, "template": _name_of(fields.get("template")), "state": state,
                "action": action, "requester": person, **common,
            }  # fmt: skip
            event_type = "resource.state_changed"
        case _:
            name = _name_of(fields)
            data = {
                "entity": {"type": type_, "id": id_, "name": name}, "entity_id": id_, "name": name,
                "title": _title(type_, name or id_[:SHORT_ID], action, state, status), "state": state,
                "action": action, "requester": person, **common, "provider": _text(fields, "integration_provider"),
            }  # fmt: skip
            event_type = f"{type_}.state_changed"
    data = {key: value for key, value in data.items() if value not in ("", {}, [])}
    event = {"specversion": VERSION, "source": SOURCE, "type": PREFIX + event_type, "data": data}
    known = {"entity_name": name, "state": state, "requester": person, "template": data.get("template"), **common}
    del known["status"]
    return BridgeMessage(
        body_hash=body_hash,
        kind=MessageKind.STATE if type_ in ("workflow", "resource") else MessageKind.STATUS,
        entity=Entity(type_, id_),
        event=_json(event),
        reason=_reason(reason) if status in FAILED else "",
        field=field,
        state=f",{state}|{status},",
        phase=Phase.FAILED if status in FAILED else Phase.FINISHED if status in _FINISHED else Phase.OPEN,
        metadata=_json({key: value for key, value in known.items() if value}),
    )


def _translate_notification(fields: JsonObject, body_hash: str) -> BridgeMessage | None:
    event = parse_notification(fields, "0-1")
    kind = _kind_of(event, parse_text(fields.get("event_type")))
    if kind is None:
        return None
    given = fields.get("metadata")
    metadata: dict[str, object] = {}
    if isinstance(given, dict):
        metadata = {key: text for key in _METADATA if (text := _text(given, key))}
        metadata |= {"requester": _person(given.get("requester") or given.get("creator"))}
        metadata |= {"labels": _labels(given.get("labels"))}
    body = {key: parse_text(fields.get(key)) for key in _FIELDS}
    body |= {"message": cut(body["message"], REASON_LIMIT), "title": cut(body["title"], TEXT_LIMIT * 2)}
    reason = "\n\n".join(filter(None, (event.error, event.text))) or body["title"]
    return BridgeMessage(
        body_hash=body_hash,
        kind=kind,
        entity=Entity(event.entity.type, event.entity.id),
        event=_json(body),
        reason=_reason(reason) if kind is MessageKind.ERROR else "",
        state=f",{event.state}|{event.status}," if kind is MessageKind.CHANGE and event.state else f"|{event.status},",
        metadata=_json(metadata) if metadata else "",
    )


def _kind_of(event: Event, event_type: str) -> MessageKind | None:
    """Return what a notification reports; None for the end of a workflow's task."""
    has_entity_events = event.entity.id and event.kind is not Kind.ALERT
    if event.action == DRY_RUN or not has_entity_events:
        return MessageKind.OTHER
    if event_type != "execute":
        return MessageKind.CHANGE if event.state else MessageKind.OTHER
    if event.status == "error":
        return MessageKind.ERROR
    if event.kind is Kind.WORKFLOW:
        return None
    return MessageKind.CHANGE if event.status == "ready" else MessageKind.SUCCESS


def _steps(value: object) -> list[dict[str, object]]:
    """Return the steps of a workflow, each named after its resource and its template."""
    steps: list[dict[str, object]] = []
    for step in (value if isinstance(value, list) else ())[:STEP_LIMIT]:
        resource, template = _name_of(_part(step, "resource")), _name_of(_part(step, "template"))
        resource_id = _text(step, "resource_id")
        error = _text(step, "error_message", STEP_ERROR_LIMIT)
        texts = {
            "name": f"{resource} ({template})" if resource and template else resource or template,
            "template": template, "status": _text(step, "status"), "resource_id": resource_id,
            "error_message": error.replace(resource_id, resource) if resource and resource_id else error,
        }  # fmt: skip
        position = _part(step, "position")
        steps.append({"position": position} if isinstance(position, int) else {})
        steps[-1] |= {key: text for key, text in texts.items() if text}
    return steps


def _parents(fields: JsonObject) -> list[str]:
    """Return the ids of the entities that one belongs to; a workflow belongs to the resources of its steps."""
    ids = [_text(fields, "project_id"), _text(_part(fields, "source_code"), "id"), *parse_ids(fields.get("parents"))]
    steps = fields.get("steps")
    for step in (steps if isinstance(steps, list) else ())[:STEP_LIMIT]:
        ids += _text(step, "resource_id"), *parse_ids(_part(step, "parent_resource_ids"))
    return list(dict.fromkeys(cut(id_, TEXT_LIMIT) for id_ in ids if id_))[:PARENT_LIMIT]


def _workflow_name(action: str, steps: list[dict[str, object]]) -> str:
    """Return a name such as `Create AWS VPC, AWS Redis`: InfraKitchen gives workflows none."""
    names = list(dict.fromkeys(str(step.get("template") or step.get("name") or "") for step in steps))
    names = [name for name in names if name]
    more = f" and {len(names) - SHOWN_STEPS} more" if len(names) > SHOWN_STEPS else ""
    return one_line(f"{action[:1].upper()}{action[1:]} {', '.join(names[:SHOWN_STEPS])}{more}") if names else ""


def _title(type_: str, name: str, action: str, state: str, status: str) -> str:
    """Return a title such as `Executor nightly-backup: run finished`."""
    subject = one_line(f"{spell_out(type_).capitalize()} {name}")
    if status in FAILED:
        return f"{subject}: {spell_out(action)} failed" if action else f"{subject} failed"
    words = STATUS_WORDS.get(status) or spell_out(status)
    if status in ("done", "enabled", "disabled"):
        words = "destroyed" if state == "destroyed" else _DONE_WORDS.get(action, words)
    return f"{subject}: {words}" if words else f"{subject} changed"


def _person(value: object) -> dict[str, str]:
    identifier = _text(value, "email") or _text(value, "identifier")
    name = _text(value, "display_name") or _text(value, "name") or identifier
    person = {"name": name, "email": identifier if "@" in identifier else ""}
    return {key: text for key, text in person.items() if text}


def _labels(value: object) -> dict[str, str]:
    labels = list(parse_labels(value).items())[:LABEL_LIMIT]
    return {cut(key, TEXT_LIMIT): cut(text, TEXT_LIMIT) for key, text in labels if key}


def _name_of(value: object) -> str:
    """Return the name of an entity or of a part of one, which may be a plain text."""
    return cut(parse_text(value), TEXT_LIMIT) or next((text for key in _NAMES if (text := _text(value, key))), "")


def _part(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, Mapping) else None


def _text(value: object, key: str, limit: int = TEXT_LIMIT) -> str:
    return cut(parse_text(_part(value, key)).strip(), limit)


def _reason(text: str) -> str:
    return _json(cut(text, REASON_LIMIT)) if text else ""


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _hash(raw: bytes) -> str:
    return sha256(raw).hexdigest()[:32]

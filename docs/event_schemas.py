"""The formats of events as files, made from the program: JSON Schemas, an AsyncAPI and an OpenAPI document."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from config.settings import Settings
from worker.domain.event import MAX_EVENT_BYTES
from worker.sources import WEBHOOKS, cloudevents, fields
from worker.web.app import routes

HERE = Path(__file__).parent
Schema = dict[str, Any]

SCALAR = {"type": ["string", "number", "boolean", "null"]}
TEXT = {"type": ["string", "null"]}
TIME = {"type": ["string", "null"], "format": "date-time"}
TEXTS = {"type": ["object", "null"], "additionalProperties": SCALAR}


def table(*names: str) -> Schema:
    """Return the schema of an object that may have these texts."""
    return {"type": "object", "properties": dict.fromkeys(names, TEXT)}


#: The JSON that each parser of `worker/sources/fields.py` reads completely.
TYPES: dict[Callable[[object], object], Schema] = {
    fields.parse_text: TEXT,
    fields.parse_texts: TEXTS,
    fields.parse_labels: {"anyOf": [TEXTS, {"type": "array", "items": {"type": "string"}}]},
    fields.parse_time: TIME,
    fields.parse_person: {"anyOf": [table("name", "email"), TEXT]},
    fields.parse_ids: {"type": "array", "items": {"type": "string"}},
    fields.parse_links: {"type": "array", "items": table("label", "url")},
    fields.parse_steps: {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                **dict.fromkeys(("name", "status", "error_message", "resource_id"), TEXT),
                "position": {"type": "integer", "minimum": 0},
            },
        },
    },
}

#: Words that are known; any other is shown as written.
WORDS = {
    ("workflow", "status"): ["pending", "in_progress", "done", "error", "cancelled"],
    ("workflow", "action"): ["create", "destroy"],
    ("resource", "state"): ["provision", "provisioned", "destroy", "destroyed"],
    ("resource", "status"): [
        "queued", "in_progress", "done", "error", "cancelled", "unknown", "approval_pending", "pending", "rejected",
        "ready", "enabled", "disabled",
    ],
    ("alert", "severity"): ["critical", "error", "warning", "info"],
}  # fmt: skip

DATA = {
    "workflow": (
        "workflow_id name action status error_message steps creator project labels parents started_at completed_at"
    ),
    "resource": (
        "resource_id name template state status previous_state previous_status requester project labels parents message"
        " action"
    ),
    "alert": (
        "name fingerprint severity summary description labels annotations starts_at ends_at generator_url links values"
        " entity project"
    ),
}
ACTIONS: dict[str, Iterable[str]] = {
    "workflow": cloudevents.WORKFLOW_STATUSES,
    "resource": ("state_changed",),
    "alert": ("firing", "resolved"),
}
#: Texts of `data`, one of which names what an event is about; `subject` can name it instead.
TOPICS = {
    "workflow": cloudevents.WORKFLOW_TOPIC,
    "resource": cloudevents.RESOURCE_TOPIC,
    "alert": [name for name in cloudevents.ALERT_TOPIC if fields.EventData.model_fields[name].annotation is str],
}
NAMED = {"type": "string", "pattern": r"[^\W_]"}


def field_schema(kind: str, name: str) -> Schema:
    """Return the schema of a field of `data`, by the parser that reads it."""
    (annotation,) = (part for part in fields.EventData.model_fields[name].metadata if hasattr(part, "func"))
    schema = TYPES[annotation.func]
    words = WORDS.get((kind, name))
    return {**schema, "examples": words, "description": "Another word is shown as written."} if words else schema


def envelope(types: list[str] | None) -> Schema:
    """Return the attributes of a CloudEvent of these types; of any type, if there are none."""
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", *(["data"] if types else [])],
        "properties": {
            "specversion": {"const": cloudevents.VERSION},
            "id": {"type": "string", "minLength": 1, "description": "The same id of the same source is one event."},
            "source": {"type": "string", "minLength": 1},
            "type": {"enum": types} if types else {"type": "string", "minLength": 1},
            "time": {"type": "string", "format": "date-time"},
            "subject": {"type": "string"},
            "datacontenttype": {"type": "string"},
            "data": {},
        },
    }


def own_event(kind: str) -> Schema:
    """Return the schema of the events of one kind that InfraKitchen defines."""
    schema = envelope([f"{cloudevents.PREFIX}{kind}.{action}" for action in ACTIONS[kind]])
    schema["properties"]["data"] = {
        "type": "object",
        "properties": {name: field_schema(kind, name) for name in DATA[kind].split()},
    }
    schema["properties"]["datacontenttype"] = {"const": "application/json"}
    named: list[Schema] = [
        {"properties": {"data": {"required": [name], "properties": {name: NAMED}}}} for name in TOPICS[kind]
    ]
    schema["anyOf"] = [*named, {"required": ["subject"], "properties": {"subject": NAMED}}]
    return {"title": f"{kind.capitalize()} event", **schema}


def notification() -> Schema:
    """Return the schema of the body that InfraKitchen makes for its own notifications."""
    names = ("event_type", "entity_id", "title", "message", "status")
    return {
        "title": "InfraKitchen's notification body",
        "type": "object",
        "required": ["entity_type"],
        "properties": {
            "entity_type": {**NAMED, "examples": ["workflow", "resource", "source_code", "storage", "workspace"]},
            **dict.fromkeys(names, TEXT),
            "event_type": {**TEXT, "examples": ["update", "execute"]},
            "metadata": {"type": ["object", "null"]},
            "_metadata": {"type": "object"},
        },
        "not": {"required": ["specversion"]},
    }


def webhook(name: str) -> Schema:
    """Return the schema of a webhook's body, as the OpenAPI document has it."""
    operation = routes().openapi()["paths"][f"/webhooks/{name}"]["post"]
    return {
        "title": f"Webhook of {name.capitalize()}",
        **operation["requestBody"]["content"]["application/json"]["schema"],
    }


EVENTS = {
    **{kind: own_event(kind) for kind in DATA},
    "other": {"title": "CloudEvent of any other type", **envelope(None)},
    "notification": notification(),
}
SCHEMAS = {**EVENTS, **{name: webhook(name) for name in WEBHOOKS}}


def asyncapi() -> Schema:
    """Return the AsyncAPI document of the stream."""
    messages = {
        name: {
            "title": schema["title"],
            "contentType": "application/json" if name == "notification" else "application/cloudevents+json",
            "payload": {"schemaFormat": "application/schema+json;version=draft-07", "schema": {"$ref": f"{name}.json"}},
            "examples": [{"payload": json.loads((HERE / "schemas" / "examples" / f"{name}.json").read_text())}],
        }
        for name, schema in EVENTS.items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of infrakitchen-slack",
            "version": routes().version,
            "description": "Producers append one entry for each event: XADD infrakitchen:events * event '<json>'.",
            "license": {"name": "Apache-2.0"},
        },
        "channels": {
            "events": {
                "address": Settings.model_fields["events_stream"].default,
                "description": f"A Redis stream. The field `event` of an entry has at most {MAX_EVENT_BYTES} bytes.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {"ingest": {"action": "receive", "channel": {"$ref": "#/channels/events"}}},
        "components": {"messages": messages},
    }


def as_file(document: Schema) -> str:
    """Return a document as the text of its file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def schema_file(name: str) -> str:
    """Return the file of a schema."""
    return as_file({"$schema": "http://json-schema.org/draft-07/schema#", **SCHEMAS[name]})


FILES: dict[str, Callable[[], str]] = {
    **{f"schemas/{name}.json": lambda name=name: schema_file(name) for name in SCHEMAS},  # type: ignore[misc]
    "schemas/asyncapi.json": lambda: as_file(asyncapi()),
    "schemas/openapi.json": lambda: as_file(routes().openapi()),
}

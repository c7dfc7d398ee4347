"""Messages as InfraKitchen's server publishes them to RabbitMQ."""

import json
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[1] / "samples" / "infrakitchen"
WORKFLOW_ID, RESOURCE_ID = "e1f9be9b-c8b4-5b97-b637-bd2a11473205", "b385e4b6-7c73-5042-ae27-639965ab6eec"


def entity(sample: str, **changes: Any) -> bytes:
    """Return the sample of an entity event, with other values of some fields."""
    (path,) = (SAMPLES / "entities").glob(f"{sample}*.json")
    return json.dumps({**json.loads(path.read_bytes()), **changes}).encode()


def notification(sample: str, **changes: Any) -> bytes:
    """Return the sample of a notification, with other values of some fields."""
    (path,) = (SAMPLES / "notifications").glob(f"{sample}*.json")
    return json.dumps({**json.loads(path.read_bytes()), **changes}).encode()


def resource(state: str, status: str, event: str = "execute", **changes: Any) -> bytes:
    """Return the entity event of a resource in a state."""
    return entity("b12", state=state, status=status, _metadata={"event": event}, **changes)


def task(
    outcome: str, task: str = "execute", reason: str = "", type_: str = "resource", id_: str = RESOURCE_ID
) -> bytes:
    """Return the notification that a task `succeeded`, `failed` or `timed out`."""
    words = type_.replace("_", " ").capitalize()
    is_success = outcome == "succeeded"
    message = (
        f"Task {task} for {type_} completed successfully." if is_success else f"Task {task} failed for {id_}: {reason}"
    )
    return json.dumps({
        "event_type": "execute", "entity_type": type_, "entity_id": id_, "title": f"{words} {task} {outcome}",
        "message": message, "status": "success" if is_success else "error", "metadata": None,
        "_metadata": {"_message_type": "event", "_routing_key": "notification_event_router"},
    }).encode()  # fmt: skip


def change(action: str, state: str, status: str, name: str = "aws-redis demo", id_: str = RESOURCE_ID) -> bytes:
    """Return the notification that a resource was changed."""
    return json.dumps({
        "event_type": "update", "entity_type": "resource", "entity_id": id_, "title": f"Resource {name}",
        "message": f"Resource {name} status has been changed ({action})\nNew status: {status}, new state: {state}",
        "status": "info" if action == "UPDATE" else "warning", "metadata": None,
        "_metadata": {"_message_type": "event", "_routing_key": "notification_event_router"},
    }).encode()  # fmt: skip


def secret_values() -> set[str]:
    """Return every value of the entity samples that must not leave RabbitMQ."""
    values: set[str] = set()

    def collect(value: object, *, is_secret: bool) -> None:
        match value:
            case dict():
                for key, item in value.items():
                    inner = is_secret or key in ("variables", "outputs", "resolved_variables", "configuration")
                    if not (is_secret and key in ("name", "type", "sensitive", "description")):
                        collect(item, is_secret=inner)
            case list():
                for item in value:
                    collect(item, is_secret=is_secret)
            case str() if is_secret and value:
                values.add(value)

    for path in (SAMPLES / "entities").glob("*.json"):
        collect(json.loads(path.read_bytes()), is_secret=False)
    return values

"""Events as InfraKitchen publishes them, and the marks by which messages show them."""

import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from worker.domain.delivery import event_ref

UNREADABLE_EVENT = '{"specversion": '
MARK = re.compile(r"evt-\d+")
_ids = itertools.count(1)


def cloud_event(kind: str, id_: str, data: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    """Return a CloudEvent of a type such as `alert.firing`; without an id it gets one of its own."""
    return {
        "specversion": "1.0",
        "id": id_ or f"event-{next(_ids)}",
        "source": "/ik",
        "type": f"io.infrakitchen.{kind}",
        "data": data,
        **attributes,
    }


def alert(
    name: str = "disk full", *, id_: str = "", severity: str = "critical", what: str = "firing", **data: Any
) -> dict[str, Any]:
    """Return an alert that is firing or resolved."""
    return cloud_event(f"alert.{what}", id_, {"name": name, "severity": severity, **data})


def workflow(run: str = "17", what: str = "started", *, id_: str = "", **data: Any) -> dict[str, Any]:
    """Return an event of a workflow run."""
    return cloud_event(f"workflow.{what}", id_, {"workflow_id": run, "name": "deploy", **data})


def failed_workflow(id_: str = "deploy-1", *, source: str = "/ik", **data: Any) -> str:
    """Return the JSON of a failed workflow run."""
    details = {"workflow_id": id_, "name": f"run {id_}", "status": "error", "project": "shop", **data}
    return json.dumps(cloud_event("workflow.failed", id_, details, source=source))


def numbered_alert(number: int, project: str = "ops", **data: object) -> dict[str, Any]:
    """Return an alert with a fingerprint of its own; its mark in messages is `evt-<number>`."""
    details = {"name": f"evt-{number}", "fingerprint": f"f{number}", "severity": "error", "project": project}
    return cloud_event("alert.firing", f"evt-{number}", {**details, **data}, source="/tests")


def own_notification(number: int, **fields: object) -> dict[str, object]:
    """Return a notification in InfraKitchen's own format."""
    return {
        "event_type": "update",
        "entity_type": "workflow",
        "entity_id": f"w{number}",
        "title": f"Workflow evt-{number}",
        "message": "all steps done",
        "status": "success",
        "metadata": None,
        **fields,
    }


def marks(*numbers: int) -> list[str]:
    """Return the marks of numbered alerts."""
    return [f"evt-{number}" for number in numbers]


def marks_in(message: Mapping[str, Any]) -> list[str]:
    """Return the marks that a message shows, in order, each once."""
    shown = json.dumps([message.get("blocks"), message.get("attachments")])
    return list(dict.fromkeys(MARK.findall(shown)))


def ref_of_mark(mark: str) -> str:
    """Return the store's reference of the event with this mark."""
    return event_ref("/tests", mark)

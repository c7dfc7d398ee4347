"""InfraKitchen's own notification body, as its server publishes it today."""

import re

from pydantic import Field

from worker.domain.event import Entity, Event, Kind, Severity
from worker.sources.decode import Fields, Unreadable
from worker.sources.lenient import Lenient, PersonName, Text, Texts
from worker.sources.wording import one_line, spoken

SOURCE = "infrakitchen"
_SEVERITIES = {"error": Severity.ERROR, "warning": Severity.WARNING}
_KINDS = {"workflow": Kind.WORKFLOW, "resource": Kind.RESOURCE, "alert": Kind.ALERT}
_QUOTED = re.compile(r"""(?:^|\s)(["'`])(?P<name>[^"'`]{1,200})\1""")


class Body(Lenient):
    """What the server sends; `_metadata` belongs to its transport."""

    event_type: Text = ""
    entity_type: Text = ""
    entity_id: Text = ""
    title: Text = ""
    message: Text = ""
    status: Text = ""


class Metadata(Lenient):
    """What `metadata` may say beside."""

    name: Text = ""
    entity_name: Text = ""
    state: Text = ""
    template: Text = ""
    error_message: Text = ""
    requester: PersonName = ""
    creator: PersonName = ""
    project: Text = ""
    labels: Texts = Field(default_factory=dict)


def read_body(fields: Fields, entry_id: str) -> Event:
    """A decoded body as an Event, which is named by its stream entry; raises Unreadable when it is none."""
    body = Body.model_validate(fields)
    if not body.entity_type:
        raise Unreadable(
            "neither a CloudEvent (specversion: missing) nor InfraKitchen's own (entity_type: missing)"
        )
    found = fields.get("metadata")
    about = Metadata.model_validate(found if isinstance(found, dict) else {})
    kind = _KINDS.get(body.entity_type.lower(), Kind.OTHER)
    return Event(
        id=entry_id,
        source=SOURCE,
        type=f"{body.entity_type}.{body.event_type}".rstrip("."),
        kind=kind,
        entry_id=entry_id,
        entity=Entity(
            body.entity_type, body.entity_id, about.entity_name or about.name or _quoted(body.title)
        ),
        severity=_SEVERITIES.get(body.status.lower(), Severity.INFO),
        title=one_line(body.title) or one_line(spoken(f"{body.entity_type} {body.event_type}")).capitalize(),
        status=body.status,
        severity_word=body.status,
        state=about.state,
        action=body.event_type,
        text=body.message,
        error=about.error_message,
        project=about.project,
        requester=about.requester or about.creator,
        template=about.template,
        labels=about.labels,
        fingerprint=body.entity_id if kind is Kind.ALERT else "",
    )


def _quoted(title: str) -> str:
    """The name in a title such as `Resource 'db-main' was created`."""
    match = _QUOTED.search(title)
    return match["name"] if match else ""

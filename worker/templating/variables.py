"""Variables of templates, as in the table of `docs/templates.md`."""

from collections.abc import Mapping

from worker.domain.event import Event
from worker.domain.mrkdwn import clean, cut_middle
from worker.domain.presentation import appearance

TEXT_MAX = 3_000
STEPS_MAX = LABELS_MAX = 100  # annotations and values have the limit of labels

#: Each is a variable, and an attribute of the variable `event`.
FIELDS = (
    "kind", "id", "type", "title", "text", "error", "status", "state", "previous", "action", "severity", "sign",
    "entity_type", "entity_id", "entity_name", "project", "requester", "template", "labels", "steps", "at",
    "started_at", "ended_at", "duration", "annotations", "values", "links",
)  # fmt: skip
NAMES = frozenset((*FIELDS, "event", "msg", "url", "infrakitchen_url"))
_TEXTS = (
    "id", "type", "title", "text", "error", "status", "state", "previous", "action", "project", "requester", "template",
)  # fmt: skip


def variables_of(event: Event, url: str, infrakitchen_url: str) -> dict[str, object]:
    """Return the variables for an event as JSON values, without `event`; `url` links to the event's entity."""
    texts = {name: _text(getattr(event, name)) for name in _TEXTS}
    started_at, ended_at = event.started_at_s, event.ended_at_s
    return {
        **texts,
        "kind": event.kind.value,
        "severity": event.severity.name.lower(),
        "sign": appearance(event)[0],
        "entity_type": _text(event.entity.type),
        "entity_id": _text(event.entity.id),
        "entity_name": _text(event.entity.name),
        "labels": _texts(event.labels),
        "annotations": _texts(event.annotations),
        "values": _texts(event.values),
        "links": [{"label": _text(link.label), "url": _text(link.url)} for link in event.links],
        "steps": [
            {"name": _text(step.name), "position": step.position, "status": step.status, "error": _text(step.error)}
            for step in event.steps[:STEPS_MAX]
        ],
        "at": event.at_s,
        "started_at": started_at,
        "ended_at": ended_at,
        "duration": None if started_at is None or ended_at is None else ended_at - started_at,
        "msg": texts["text"] or texts["error"],
        "url": url,
        "infrakitchen_url": infrakitchen_url,
    }


def _texts(texts: Mapping[str, str]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in list(texts.items())[:LABELS_MAX]}


def _text(text: str) -> str:
    return clean(cut_middle(text, TEXT_MAX))

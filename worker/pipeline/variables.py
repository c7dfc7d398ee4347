"""What a template knows of an event: one row a name, as the README's table has them."""

from collections.abc import Callable, Mapping

from worker.domain.event import Event
from worker.domain.looks import look
from worker.domain.markup import clean, cut_middle
from worker.pipeline.filling import VALUE_MOST, Moment, Span

STEPS_MOST = LABELS_MOST = 100


class Labels(dict[str, str]):
    """Labels by name; one that is not given is empty."""

    def __missing__(self, name: str) -> str:
        return ""


def _said(text: str) -> str:
    return clean(cut_middle(text, VALUE_MOST))


def _labels(event: Event) -> Labels:
    return Labels({_said(name): _said(value) for name, value in list(event.labels.items())[:LABELS_MOST]})


def _steps(event: Event) -> list[dict[str, object]]:
    return [
        {"name": _said(one.name), "position": one.position, "status": one.status, "error": _said(one.error)}
        for one in event.steps[:STEPS_MOST]
    ]


def _moment(at_s: float | None) -> Moment | None:
    return None if at_s is None else Moment(at_s)


def _span(event: Event) -> Span | None:
    """How long it took, once it is over."""
    if event.started_at_s is None or event.ended_at_s is None:
        return None
    return Span(event.ended_at_s - event.started_at_s)


FIELDS: Mapping[str, Callable[[Event], object]] = {
    "kind": lambda event: event.kind.value,
    "id": lambda event: _said(event.id),
    "type": lambda event: _said(event.type),
    "title": lambda event: _said(event.title),
    "text": lambda event: _said(event.text),
    "error": lambda event: _said(event.error),
    "status": lambda event: _said(event.status),
    "state": lambda event: _said(event.state),
    "previous": lambda event: _said(event.previous),
    "action": lambda event: _said(event.action),
    "severity": lambda event: event.severity.name.lower(),
    "sign": lambda event: look(event)[0],
    "entity_type": lambda event: _said(event.entity.type),
    "entity_id": lambda event: _said(event.entity.id),
    "entity_name": lambda event: _said(event.entity.name),
    "project": lambda event: _said(event.project),
    "requester": lambda event: _said(event.requester),
    "template": lambda event: _said(event.template),
    "labels": _labels,
    "steps": _steps,
    "at": lambda event: Moment(event.at_s),
    "started_at": lambda event: _moment(event.started_at_s),
    "ended_at": lambda event: _moment(event.ended_at_s),
    "duration": _span,
}
"""Each is known by its own name and as `event.NAME`."""

BESIDE = ("event", "msg", "url", "infrakitchen_url")
NAMES = frozenset((*FIELDS, *BESIDE))


def variables_of(event: Event, url: str, infrakitchen_url: str) -> dict[str, object]:
    """All a template may ask for; `url` leads to what the event is about."""
    fields = {name: value(event) for name, value in FIELDS.items()}
    return {
        **fields,
        "event": fields,
        "msg": fields["text"] or fields["error"],
        "url": url,
        "infrakitchen_url": infrakitchen_url,
    }

"""A workflow's run and the resources it works on: while its card is live, they need no message."""

from collections.abc import Iterable

from worker.domain.card import STALE_S, Card
from worker.domain.event import Event, Kind, Severity, about_thing
from worker.domain.looks import is_over, look
from worker.domain.message import Colour


def resources_of(event: Event) -> tuple[str, ...]:
    """What the resources of a workflow's steps are about; none of any other event."""
    if event.kind is not Kind.WORKFLOW:
        return ()
    named = dict.fromkeys(step.resource_id for step in event.steps if step.resource_id)
    return tuple(about_thing(Kind.RESOURCE, "resource", id_) for id_ in named)


def runs_by_resource(events: Iterable[Event]) -> dict[str, str]:
    """Which of these runs works on a resource; both by what they are about."""
    return {resource: event.about for event in events for resource in resources_of(event)}


def is_calm(event: Event) -> bool:
    """Whether nobody misses it: the state of a resource that neither fails nor asks for somebody."""
    is_quiet = event.severity is Severity.INFO and look(event)[1] is not Colour.WARNING
    return event.kind is Kind.RESOURCE and is_quiet


def shows(card: Card, event: Event, address: str) -> bool:
    """Whether a run's card, there, stands for a state of one of its resources.

    While the run goes on; what came before its end too, however late it is told.
    """
    live = not card.over and event.order[0] - card.shown[0] <= STALE_S
    return card.address == address and (live or event.order <= card.shown)


def will_show(run: Event, event: Event) -> bool:
    """The same of a run whose card is about to be posted."""
    return not is_over(run) or event.order <= run.order

"""Route: an event becomes the subscriptions it is for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.domain.event import Event, Kind
from worker.domain.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Index:
    """Subscriptions by the kind they want, so that an event looks only at those it may be for."""

    by_kind: Mapping[Kind, tuple[Subscription, ...]]
    empty: bool
    has_quiet_hours: bool = False


def index(subscriptions: Iterable[Subscription]) -> Index:
    """Ready for routing; paused subscriptions get nothing."""
    live = [one for one in subscriptions if not one.paused]
    by_kind = {
        kind: tuple(one for one in live if not one.filters.kinds or kind in one.filters.kinds)
        for kind in Kind
    }
    return Index(by_kind, empty=not live, has_quiet_hours=any(one.quiet_hours for one in live))


def route(event: Event, subscriptions: Index) -> tuple[Subscription, ...]:
    """The subscriptions this event makes a delivery for."""
    return tuple(one for one in subscriptions.by_kind[event.kind] if not one.why_not(event))


def why_suppressed(event: Event, subscriptions: Index) -> str:
    """Why an event without a delivery has none."""
    if subscriptions.empty:
        return "there is no active subscription"
    matching = (one for one in subscriptions.by_kind[event.kind] if not one.filters.why_not(event))
    muted = next(matching, None)
    return f"every subscription it is for is {muted.why_muted(event)}" if muted else "no subscription matches"

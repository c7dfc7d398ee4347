"""Event loader: parses the stored events of taken deliveries."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from worker import sources
from worker.domain.event import Entity, Event, Kind, Severity
from worker.domain.message_plan import NO_SUBSCRIPTION, PendingDelivery
from worker.domain.subscription import Subscription
from worker.pipeline.gateway import Sleep
from worker.store.events import EventBody, Events
from worker.store.lanes import Lanes, TakenDelivery

CHUNK = 200  # events parsed before the other lanes of the process get their turn


async def load_pending(
    events: Events, taken: Sequence[TakenDelivery], subscriptions: Mapping[str, Subscription], default_template: str,
    sleep: Sleep,
) -> list[PendingDelivery]:  # fmt: skip
    """Load the subscription of each delivery, and its event or one that says why it cannot be read."""
    pending: list[PendingDelivery] = []
    for start in range(0, len(taken), CHUNK):
        chunk = taken[start : start + CHUNK]
        missing = [delivery.event_ref for delivery in chunk if delivery.event_body is None]
        bodies = dict(zip(missing, await events.bodies(missing), strict=True)) if missing else {}
        for delivery in chunk:
            subscription = subscriptions.get(delivery.subscription_id)
            event = _parse(delivery, delivery.event_body or bodies.get(delivery.event_ref))
            subscription = subscription.with_template(default_template) if subscription else NO_SUBSCRIPTION
            pending.append(PendingDelivery(
                delivery.delivery_id, event, subscription, card_pending=delivery.card_pending,
                is_replayed=delivery.replays > 0,
            ))  # fmt: skip
        if len(taken) > CHUNK:
            await sleep(0)
    return pending


async def match_resolved(lanes: Lanes, lane: str, deliveries: Sequence[PendingDelivery]) -> list[PendingDelivery]:
    """Give a resolved alert whose source has no open card the source of the only open alert of its fingerprint.

    The two Alertmanagers of a highly available pair may have different addresses, and the one that reports an alert
    need not be the one that reports its end.
    """
    alerts = [delivery.event for delivery in deliveries if delivery.wants_card and delivery.event.fingerprint]
    resolved = sorted({event.fingerprint for event in alerts if event.status == "resolved"})
    subjects: dict[str, dict[str, str]] = {fingerprint: {} for fingerprint in resolved}  # key of each by its source
    events = {event.fingerprint: event for event in alerts}
    for fingerprint, known in (await lanes.get_alert_sources(lane, resolved)).items():
        for source in known:
            subjects[fingerprint][source] = replace(events[fingerprint], source=source).subject_key
    for event in alerts:
        if event.fingerprint in subjects:
            subjects[event.fingerprint][event.source] = event.subject_key
    several = {fingerprint: keys for fingerprint, keys in subjects.items() if len(keys) > 1}
    cards = await lanes.get_cards(lane, sorted(key for keys in several.values() for key in keys.values()))
    firing = {event.subject_key for event in alerts if event.status == "firing"}

    def match(delivery: PendingDelivery) -> PendingDelivery:
        event = delivery.event
        if event.status != "resolved" or event.fingerprint not in several or not delivery.wants_card:
            return delivery
        keys = several[event.fingerprint]
        shown = {source: cards[key].shown for source, key in keys.items() if key in cards}
        is_open = {source for source, key in keys.items() if key in firing or (key in cards and not cards[key].over)}
        # The card that this event closed, whose reply is still due, comes first; last those that show a newer state.
        closed = {source for source in shown if shown[source] == event.order}
        newer = {source for source in shown if shown[source] > event.order}
        candidates = closed or is_open or newer
        if len(candidates) != 1 or event.source in newer:
            return delivery
        return replace(delivery, event=replace(event, source=candidates.pop()))

    return [match(delivery) for delivery in deliveries]


async def event_of(events: Events, ref: str) -> Event | None:
    """Return an event by its reference; None if it is no longer stored or cannot be parsed by this version."""
    stored = await events.body(ref)
    try:
        return None if stored is None else sources.parse(stored.body, stored.entry_id)
    except sources.Unreadable:
        return None


async def event_id_of(events: Events, ref: str) -> str:
    """Return the id that the sender gave the event; empty where `event_of` returns None."""
    event = await event_of(events, ref)
    return event.id if event else ""


def _parse(delivery: TakenDelivery, stored: EventBody | None) -> Event:
    reason = "Its content is no longer stored."
    if stored is not None:
        try:
            return sources.parse(stored.body, stored.entry_id)
        except sources.Unreadable as error:
            reason = f"Its content cannot be read: {error}"
    return Event(
        id=delivery.event_ref, source="", type="", kind=Kind.OTHER, entry_id=f"{delivery.accepted_at_ms}-0",
        entity=Entity("event", delivery.event_ref), severity=Severity.WARNING,
        title="An event that InfraKitchen published", text=reason,
    )  # fmt: skip

"""Reading: what was taken becomes events again, from their bodies as they came."""

from collections.abc import Mapping, Sequence

from worker import sources
from worker.domain.event import Entity, Event, Kind, Severity
from worker.domain.folding import Told
from worker.domain.subscription import Subscription
from worker.pipeline.gateway import Sleep
from worker.store.events import Events
from worker.store.held import Taken

AT_ONCE = 200  # between so many events the other lanes of the process have their turn


async def read_told(
    events: Events,
    taken: Sequence[Taken],
    subscriptions: Mapping[str, Subscription],
    template: str,
    sleep: Sleep,
) -> list[Told]:
    """Each delivery with its event, as its subscription wants it told; `template` is their integration's.

    One whose body is no longer kept is still told, as what it is.
    """
    told: list[Told] = []
    for start in range(0, len(taken), AT_ONCE):
        some = taken[start : start + AT_ONCE]
        missing = [one.event_ref for one in some if one.kept is None]
        read = dict(zip(missing, await events.bodies(missing), strict=True)) if missing else {}
        for one in some:
            event = _event(one, one.kept or read.get(one.event_ref))
            told.append(_as_wanted(one, event, subscriptions.get(one.subscription_id), template))
        if len(taken) > AT_ONCE:
            await sleep(0)
    return told


async def event_of(events: Events, ref: str) -> Event | None:
    """One event by its reference; None when it is no longer kept, or not to be read by this version."""
    kept = await events.body(ref)
    try:
        return None if kept is None else sources.read(kept[1], kept[0])
    except sources.Unreadable:
        return None


async def event_id_of(events: Events, ref: str) -> str:
    """What InfraKitchen calls the event; empty when it is not to be had."""
    event = await event_of(events, ref)
    return event.id if event else ""


def _event(one: Taken, kept: tuple[str, bytes] | None) -> Event:
    if kept is not None:
        try:
            return sources.read(kept[1], kept[0])
        except sources.Unreadable as error:
            return _unknown(one, f"its record cannot be read any more: {error}")
    return _unknown(one, "its record is no longer kept")


def _unknown(one: Taken, why: str) -> Event:
    return Event(
        id=one.event_ref,
        source="",
        type="",
        kind=Kind.OTHER,
        entry_id=f"{one.accepted_at_ms}-0",
        entity=Entity("event", one.event_ref),
        severity=Severity.WARNING,
        title="An event that InfraKitchen published",
        text=why,
    )


def _as_wanted(one: Taken, event: Event, subscription: Subscription | None, template: str) -> Told:
    """As usual where the subscription is gone, or never was one: that of a warning of ours."""
    if subscription is None:
        return Told(one.delivery_id, event, wants_card=True, owed=one.owed, late=one.replays > 0)
    return Told(
        one.delivery_id,
        event,
        mention=subscription.mention and subscription.mention_of(event),
        wants_card=subscription.style != "plain",
        owed=one.owed,
        templated=subscription.written(template),
        only_changes=subscription.only_changes,
        broadcast=subscription.broadcast,
        inhibited=subscription.inhibit_resources,
        late=one.replays > 0,
    )

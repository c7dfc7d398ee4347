"""Events, their deliveries, dead letters and parked lanes as JSON."""

import base64
from collections.abc import Sequence
from dataclasses import asdict

from worker.asking.rows import Row, iso, plain_attempt, plain_delivery
from worker.asking.story import Story, Way
from worker.domain.dead_letter import hint
from worker.domain.delivery import lane_parts
from worker.domain.event import Event
from worker.store.dead_letters import DeadLetter
from worker.store.parked import ParkedLane


def plain_story(story: Story) -> Row:
    """A story as JSON."""
    return {
        "event": plain_event(story.event) if story.event else {"id": story.id, "entry_id": story.entry_id},
        "state": story.state,
        **({"reason": story.reason} if story.reason else {}),
        "matched": [
            {"subscription_id": way.delivery.subscription_id, "delivery": plain_way(way, story.id)}
            for way in story.ways
        ],
        "unmatched": [{"subscription_id": id_, "reason": reason} for id_, reason in story.unmatched],
    }


def plain_way(way: Way, event_id: str) -> Row:
    """A delivery with all there is to know of it, as JSON."""
    more = {name: getattr(way, name) for name in ("waits", "hint", "permalink", "template_fault")}
    calls = [plain_attempt(attempt) for attempt in way.attempts]
    return {**plain_delivery(way.delivery, event_id), "attempts": calls, **more}


def plain_event(event: Event) -> Row:
    """An event as JSON."""
    plain = asdict(event)
    times = {name: plain.pop(f"{name}_s") for name in ("time", "started_at", "ended_at")}
    return {
        **plain,
        "severity": event.severity.name.lower(),
        "labels": dict(event.labels),
        "accepted_at": iso(event.accepted_at_ms),
        **{name: None if at_s is None else iso(int(at_s * 1000)) for name, at_s in times.items()},
    }


def plain_one_way(way: Way, event_id: str) -> Row:
    """A delivery by itself: `attempts` is how many there were, `history` what they were."""
    plain = plain_way(way, event_id)
    return {**plain, "attempts": way.delivery.attempts, "history": plain["attempts"]}


def plain_parked(one: ParkedLane) -> Row:
    """A parked lane."""
    named = ("lane", "channel", "reason", "detail", "hint", "pending", "whole_integration")
    return {**{name: getattr(one, name) for name in named}, "since": iso(one.since_ms)}


def plain_letter(letter: DeadLetter, event_id: str) -> Row:
    """A dead letter as JSON."""
    delivery = letter.delivery
    row: Row = {
        "id": letter.id,
        "reason": letter.reason,
        "detail": letter.detail,
        "event_id": event_id,
        "channel": destination(letter),
        "died_at": iso(letter.died_at_ms),
        "hint": hint(letter.reason, letter.id),
    }
    if delivery:
        row |= {name: getattr(delivery, name) for name in ("lane", "subscription_id", "attempts", "replays")}
        row["created_at"] = iso(delivery.created_at_ms)
    return row


def destination(letter: DeadLetter) -> str:
    """Where it was to go, as a person wrote it; nowhere for an entry nobody could read."""
    return lane_parts(letter.delivery.lane)[1] if letter.delivery else ""


def letter_event_id(letter: DeadLetter, ids: dict[str, str]) -> str:
    """What its event is called; an entry nobody could read is called by its own id."""
    return ids.get(letter.delivery.event_ref, "") if letter.delivery else letter.id


def plain_examined(letter: DeadLetter, event: Event | None, way: Way | None) -> Row:
    """A dead letter with its event and its way, or with the fields nobody could read."""
    event_id = letter.id if way is None else event.id if event else ""
    row = plain_letter(letter, event_id)
    if way is None:
        return {**row, "fields": _fields(letter)}
    return {**row, "event": event and plain_event(event), "delivery": plain_way(way, event_id)}


def _fields(letter: DeadLetter) -> Sequence[Row]:
    """The entry's fields as text that can be read, and exactly."""
    return [
        {
            "name": name.decode("utf-8", "backslashreplace"),
            "value": value.decode("utf-8", "backslashreplace"),
            "base64": base64.b64encode(value).decode(),
        }
        for name, value in (letter.raw or {}).items()
    ]

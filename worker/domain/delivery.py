"""A delivery: one event for one subscription's destination, the unit of work."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.domain.event import Severity

#: Reasons of dead letters that no error code of Slack names.
UNREADABLE, EXPIRED, OVERFLOW = "unreadable", "expired", "overflow"


class State(StrEnum):
    """States of a delivery; it has exactly one at every moment."""

    PENDING = "pending"
    PARKED = "parked"  # pending in a lane that is parked
    DELIVERED = "delivered"
    MERGED = "merged"  # included in another delivery's message
    DEAD = "dead"
    DISCARDED = "discarded"


class Outcome(StrEnum):
    """Outcomes of an attempt."""

    DELIVERED = "delivered"
    THROTTLED = "throttled"
    TRANSIENT = "transient"  # not posted for sure
    UNKNOWN = "unknown"  # may have been posted
    BLOCKED = "blocked"
    REFUSED = "refused"  # Slack rejects the message itself


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to Slack."""

    at_ms: int
    method: str
    outcome: Outcome
    code: str = ""
    wait_s: float = 0.0  #: Seconds that the lane waits after it.


@dataclass(frozen=True, slots=True)
class Receipt:
    """Slack's proof of a post: the conversation it went to and the message's `ts`."""

    channel: str
    ts: str


class Change(StrEnum):
    """Changes in the history of a delivery."""

    QUEUED = "queued"
    DIED = "dead"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """A change of a delivery: when, by whom and why."""

    at_ms: int
    change: Change
    who: str = ""  #: Who replayed or discarded it; empty when no person did.
    reason: str = ""  #: Why it was a dead letter, or was discarded.


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as stored."""

    id: str
    event_ref: str
    subscription_id: str
    lane: str
    seq: int
    state: State
    created_at_ms: int
    accepted_at_ms: int = 0
    finished_at_ms: int = 0
    channel: str = ""
    ts: str = ""
    merged_into: str = ""  #: The delivery whose message includes this one.
    error: str = ""
    detail: str = ""
    attempts: int = 0
    repeated: bool = False
    replays: int = 0
    deaths: tuple[HistoryStep, ...] = ()  #: Those after which it was replayed.
    history: tuple[HistoryStep, ...] = ()  #: Every queueing, death, replay and discard, oldest first.
    severity: "Severity | None" = None  #: Of its event; None for a delivery of an earlier version.


@dataclass(frozen=True, slots=True)
class Address:
    """A destination as Slack knows it: the conversation or user id, and the name that people know."""

    id: str
    name: str = ""


def event_ref(source: str, event_id: str) -> str:
    """Return the key of an event's record, `<hash of id>.<hash of source>`: the id alone finds its events."""
    return f"{stable_hash(event_id)}.{stable_hash(source, size=6)}"


def delivery_id(source: str, event_id: str, subscription_id: str) -> str:
    """Return the id of a delivery: always the same for an event and a subscription."""
    return stable_hash(f"{source}\0{event_id}\0{subscription_id}")


def stable_hash(text: str, size: int = 10) -> str:
    """Return a short hash of any text, the same in every process."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


class Destination(StrEnum):
    """The forms in which a user can write a destination."""

    CHANNEL_NAME = "name"
    CONVERSATION_ID = "conversation"
    USER_ID = "user"
    EMAIL = "email"


_PATTERNS = (
    (Destination.CONVERSATION_ID, re.compile(r"[CGD][A-Z0-9]{7,}")),
    (Destination.USER_ID, re.compile(r"[UW][A-Z0-9]{7,}")),
    (Destination.EMAIL, re.compile(r"[^\s@<>:]+@[^\s@<>:]+\.[^\s@<>:]+")),
    (Destination.CHANNEL_NAME, re.compile(r"#?[^\s#@<>,:]{1,80}")),
)


_LIKE_AN_ID = re.compile(r"[CGDUW](?=.*\d)[A-Z0-9]+|[CGDUWcgduw]\d[A-Za-z0-9]{7,}")


def destination_form(destination: str) -> Destination | None:
    """Return the form that a destination is written in; None if it has none of them."""
    return next((form for form, pattern in _PATTERNS if pattern.fullmatch(destination)), None)


def canonical_destination(destination: str) -> str | None:
    """Return the one spelling of a destination (`ops`, `#Ops` → `#ops`); None if it is no destination.

    What looks like an id but is too short for one, or in lower case, is none: `C123` is hardly the channel `#c123`.
    """
    destination = unicodedata.normalize("NFC", destination.strip())  # as Slack writes names
    form = destination_form(destination)
    if form is Destination.CHANNEL_NAME and _LIKE_AN_ID.fullmatch(destination):
        return None
    if form is Destination.CHANNEL_NAME:
        return "#" + unicodedata.normalize("NFC", destination.removeprefix("#").lower())
    if form is Destination.EMAIL:
        return destination.lower()
    return destination if form else None


def id_in_capitals(written: str) -> str:
    """Return the id of Slack's that a text may mean whose letters are not all capitals; empty when it means none."""
    id_ = written.strip().removeprefix("#").upper()
    is_id = destination_form(id_) in (Destination.CONVERSATION_ID, Destination.USER_ID)
    return id_ if is_id and any(map(str.isdigit, id_)) else ""


def lane_name(integration_id: str, destination: str) -> str:
    """Return the name of a destination's lane, `<integration>/<destination>`."""
    return f"{integration_id}/{destination}"


def lane_parts(lane: str) -> tuple[str, str]:
    """Return the id of a lane's integration and its destination."""
    integration_id, _, destination = lane.partition("/")
    return integration_id, destination

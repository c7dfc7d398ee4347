"""A delivery: one event for one subscription's destination, the unit of work."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a delivery is; exactly one at every moment."""

    PENDING = "pending"
    PARKED = "parked"  # pending in a lane that waits for a person
    DELIVERED = "delivered"
    MERGED = "merged"  # told by another delivery's message
    DEAD = "dead"
    DISCARDED = "discarded"


class Outcome(StrEnum):
    """How one attempt ended."""

    DELIVERED = "delivered"
    THROTTLED = "throttled"
    TRANSIENT = "transient"  # not posted for sure
    UNKNOWN = "unknown"  # may have been posted
    BLOCKED = "blocked"
    REFUSED = "refused"  # the message is at fault


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to Slack: when (Unix ms), how it ended, and how long the lane then waits (seconds)."""

    at_ms: int
    method: str
    outcome: Outcome
    code: str = ""
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """Slack's proof of a post: the conversation it went to and the message's `ts`."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class Death:
    """When (Unix ms) and why something was a dead letter before it was replayed."""

    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as stored. `merged_into` is the delivery whose message tells it."""

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
    merged_into: str = ""
    error: str = ""
    detail: str = ""
    attempts: int = 0
    repeated: bool = False
    replays: int = 0
    deaths: tuple[Death, ...] = ()


@dataclass(frozen=True, slots=True)
class Address:
    """A destination as Slack knows it: the conversation (or user) id and the name people read."""

    id: str
    name: str = ""


def event_ref(source: str, event_id: str) -> str:
    """Where an event's record lives: `<hash of id>.<hash of source>`, so an id alone finds its events."""
    return f"{digest(event_id)}.{digest(source, size=6)}"


def delivery_id(source: str, event_id: str, subscription_id: str) -> str:
    """The same for the same event and subscription, however often and wherever it is worked out."""
    return digest(f"{source}\0{event_id}\0{subscription_id}")


def digest(text: str, size: int = 10) -> str:
    """A short stable name for a text of any length and characters."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


class Destination(StrEnum):
    """The ways a person can write where to send."""

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


def destination_form(destination: str) -> Destination | None:
    """Which form a destination is written in; None if it is none of them."""
    return next((form for form, pattern in _PATTERNS if pattern.fullmatch(destination)), None)


def canonical_destination(destination: str) -> str | None:
    """One spelling for each destination (`ops`, `#Ops` → `#ops`); None if it cannot be one."""
    written = destination.strip()
    match destination_form(written):
        case Destination.CHANNEL_NAME:
            return "#" + written.removeprefix("#").lower()
        case Destination.EMAIL:
            return written.lower()
        case None:
            return None
        case _:
            return written


def lane_name(integration_id: str, destination: str) -> str:
    """The lane of one destination: `<integration>/<destination>`, as people type it."""
    return f"{integration_id}/{destination}"


def lane_parts(lane: str) -> tuple[str, str]:
    """The integration's id and the destination of a lane."""
    integration_id, _, destination = lane.partition("/")
    return integration_id, destination

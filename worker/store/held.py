"""What a lane is given and answers: entries, its holder's proof, what was taken and what is left."""

from dataclasses import dataclass

from worker.domain.delivery import Address, lane_parts
from worker.store.bodies import KeptBody


@dataclass(frozen=True, slots=True)
class Entry:
    """A delivery about to be created; `held_until_ms` when its subscription has quiet hours now."""

    delivery_id: str
    event_ref: str
    subscription_id: str
    accepted_at_ms: int
    held_until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """A lane we hold: what is known of it, and the token that proves it."""

    lane: str
    token: str
    address: Address | None
    failures: int
    singly: int
    integrations_version: int = 0
    subscriptions_version: int = 0
    unlisted: int = 0

    @property
    def integration_id(self) -> str:
        """Whose lane it is."""
        return lane_parts(self.lane)[0]

    @property
    def destination(self) -> str:
        """Where to, as a person wrote it."""
        return lane_parts(self.lane)[1]


@dataclass(frozen=True, slots=True)
class NotHeld:
    """Why there is nothing to drain now: held, parked, empty or snoozed (then for how long and why)."""

    why: str
    wait_s: float = 0.0
    reason: str = ""
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery about to be told; `kept` is its event's body, when few were taken.

    `owed`: a digest told it, and its card is still to come. `doubt`: a call that told it may have succeeded.
    """

    delivery_id: str
    event_ref: str
    subscription_id: str
    seq: int
    accepted_at_ms: int
    replays: int = 0
    owed: bool = False
    doubt: bool = False
    kept: KeptBody | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """Slack wants to be left alone for `wait_s`."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Left:
    """What a step leaves: how many still wait, whether the lane is still ours, whether to wake it."""

    waiting: int
    held: bool
    wake: bool = False

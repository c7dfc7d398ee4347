"""Backlog warnings: a lane comes near the limit of how many deliveries may wait in it, or for how long."""

from dataclasses import dataclass
from enum import StrEnum

from worker.domain.mrkdwn import duration


class LimitKind(StrEnum):
    """The limits of a lane."""

    LENGTH = "length"  #: LANE_MAX_LENGTH
    AGE = "age"  #: DELIVERY_MAX_AGE_S, or PARKED_MAX_AGE_S for a parked lane


@dataclass(frozen=True, slots=True)
class BacklogWarning:
    """A lane that has reached most of a limit."""

    lane: str
    kind: LimitKind
    reached: int  #: Waiting deliveries, or the age of the oldest one in ms.
    limit: int  #: The limit, in the same unit.

    @property
    def text(self) -> str:
        """The lane's backlog and its limit, as a clause."""
        if self.kind is LimitKind.LENGTH:
            return f"{self.reached:,} of at most {self.limit:,} deliveries wait"
        reached, limit = duration(self.reached / 1000), duration(self.limit / 1000)
        return f"the oldest delivery has waited {reached} of at most {limit}"

    @property
    def consequence(self) -> str:
        """The consequence of reaching the limit, as a sentence."""
        if self.kind is LimitKind.LENGTH:
            return "When the lane is full, its oldest deliveries become dead letters (overflow)."
        return "A delivery that waits longer becomes a dead letter (expired)."

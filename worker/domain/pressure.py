"""Pressure: a lane comes near a limit of how many may wait in it, or for how long."""

from dataclasses import dataclass
from enum import StrEnum

from worker.domain.markup import duration


class Limit(StrEnum):
    """What has a limit."""

    LENGTH = "length"  # LANE_MAX_LENGTH
    AGE = "age"  # DELIVERY_MAX_AGE_S, PARKED_MAX_AGE_S


@dataclass(frozen=True, slots=True)
class Near:
    """A lane that has reached most of a limit: so many deliveries, or so many ms, of so many."""

    lane: str
    limit: Limit
    reached: int
    most: int

    @property
    def words(self) -> str:
        """How near it is."""
        if self.limit is Limit.LENGTH:
            return f"{self.reached:,} of at most {self.most:,} deliveries wait"
        reached, most = duration(self.reached / 1000), duration(self.most / 1000)
        return f"the oldest delivery has waited {reached} of at most {most}"

    @property
    def then(self) -> str:
        """What happens at the limit."""
        if self.limit is Limit.LENGTH:
            return "When it is full, its oldest become dead letters (overflow)."
        return "What waits longer becomes a dead letter (expired)."

"""How often Slack lets a thing be done: an allowance that refills evenly (GCRA)."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field

TOLERANCE_S = 0.05  # what a punctual client's jitter may cost


class TooFast(Exception):
    """The allowance is used up; Slack says so with 429 and whole seconds."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"wait {retry_after_s} s")
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class Allowance:
    """One allowance per key: one every `interval_s`, up to `burst` of them at once."""

    interval_s: float
    burst: float = 1.0
    due_s: dict[Hashable, float] = field(default_factory=dict)

    def take(self, key: Hashable, now_s: float) -> bool:
        """Take one; True when only the burst allowed it. Raises TooFast, and then nothing is taken."""
        if self.interval_s <= 0:
            return False
        due_s = self.due_s.get(key, now_s)
        early_s = due_s - TOLERANCE_S - now_s
        wait_s = early_s - (self.burst - 1) * self.interval_s
        if wait_s > 1e-9:
            raise TooFast(max(math.ceil(wait_s), 1))
        self.due_s[key] = max(due_s, now_s) + self.interval_s
        return early_s > 1e-9

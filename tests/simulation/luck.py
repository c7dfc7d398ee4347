"""The random decisions of a run, all from its seed: which faults happen, how often and when."""

from dataclasses import dataclass, field
from random import Random

FAULTY_S = 25.0
"""How long faults happen; after that everything works, and every pending delivery must be posted."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How often, per call, something goes wrong; a run has some of these faults and is spared the others."""

    crash: float
    pause: float
    refused: float
    reply_lost: float
    sent_again: float
    slow: float
    wake_lost: float
    wake_twice: float
    throttled: float
    not_posted: float
    uncertain: float
    undeliverable: float


@dataclass
class Luck:
    """One run's randomness; every decision in its order, so that the same seed is the same run."""

    seed: int
    random: Random = field(init=False)
    rates: Rates = field(init=False)
    calm: bool = False
    crashes: int = 4
    pauses: int = 2

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        draw = self._rate
        self.rates = Rates(
            crash=draw(0.001, 0.004), pause=draw(0.001, 0.003), refused=draw(0.01, 0.05),
            reply_lost=draw(0.01, 0.05), sent_again=draw(0.03, 0.15), slow=draw(0.005, 0.02),
            wake_lost=draw(0.1, 0.5), wake_twice=draw(0.2, 0.8), throttled=draw(0.1, 0.3),
            not_posted=draw(0.1, 0.5), uncertain=draw(0.1, 0.5), undeliverable=draw(0.1, 0.5),
        )  # fmt: skip

    def _rate(self, some: float, much: float) -> float:
        return self.random.choice((0.0, 0.0, 0.0, 0.0, some, some, much))

    def hits(self, rate: float) -> bool:
        """Return whether a fault happens here."""
        return not self.calm and rate > 0 and self.random.random() < rate

    def crashes_here(self, weight: int) -> bool:
        """Return whether a machine crashes at this call."""
        if self.crashes and self.hits(self.rates.crash * weight):
            self.crashes -= 1
            return True
        return False

    def pause_s(self, weight: int) -> float:
        """Return how long a machine pauses at this call, often longer than a lease."""
        if self.pauses and self.hits(self.rates.pause * weight):
            self.pauses -= 1
            return self.random.uniform(5.0, 45.0)
        return 0.0

    def latency_s(self) -> float:
        """How long a call or its answer is on its way."""
        if self.hits(self.rates.slow):
            return self.random.choice((1.0, 3.0, 12.0, 25.0)) * self.random.random()
        return self.random.random() ** 4 * 0.05

    def within(self, until_s: float = FAULTY_S) -> float:
        """Some moment before that."""
        return self.random.uniform(0.0, until_s)

"""Charts: small pictures of what came and what was told, as figures a template draws."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.store.pulse import Beat

WIDTH, HEIGHT, GAP = 600.0, 72.0, 0.28


@dataclass(frozen=True, slots=True)
class Bar:
    """One span of time: where its two bars stand, and what they mean."""

    at_ms: int
    x: float
    width: float
    events: int
    messages: int
    events_height: float
    messages_height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars, the largest value, and the sums."""

    bars: Sequence[Bar]
    most: int
    events: int
    messages: int
    width: float = WIDTH
    height: float = HEIGHT

    @property
    def has_anything(self) -> bool:
        """Whether there is anything to draw."""
        return self.most > 0


def chart(beats: Sequence[Beat]) -> Chart:
    """Both bars of a beat share a scale: a storm told in few messages is seen as such."""
    most = max((max(one.events, one.messages) for one in beats), default=0)
    step = WIDTH / max(len(beats), 1)
    bars = [
        Bar(
            one.at_ms,
            round(place * step, 2),
            round(step * (1 - GAP) / 2, 2),
            one.events,
            one.messages,
            _height(one.events, most),
            _height(one.messages, most),
        )
        for place, one in enumerate(beats)
        if one.events or one.messages
    ]
    return Chart(bars, most, sum(one.events for one in beats), sum(one.messages for one in beats))


def _height(value: int, most: int) -> float:
    """What is there at all is seen."""
    return max(round(value / most * HEIGHT, 2), 1.5) if value else 0.0

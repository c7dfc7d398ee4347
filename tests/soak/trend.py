"""Whether a figure that was measured again and again grows: its slope, and how far that may be chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

BLOCKS = 12
SURE = 2.2  # Student's t: with twelve blocks, 19 flat figures of 20 stay within it

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Trend:
    """Growth per hour by least squares, and its standard error."""

    per_hour: float
    noise: float

    def is_flat(self, allowed: float) -> bool:
        """Whether it does not surely grow by more than this in an hour."""
        return self.per_hour - SURE * self.noise <= allowed


def trend(points: Points) -> Trend:
    """Of (seconds, figure), in their order.

    A figure measured every few seconds hardly differs from the one before it, so that hundreds of points
    would pretend to know the slope better than they do: it is that of the means of twelve stretches of time.
    """
    means = _means(points)
    if len(means) < 3:
        raise ValueError("three points at least are needed")
    at = sum(x for x, _ in means) / len(means)
    level = sum(y for _, y in means) / len(means)
    spread = sum((x - at) ** 2 for x, _ in means)
    slope = sum((x - at) * (y - level) for x, y in means) / spread
    off = sum((y - level - slope * (x - at)) ** 2 for x, y in means)
    return Trend(slope * 3600, sqrt(off / (len(means) - 2) / spread) * 3600)


def _means(points: Points) -> list[tuple[float, float]]:
    count = min(BLOCKS, len(points))
    edges = [len(points) * number // count for number in range(count + 1)] if count else []
    blocks = [points[start:end] for start, end in pairwise(edges)]
    return [(sum(x for x, _ in one) / len(one), sum(y for _, y in one) / len(one)) for one in blocks]

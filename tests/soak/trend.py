"""The trend of a repeated measurement: its slope, and the standard error of the slope."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

BLOCKS = 12
CONFIDENCE = 2.2  # Student's t: with twelve blocks, 95 % of flat series stay within it

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Trend:
    """Growth per hour by least squares, and its standard error."""

    per_hour: float
    noise: float

    def is_flat(self, allowed: float) -> bool:
        """Return whether growth beyond `allowed` per hour is not certain."""
        return self.per_hour - CONFIDENCE * self.noise <= allowed


def trend(points: Points) -> Trend:
    """Return the trend of (seconds, figure) pairs in order of time.

    Successive measurements are correlated, so hundreds of points would understate the error: the slope is that of
    the means of twelve stretches of time.
    """
    means = _means(points)
    if len(means) < 3:
        raise ValueError("at least three points are needed")
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
    return [(sum(x for x, _ in block) / len(block), sum(y for _, y in block) / len(block)) for block in blocks]

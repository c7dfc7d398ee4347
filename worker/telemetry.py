"""What is told to the log and what is counted: one line per attempt, no secret."""

import logging
import re
from bisect import bisect_left
from collections.abc import Iterable

Told = str | int | float | bool

BUCKETS = {
    "event_to_post": (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0,
                      86400.0),
    "post": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0),
    "pace_wait": (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
}  # fmt: skip
"""Upper bounds in seconds of what is measured."""

OVER = "+Inf"
SERIES_MOST = 500
_CLEAN = re.compile(r"[A-Za-z0-9_.]{1,64}")

Series = tuple[str, ...]
"""A name and its label values; of a measurement, its name and a bucket's upper bound."""


class Counters:
    """What a process has counted and nobody has written down yet; for the one event loop it works on.

    What Redis counts with the step itself is not counted here a second time.
    """

    def __init__(self) -> None:
        self.counts: dict[Series, int] = {}
        self.sums: dict[str, float] = {}

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Something happened. A label that is no short plain word counts as `other`."""
        self._add((name, *(label if _CLEAN.fullmatch(label) else "other" for label in labels)), by)

    def measure(self, name: str, values: Iterable[float]) -> None:
        """So many seconds each; what is below 0 comes from clocks that disagree, and is 0."""
        bounds, total = BUCKETS[name], 0.0
        for value in values:
            place = bisect_left(bounds, value)
            self._add((name, str(bounds[place]) if place < len(bounds) else OVER), 1)
            total += max(value, 0.0)
        self.sums[name] = self.sums.get(name, 0.0) + total

    def taken(self) -> "Counters":
        """Everything counted so far, which is not here any more."""
        taken = Counters()
        taken.counts, taken.sums = self.counts, self.sums
        self.counts, self.sums = {}, {}
        return taken

    def give_back(self, taken: "Counters") -> None:
        """What was taken and could not be written down."""
        for series, by in taken.counts.items():
            self._add(series, by)
        for name, total in taken.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + total

    def _add(self, series: Series, by: int) -> None:
        if series not in self.counts and len(self.counts) >= SERIES_MOST:
            series = (series[0], *("other" for _ in series[1:]))
        self.counts[series] = self.counts.get(series, 0) + by


COUNTERS = Counters()
"""Where this process counts, as it logs in one place too."""


def say(log: logging.Logger, level: int, what: str, /, **about: Told) -> None:
    """One line: `what key=value …` for people, the same keys as JSON for machines (`config/logs.py`)."""
    shown = {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in about.items()
        if value not in ("", 0.0) or isinstance(value, bool)
    }
    log.log(level, "%s", what, extra=shown)

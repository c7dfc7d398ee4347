"""Structured log lines, and the counters of this process."""

import logging
import re
from bisect import bisect_left
from collections.abc import Iterable

LogValue = str | int | float | bool

BUCKETS = {
    "event_to_post": (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0,
                      86400.0),
    "post": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0),
    "pace_wait": (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
}  # fmt: skip
"""Upper bounds of each histogram's buckets, in seconds."""

OVER = "+Inf"
MAX_SERIES = 500
_PLAIN_LABEL = re.compile(r"[A-Za-z0-9_.]{1,64}")

Series = tuple[str, ...]
"""A counter's name and label values, or a histogram's name and a bucket's upper bound."""


class Counters:
    """Counts of this process that are not yet written to Redis; not thread-safe, for one event loop.

    A Redis script that changes a lane or the stream counts that change itself.
    """

    def __init__(self) -> None:
        self.counts: dict[Series, int] = {}
        self.sums: dict[str, float] = {}

    def increment(self, name: str, *labels: str, by: int = 1) -> None:
        """Increment a counter; a label that is not a short plain word becomes `other`."""
        self._add((name, *(label if _PLAIN_LABEL.fullmatch(label) else "other" for label in labels)), by)

    def observe(self, name: str, values: Iterable[float]) -> None:
        """Add seconds to a histogram; a negative value, caused by clocks that differ, counts as 0."""
        bounds, total = BUCKETS[name], 0.0
        for value in values:
            index = bisect_left(bounds, value)
            self._add((name, str(bounds[index]) if index < len(bounds) else OVER), 1)
            total += max(value, 0.0)
        self.sums[name] = self.sums.get(name, 0.0) + total

    def take(self) -> "Counters":
        """Return everything counted so far, and start again at zero."""
        taken = Counters()
        taken.counts, taken.sums = self.counts, self.sums
        self.counts, self.sums = {}, {}
        return taken

    def restore(self, taken: "Counters") -> None:
        """Add counts again that were taken and could not be written to Redis."""
        for series, by in taken.counts.items():
            self._add(series, by)
        for name, total in taken.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + total

    def _add(self, series: Series, by: int) -> None:
        if series not in self.counts and len(self.counts) >= MAX_SERIES:
            series = (series[0], *("other" for _ in series[1:]))
        self.counts[series] = self.counts.get(series, 0) + by


COUNTERS = Counters()
"""The counters of this process."""


def log_event(log: logging.Logger, level: int, message: str, /, **fields: LogValue) -> None:
    """Log a message with fields: `message key=value …` as text, the same keys in JSON (`config/logging_config.py`).

    Empty texts and zero floats are left out.
    """
    shown = {
        key: round(value, 3) if isinstance(value, float) else value
        for key, value in fields.items()
        if value not in ("", 0.0) or isinstance(value, bool)
    }
    log.log(level, "%s", message, extra=shown)

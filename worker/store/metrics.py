"""Metrics: what the processes measured, what scripts counted, and the activity of each minute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.store.redis_client import RedisStore, Value, fields
from worker.telemetry import Counters, Series

SUM = "sum"
_SEPARATOR = "|"
HOURS, MINUTES_PER_HOUR = 24, 60
ACTIVITIES = ("events", "posts", "edits")


@dataclass(frozen=True, slots=True)
class MetricTotals:
    """Counts, and the sums of measurements, since this installation began."""

    counts: Mapping[Series, int]
    sums: Mapping[str, float]

    def labelled(self, name: str) -> dict[tuple[str, ...], int]:
        """Return the counts of one name by their label values."""
        return {series[1:]: count for series, count in self.counts.items() if series[0] == name}


@dataclass(frozen=True, slots=True)
class MinuteActivity:
    """The events and messages of one minute, or of several."""

    at_ms: int  #: The begin of the first minute.
    events: int = 0
    posts: int = 0
    edits: int = 0

    @property
    def messages(self) -> int:
        """The number of posts and edits."""
        return self.posts + self.edits


class Metrics(RedisStore):
    """The stored metrics. After a lost reply the measurements of about a second may count twice."""

    async def save(self, counters: Counters) -> None:
        """Add the counters of this process in one step; if that fails they keep their values."""
        taken, key = counters.take(), self._keys.named("metrics")
        commands: list[tuple[Value, ...]] = [
            ("HINCRBY", key, _SEPARATOR.join(series), by) for series, by in taken.counts.items()
        ]
        commands += [("HINCRBYFLOAT", key, f"{name}{_SEPARATOR}{SUM}", total) for name, total in taken.sums.items()]
        if not commands:
            return
        try:
            await self._server.transaction(*commands)
        except BaseException:
            counters.restore(taken)
            raise

    async def get_totals(self) -> MetricTotals:
        """Return all saved metrics, and the ledger's counters beside them."""
        measured, ledger = await self._server.pipeline(
            [("HGETALL", self._keys.named("metrics")), ("HGETALL", self._keys.named("ledger"))]
        )
        counts: dict[Series, int] = {}
        sums: dict[str, float] = {}
        for name, value in (*fields(measured).items(), *fields(ledger).items()):
            series = tuple(name.split(_SEPARATOR))
            if series[-1] == SUM:
                sums[series[0]] = float(value)
            else:
                counts[series] = int(value)
        return MetricTotals(counts=counts, sums=sums)

    async def list_minutes(self) -> list[MinuteActivity]:
        """Return the activity of the last 24 hours by the minute, oldest first; the last minute is still running."""
        last = await self._server.now_ms() // 60_000
        first = last - HOURS * MINUTES_PER_HOUR + 1
        hours = range(first // MINUTES_PER_HOUR, last // MINUTES_PER_HOUR + 1)
        commands = [("HGETALL", self._keys.named("ledger", "hour", str(hour))) for hour in hours]
        stored = await self._server.pipeline(commands)
        counts = {name: int(value) for hour in stored for name, value in fields(hour).items()}
        return [
            MinuteActivity(minute * 60_000, *(counts.get(f"{minute}|{name}", 0) for name in ACTIVITIES))
            for minute in range(first, last + 1)
        ]


def group_minutes(minutes: Sequence[MinuteActivity], size: int) -> list[MinuteActivity]:
    """Add up every `size` minutes; the oldest that make no full group are left out."""
    first = len(minutes) % size
    groups = (minutes[start : start + size] for start in range(first, len(minutes), size))
    return [
        MinuteActivity(group[0].at_ms, *(sum(getattr(minute, name) for minute in group) for name in ACTIVITIES))
        for group in groups
    ]

"""Metrics as kept: what the processes measured, what the lanes' and the stream's scripts counted."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.store.server import Server, Value, fields
from worker.telemetry import Counters, Series

SUM = "sum"
_BETWEEN = "|"


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts and the sums of measurements, since this installation began."""

    counts: Mapping[Series, int]
    sums: Mapping[str, float]

    def labelled(self, name: str) -> dict[tuple[str, ...], int]:
        """The counts of one name by their label values."""
        return {series[1:]: count for series, count in self.counts.items() if series[0] == name}


class Metrics:
    """Write down and read. A lost reply may count what was measured within that second twice."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys = server.keys

    async def write_down(self, counters: Counters) -> None:
        """Add what was counted, in one step; while Redis is away it stays where it is."""
        taken, key = counters.taken(), self._keys.named("metrics")
        commands: list[tuple[Value, ...]] = [
            ("HINCRBY", key, _BETWEEN.join(series), by) for series, by in taken.counts.items()
        ]
        commands += [
            ("HINCRBYFLOAT", key, f"{name}{_BETWEEN}{SUM}", total) for name, total in taken.sums.items()
        ]
        if not commands:
            return
        try:
            await self._server.together(*commands)
        except BaseException:
            counters.give_back(taken)
            raise

    async def counted(self) -> Counted:
        """Everything written down, and the ledger's own counts beside it."""
        measured, ledger = await self._server.each(
            [("HGETALL", self._keys.named("metrics")), ("HGETALL", self._keys.named("ledger"))]
        )
        counts: dict[Series, int] = {}
        sums: dict[str, float] = {}
        for name, value in fields(measured).items():
            series = tuple(name.split(_BETWEEN))
            if series[-1] == SUM:
                sums[series[0]] = float(value)
            else:
                counts[series] = int(value)
        counts |= {tuple(name.split(_BETWEEN)): int(value) for name, value in fields(ledger).items()}
        return Counted(counts, sums)

"""Pulse: events, posts and edits by the minute, for a day; counted by the scripts that do these steps."""

from dataclasses import dataclass

from worker.store.server import Server, fields

HOURS, MINUTES = 24, 60
COUNTED = ("events", "posts", "edits")


@dataclass(frozen=True, slots=True)
class Beat:
    """What came and what was told in a span of time that begins then."""

    at_ms: int
    events: int = 0
    posts: int = 0
    edits: int = 0

    @property
    def messages(self) -> int:
        """Posts, and edits of what was posted."""
        return self.posts + self.edits


class Pulse:
    """Read for charts."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ledger = server.keys.named("ledger")

    async def minutes(self) -> list[Beat]:
        """The last 24 hours by the minute, oldest first; the last minute is still going on."""
        last = await self._server.now_ms() // 60_000
        first = last - HOURS * MINUTES + 1
        hours = range(first // MINUTES, last // MINUTES + 1)
        found = await self._server.each([("HGETALL", f"{self._ledger}:hour:{hour}") for hour in hours])
        counts = {name: int(value) for some in found for name, value in fields(some).items()}
        return [
            Beat(minute * 60_000, *(counts.get(f"{minute}|{name}", 0) for name in COUNTED))
            for minute in range(first, last + 1)
        ]


def together(beats: list[Beat], several: int) -> list[Beat]:
    """Several beats each as one; what is left over at the old end is left out."""
    first = len(beats) % several
    parts = (beats[start : start + several] for start in range(first, len(beats), several))
    return [
        Beat(part[0].at_ms, *(sum(getattr(one, name) for one in part) for name in COUNTED)) for part in parts
    ]

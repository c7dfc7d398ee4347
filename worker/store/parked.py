"""Parked lanes: what waits for a person, by itself or with its integration, and the step that frees it."""

from dataclasses import dataclass
from typing import Any

from worker.domain.delivery import lane_parts
from worker.store.pages import MOST, Page, every, place, read_place
from worker.store.server import Server, text


@dataclass(frozen=True, slots=True)
class ParkedLane:
    """A lane that waits for a person: `reason` is the code, `detail` says it in words, `hint` is the step."""

    lane: str
    reason: str
    detail: str
    hint: str
    pending: int
    since_ms: int
    whole_integration: bool = False

    @property
    def channel(self) -> str:
        """Where to, as a person wrote it."""
        return lane_parts(self.lane)[1]


class ParkedLanes:
    """List them; a lane whose integration is parked too is freed with that."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys = server.keys

    async def page(self, after: str | None = None, limit: int = 50) -> Page[ParkedLane]:
        """Some of them, the longest waiting first. Problem when `after` is no place in this list."""
        keys = self._keys
        since_ms, lane = read_place(after, r"\d+", "(?s:.+)")
        names = (keys.named("lanes"), keys.named("integrations"))
        arguments = (keys.lane(""), keys.integration(""), min(limit, MOST), since_ms, lane)
        more, *flat = await self._server.script("parked_page", names, arguments)
        rows = tuple(map(_parked, zip(*(flat[part::7] for part in range(7)), strict=True)))
        return Page(rows, place((rows[-1].since_ms, rows[-1].lane)) if more else None)

    async def all(self) -> list[ParkedLane]:
        """All of them."""
        return [one async for one in every(lambda after: self.page(after, MOST))]


def _parked(row: tuple[Any, ...]) -> ParkedLane:
    lane, since_ms, waiting, code, reason, hint, whole = row
    words = (text(lane), text(code), text(reason), text(hint))
    return ParkedLane(*words, int(waiting), int(since_ms), bool(whole))

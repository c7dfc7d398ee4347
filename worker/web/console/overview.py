"""Overview: what needs action, activity charts and the ledger on one page."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Response

from worker.domain.delivery import lane_parts
from worker.services.lanes import get_parked_page
from worker.services.status import get_status
from worker.store.metrics import MINUTES_PER_HOUR, MinuteActivity, group_minutes
from worker.web.console.request import ConsoleRequestDep

DAY_BAR_MINUTES = 15
MAX_LANES, MAX_PARKED = 6, 5
router = APIRouter()


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart in which events and messages share a scale: a digest of a storm is seen as such."""

    spans: Sequence[MinuteActivity]
    width: int = 600
    height: int = 72

    @property
    def largest(self) -> int:
        """The largest number of events or messages of a span."""
        return max((max(span.events, span.messages) for span in self.spans), default=0)

    def bar_height(self, value: int) -> float:
        """Return the height of a bar; even that of one event is visible."""
        return max(round(value / self.largest * self.height, 2), 1.5) if value else 0.0


@router.get("/")
async def show_overview(request: ConsoleRequestDep) -> Response:
    """Show what needs action, the activity and the ledger."""
    app = request.app
    status, parked, dead, minutes = await asyncio.gather(
        get_status(app),
        get_parked_page(app, limit=MAX_PARKED),
        app.dead_letters.count_by_reason(),
        app.metrics.list_minutes(),
    )
    running = [lane for lane in status.snapshot.lanes if not lane.parked and not lane.integration_parked]
    due = {lane.lane: lane.pending - lane.held for lane in running}
    waiting = sorted((item for item in due.items() if item[1]), key=lambda item: -item[1])
    return request.render(
        "overview.html",
        health=status.health,
        status=status,
        balance=status.balance,
        parked=[lane for lane in parked.rows if not lane.whole_integration],
        waiting=[(*lane_parts(lane), pending) for lane, pending in waiting[:MAX_LANES]],
        held=sum(lane.held for lane in status.snapshot.lanes),
        waiting_left=max(len(waiting) - MAX_LANES, 0),
        dead=sorted(dead.items(), key=lambda reason: -reason[1]),
        hour=Chart(minutes[-MINUTES_PER_HOUR:]),
        day=Chart(group_minutes(minutes, DAY_BAR_MINUTES)),
        now_ms=status.now_ms,
    )

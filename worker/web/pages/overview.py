"""Overview: how everything stands, on one page; what waits for a person comes first."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Response

from worker.asking.choosing import every_integration
from worker.bootstrap import Services
from worker.domain.delivery import lane_parts
from worker.store.ledger import LaneCount, take_census
from worker.store.pulse import MINUTES, Pulse, together
from worker.web.pages.chart import chart
from worker.web.pages.visit import Visiting

DAY_SPAN = 15
LANES_SHOWN, PARKED_SHOWN = 6, 5
LAG_MOST = 1_000  # a batch or two: more is worth a word


def overview(made: Services) -> APIRouter:
    """`/`"""
    router, pulse = APIRouter(), Pulse(made.server)

    @router.get("/")
    async def shown(visit: Visiting) -> Response:
        (balance, lanes), integrations, parked, dead = await asyncio.gather(
            take_census(made.server),
            every_integration(made),
            made.parked.page(limit=PARKED_SHOWN),
            made.dead_letters.reasons(),
        )
        lag, beats, missing, now_ms = await asyncio.gather(
            made.stream.lag(), pulse.minutes(), _missing(made), made.server.now_ms()
        )
        waiting = _waiting(lanes)
        return visit.page(
            "overview.html",
            balance=balance,
            integrations=integrations,
            parked=parked.rows,
            parked_lanes=sum(1 for one in lanes if one.parked or one.integration_parked),
            waiting=waiting[:LANES_SHOWN],
            waiting_left=max(len(waiting) - LANES_SHOWN, 0),
            dead=sorted(dead.items(), key=lambda one: -one[1]),
            lag=lag,
            lag_most=LAG_MOST,
            missing=missing,
            hour=chart(beats[-MINUTES:]),
            day=chart(together(beats, DAY_SPAN)),
            now_ms=now_ms,
        )

    return router


async def _missing(made: Services) -> list[str]:
    """The roles of which no process lives."""
    return [role for role in ("ingest", "worker") if not await made.upkeep.alive(role)]


def _waiting(lanes: Sequence[LaneCount]) -> list[tuple[str, str, int]]:
    """Lanes that wait for nobody but their turn: integration, destination, how many; the longest first."""
    running = [one for one in lanes if one.waiting and not one.parked and not one.integration_parked]
    return [(*lane_parts(one.lane), one.waiting) for one in sorted(running, key=lambda one: -one.waiting)]

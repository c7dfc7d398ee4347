"""Metrics: what the stores know, read when Prometheus asks for it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import APIRouter, Response

from worker.store.dead_letters import DeadLetters
from worker.store.ledger import take_census
from worker.store.metrics import Metrics
from worker.store.server import Server, Unavailable
from worker.store.stream import EventStream
from worker.store.upkeep import Upkeep
from worker.web.exposition import Figures, exposition

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
LOOK_S = 8.0  # Prometheus gives up after ten
ROLES = ("ingest", "worker")
KEPT_S = 1.0  # who asks more often reads the same again: a look costs Redis some milliseconds


@dataclass(slots=True)
class Reading:
    """The figures, read once for all who ask within `KEPT_S`."""

    server: Server
    metrics: Metrics
    dead_letters: DeadLetters
    stream: EventStream
    upkeep: Upkeep
    clock: Callable[[], float] = time.monotonic
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _last: tuple[float, Figures] | None = None

    async def figures(self) -> Figures:
        """As of now, or a moment ago. Unavailable when Redis does not answer."""
        async with self._asking:
            now = self.clock()
            if self._last is None or now >= self._last[0] + KEPT_S:
                balance, lanes = await take_census(self.server)
                counted, dead = await self.metrics.counted(), await self.dead_letters.reasons()
                alive = {role: len(await self.upkeep.alive(role)) for role in ROLES}
                self._last = now, Figures(balance, lanes, counted, dead, await self.stream.lag(), alive)
            return self._last[1]


def metrics(reading: Reading) -> APIRouter:
    """`/metrics`; takes no credentials."""
    router = APIRouter(tags=["health"])

    @router.get(
        "/metrics",
        summary="Metrics in the text format of Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, 503: {"description": "Redis does not answer"}},
    )
    async def scrape() -> Response:
        try:
            async with asyncio.timeout(LOOK_S):
                figures = await reading.figures()
        except (TimeoutError, Unavailable):
            return Response("Redis does not answer: start it.\n", 503, media_type="text/plain")
        return Response(exposition(figures), headers={"content-type": TEXT_FORMAT})

    return router

"""Health checks, and metrics for Prometheus, which are read from Redis when they are scraped."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel

from worker.bootstrap.context import AppContext
from worker.domain.delivery import Outcome
from worker.domain.event import Kind
from worker.store.ledger import Balance, LaneCount, take_ledger_snapshot
from worker.store.metrics import MetricTotals
from worker.store.redis_errors import RedisFailure, StoreUnavailable
from worker.telemetry import BUCKETS, OVER
from worker.web.requests import AppDep

NO_ANSWER = f"{RedisFailure.NO_ANSWER.reason}. {RedisFailure.NO_ANSWER.fix}"
CHECK_S = 3.0
READ_S = 8.0  # Prometheus gives up after ten
CACHE_S = 1.0  # more frequent scrapes get the same figures: reading them costs Redis some milliseconds
ROLES = ("ingest", "worker")
POSTING = ("chat.postMessage", "chat.update")
TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]
Part = Literal["redis", "stream", "worker"]


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Readiness for events; `missing` says what is missing, and what to do."""

    ready: bool
    missing: dict[Part, str]


@dataclass(frozen=True, slots=True, eq=False)
class Figures(Collector):
    """All figures of one moment, as a collector of Prometheus."""

    balance: Balance
    lanes: Sequence[LaneCount]
    counted: MetricTotals
    dead: Mapping[str, int]
    lag: int
    alive: Mapping[str, int]

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, counters first."""
        yield from self._collect_counters()
        yield _histogram(
            "event_to_post", "Seconds from accepting an event to Slack's answer, per delivery.", self.counted
        )
        yield _histogram("post", "Seconds of a Slack API call, retries included.", self.counted)
        yield _histogram("pace_wait", "Seconds a Slack API call waited for its rate-limit slot.", self.counted)
        balance, reasons = self.balance, [lane.parked or lane.integration_parked for lane in self.lanes]
        parked = Counter(reason for reason in reasons if reason)
        yield _gauge("lane_pending", "Pending deliveries in lanes that are not parked.", balance.pending)
        yield _gauge("lanes_parked", "Parked lanes, by reason.", parked, "reason")
        yield _gauge("dead_letters", "Dead letters, by reason.", self.dead, "reason")
        yield _gauge("alive", "Processes with a recent heartbeat, by role.", self.alive, "role")
        yield _gauge("stream_lag", "Stream entries not yet routed to lanes.", self.lag)
        yield _gauge("unaccounted", "Events and deliveries missing from the ledger; should be 0.", balance.unaccounted)

    def _collect_counters(self) -> Iterator[Metric]:
        labelled, ever = self.counted.labelled, self.counted.labelled("ever")
        kinds = {(kind.value,): 0 for kind in Kind} | labelled("kind")
        yield _counter("events_accepted", "Distinct events accepted by the stream, by kind.", ("kind",), kinds)
        rejected: dict[Labels, int] = {("unreadable",): ever.get(("rejected",), 0)}
        yield _counter("events_rejected", "Unreadable stream entries, kept as dead letters.", ("reason",), rejected)
        help_text = "Stream entries that were removed before they were read."
        yield _counter("events_lost", help_text, (), {(): self.balance.lost})
        outcomes = ("delivered", "merged", "discarded", "repeated")
        finished: dict[Labels, int] = {(name,): getattr(self.balance, name) for name in outcomes}
        finished["dead",] = ever.get(("dead",), 0)
        help_text = (
            "Finished deliveries by outcome; a replayed dead letter finishes again. "
            "Repeated deliveries, posted again after a call of unknown outcome, are also counted as delivered."
        )
        yield _counter("deliveries", help_text, ("outcome",), finished)
        calls, throttled = Counter[Labels](), Counter[Labels]({(method,): 0 for method in POSTING})
        for (method, outcome, code), count in labelled("call").items():
            calls[method, code] += count
            throttled[method,] += count if outcome == Outcome.THROTTLED else 0
        throttled.update(labelled("throttled"))
        yield _counter(
            "attempts", "Slack API calls that post or update messages, by result.", ("method", "code"), calls
        )
        yield _counter("throttled", "Slack API calls that Slack rate-limited.", ("method",), throttled)
        help_text = "Times a lane or an integration was parked, by reason."
        yield _counter("parkings", help_text, ("scope", "reason"), labelled("parkings"))
        help_text = "Alerts that a webhook left out, that could not be read or that were cut, by system and reason."
        yield _counter("webhook_faults", help_text, ("source", "reason"), labelled("webhook_faults"))


def _counter(name: str, help_text: str, labels: Labels, values: Mapping[Labels, int]) -> Metric:
    family = CounterMetricFamily(f"ikslack_{name}", help_text, labels=labels)
    for label_values, value in sorted(values.items()):
        family.add_metric(label_values, value)
    return family


def _gauge(name: str, help_text: str, values: Mapping[str, int] | int, label: str = "") -> Metric:
    if isinstance(values, int):
        return GaugeMetricFamily(f"ikslack_{name}", help_text, value=values)
    family = GaugeMetricFamily(f"ikslack_{name}", help_text, labels=(label,))
    for label_value, value in sorted(values.items()):
        family.add_metric((label_value,), value)
    return family


def _histogram(name: str, help_text: str, counted: MetricTotals) -> Metric:
    bounds, counts = [*map(str, BUCKETS[name]), OVER], counted.labelled(name)
    cumulative = accumulate(counts.get((bound,), 0) for bound in bounds)
    family = HistogramMetricFamily(f"ikslack_{name}_seconds", help_text)
    family.add_metric((), list(zip(bounds, cumulative, strict=True)), counted.sums.get(name, 0.0))
    return family


@dataclass(slots=True)
class MetricsReader:
    """Reads the figures, once for all requests within `CACHE_S`."""

    app: AppContext
    clock: Callable[[], float] = time.monotonic
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _last: tuple[float, Figures] | None = None

    async def figures(self) -> Figures:
        """Return the figures; raises StoreUnavailable when Redis does not answer."""
        app = self.app
        async with self._reading:
            now = self.clock()
            if self._last is None or now >= self._last[0] + CACHE_S:
                snapshot = await take_ledger_snapshot(app.redis)
                figures = Figures(
                    balance=snapshot.balance,
                    lanes=snapshot.lanes,
                    counted=await app.metrics.get_totals(),
                    dead=await app.dead_letters.count_by_reason(),
                    alive={role: len(await app.processes.list_alive(role)) for role in ROLES},
                    lag=await app.stream.lag(),
                )
                self._last = now, figures
            return self._last[1]


def monitoring_router() -> APIRouter:
    """Return the router of `/healthz`, `/readyz` and `/metrics`, which need no credentials."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="Whether the process is alive")
    async def healthz() -> Alive:
        return Alive()

    @router.get(
        "/readyz",
        summary="Whether Redis answers, the stream exists and takes events, and a worker is alive",
        responses={503: {"model": Readiness, "description": "Something is missing"}},
    )
    async def readyz(app: AppDep, response: Response) -> Readiness:
        missing: dict[Part, str] = {}
        try:
            async with asyncio.timeout(CHECK_S):
                if not await app.stream.exists():
                    missing["stream"] = "There is no stream: start `ik-slack ingest`, which creates it."
                await app.stream.require_writable()
                if not await app.processes.list_alive("worker"):
                    missing["worker"] = "No worker has sent a heartbeat in the last 15 s: start one."
        except TimeoutError:
            missing = {"redis": NO_ANSWER}
        except StoreUnavailable as error:
            part: Part = "stream" if error.failure is RedisFailure.EXHAUSTED else "redis"
            missing[part] = f"{error.failure.reason}. {error.failure.fix}"
        response.status_code = 503 if missing else 200
        response.headers["cache-control"] = "no-store"
        return Readiness(ready=not missing, missing=missing)

    @router.get(
        "/metrics",
        summary="Metrics in the text format of Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, 503: {"description": "Redis does not answer"}},
    )
    async def scrape(request: Request) -> Response:
        reader: MetricsReader = request.state.metrics
        try:
            async with asyncio.timeout(READ_S):
                figures = await reader.figures()
        except TimeoutError:
            return Response(f"{NO_ANSWER}\n", 503, media_type="text/plain")
        except StoreUnavailable as error:
            return Response(f"{error.failure.reason}. {error.failure.fix}\n", 503, media_type="text/plain")
        return Response(generate_latest(figures), headers={"content-type": TEXT_FORMAT})

    return router

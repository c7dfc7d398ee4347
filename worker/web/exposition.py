"""Exposition: figures become the metrics Prometheus reads, every one with its help text.

Labels come from fixed sets and from Slack's error codes; no metric names a channel or an integration.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from worker.domain.delivery import Outcome
from worker.domain.event import Kind
from worker.store.ledger import Balance, LaneCount
from worker.store.metrics import Counted
from worker.telemetry import BUCKETS, OVER

POSTING = ("chat.postMessage", "chat.update")
Labels = tuple[str, ...]
Values = Mapping[Labels, int]


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is told, as of one moment."""

    balance: Balance
    lanes: Sequence[LaneCount]
    counted: Counted
    dead: Mapping[str, int]
    lag: int
    alive: Mapping[str, int]


def exposition(figures: Figures) -> bytes:
    """In the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Read(figures))
    return generate_latest(registry)


class _Read(Collector):
    """Figures that were read already."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """All of them, counters first."""
        yield from _of_events(self._figures)
        yield from _of_calls(self._figures.counted)
        yield from _waiting(self._figures)


def _of_events(figures: Figures) -> Iterator[Metric]:
    balance, counted = figures.balance, figures.counted
    kinds = {(kind.value,): 0 for kind in Kind} | counted.labelled("kind")
    about = "Events the stream accepted, each once, by what they are about."
    yield _counter("events_accepted", about, ("kind",), kinds)
    rejected: Values = {("unreadable",): counted.labelled("ever").get(("rejected",), 0)}
    yield _counter("events_rejected", "Entries of the stream nobody could read.", ("reason",), rejected)
    ended: Values = {
        ("delivered",): balance.delivered,
        ("merged",): balance.merged,
        ("dead",): counted.labelled("ever").get(("dead",), 0),
        ("discarded",): balance.discarded,
        ("repeated",): balance.repeated,
    }
    about = (
        "Deliveries by how they ended; a dead letter that is replayed ends once more. "
        "Those repeated are counted as delivered too: told again after a call of unknown outcome."
    )
    yield _counter("deliveries", about, ("outcome",), ended)


def _of_calls(counted: Counted) -> Iterator[Metric]:
    calls, throttled = Counter[Labels](), Counter[Labels]({(method,): 0 for method in POSTING})
    for (method, outcome, code), count in counted.labelled("call").items():
        calls[method, code] += count
        throttled[method,] += count if outcome == Outcome.THROTTLED else 0
    throttled.update(counted.labelled("throttled"))
    about = "Calls to Slack that tell something, by Slack's answer."
    yield _counter("attempts", about, ("method", "code"), calls)
    yield _counter("throttled", "Calls that Slack answered with a wait.", ("method",), throttled)
    about = "Times a lane or a whole integration began to wait for a person, by the reason."
    yield _counter("parkings", about, ("scope", "reason"), counted.labelled("parkings"))
    about = "Seconds from the stream accepting an event to Slack's answer, for each delivery."
    yield _histogram("event_to_post", about, counted)
    yield _histogram("post", "Seconds a call to Slack took, with its tries.", counted)
    yield _histogram("pace_wait", "Seconds a call waited for its slot.", counted)


def _waiting(figures: Figures) -> Iterator[Metric]:
    balance, reasons = figures.balance, [one.parked or one.integration_parked for one in figures.lanes]
    parked = Counter[Labels]((reason,) for reason in reasons if reason)
    dead: Values = {(reason,): count for reason, count in figures.dead.items()}
    yield _gauge("lane_pending", "Deliveries that wait in lanes which are not parked.", balance.pending)
    yield _gauges("lanes_parked", "Lanes that wait for a person, by the reason.", parked)
    yield _gauges("dead_letters", "Dead letters by their reason.", dead)
    alive: Values = {(role,): count for role, count in figures.alive.items()}
    yield _gauges("alive", "Processes seen lately, by what they do.", alive, label="role")
    yield _gauge("stream_lag", "Entries of the stream that are not in lanes yet.", figures.lag)
    yield _gauge("unaccounted", "Events and deliveries nobody can account for: 0.", balance.unaccounted)


def _counter(name: str, about: str, labels: Sequence[str], values: Values) -> Metric:
    family = CounterMetricFamily(f"ikslack_{name}", about, labels=labels)
    for found, value in sorted(values.items()):
        family.add_metric(found, value)
    return family


def _gauge(name: str, about: str, value: int) -> Metric:
    return GaugeMetricFamily(f"ikslack_{name}", about, value=value)


def _gauges(name: str, about: str, values: Values, label: str = "reason") -> Metric:
    family = GaugeMetricFamily(f"ikslack_{name}", about, labels=(label,))
    for found, value in sorted(values.items()):
        family.add_metric(found, value)
    return family


def _histogram(name: str, about: str, counted: Counted) -> Metric:
    bounds = [*map(str, BUCKETS[name]), OVER]
    found = counted.labelled(name)
    up_to = accumulate(found.get((bound,), 0) for bound in bounds)
    family = HistogramMetricFamily(f"ikslack_{name}_seconds", about)
    family.add_metric((), list(zip(bounds, up_to, strict=True)), counted.sums.get(name, 0.0))
    return family

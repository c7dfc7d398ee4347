"""Metrics: exactly the documented ones, without any text from events."""

import dataclasses

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.web import Web

from worker.domain.event import Kind
from worker.domain.hints import Hint
from worker.store.events import AcceptedEvent
from worker.store.lanes import Lease, NewDelivery
from worker.telemetry import Counters
from worker.web.observability import CACHE_S, MetricsReader

PROMISED = {
    "ikslack_events_accepted": "counter",
    "ikslack_events_rejected": "counter",
    "ikslack_events_lost": "counter",
    "ikslack_deliveries": "counter",
    "ikslack_attempts": "counter",
    "ikslack_throttled": "counter",
    "ikslack_parkings": "counter",
    "ikslack_webhook_faults": "counter",
    "ikslack_event_to_post_seconds": "histogram",
    "ikslack_post_seconds": "histogram",
    "ikslack_pace_wait_seconds": "histogram",
    "ikslack_alive": "gauge",
    "ikslack_lane_pending": "gauge",
    "ikslack_lanes_parked": "gauge",
    "ikslack_dead_letters": "gauge",
    "ikslack_stream_lag": "gauge",
    "ikslack_unaccounted": "gauge",
}

Sample = tuple[str, tuple[tuple[str, str], ...]]


async def samples(web: Web) -> dict[Sample, float]:
    """Return every sample by its name and labels, as Prometheus reads it."""
    status, body = await web.get("/metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def value(found: dict[Sample, float], name: str, **labels: str) -> float:
    return found[f"ikslack_{name}", tuple(sorted(labels.items()))]


async def append(web: Web, lane: str, *ids: str) -> None:
    await web.app.lanes.append(lane, [NewDelivery(id_, f"{id_}.s", "s1", 7) for id_ in ids])


async def hold(web: Web, lane: str) -> Lease:
    held = await web.app.lanes.acquire(lane, "token")
    assert isinstance(held, Lease)
    return held


async def test_the_metrics_are_exactly_the_documented_ones_with_their_help(web: Web) -> None:
    _, body = await web.get("/metrics")
    found = list(text_string_to_metric_families(body))
    assert {family.name: family.type for family in found} == PROMISED
    assert all(family.documentation for family in found)


async def test_a_new_installation_has_only_zeros(web: Web) -> None:
    found = await samples(web)
    assert set(found.values()) == {0.0}
    kinds = {labels for name, labels in found if name == "ikslack_events_accepted_total"}
    assert kinds == {(("kind", kind.value),) for kind in Kind}


async def test_pending_and_parked_deliveries_are_counted_by_reason(web: Web) -> None:
    await append(web, "ops/#secret-plans", "a", "b")
    await append(web, "ops/#parked", "c")
    held = await hold(web, "ops/#parked")
    await web.app.lanes.park(held, "is_archived", "why", Hint.of("how"), probe_s=60, called=False)
    await append(web, "dev/#held", "d")
    await web.app.integrations.park("dev", "token_revoked", "why", Hint.of("how"), probe_s=60)
    found = await samples(web)
    assert value(found, "lane_pending") == 2
    assert value(found, "lanes_parked", reason="is_archived") == 1
    assert value(found, "lanes_parked", reason="token_revoked") == 1
    assert value(found, "unaccounted") == 0


async def test_unaccounted_deliveries_are_counted(web: Web) -> None:
    await append(web, "ops/#a", "a")
    await web.app.redis.command("HINCRBY", "ik:ledger", "created", 3)
    assert value(await samples(web), "unaccounted") == 3


async def test_unread_entries_are_the_lag_of_the_stream(web: Web) -> None:
    await web.app.stream.create_group()
    await web.app.redis.command("XADD", web.app.stream.stream, "*", "event", "{}")
    assert value(await samples(web), "stream_lag") == 1


async def test_live_processes_are_counted_by_role(web: Web) -> None:
    for who in ("a", "b"):
        await web.app.processes.record_heartbeat("worker", who)
    found = await samples(web)
    assert (value(found, "alive", role="worker"), value(found, "alive", role="ingest")) == (2, 0)


async def test_an_unreadable_entry_counts_as_rejected_and_as_a_dead_letter(web: Web) -> None:
    stream = web.app.stream
    await web.app.events.reject(stream.stream, stream.group, "7-1", {b"x": b"y"}, "no")
    found = await samples(web)
    assert value(found, "events_rejected_total", reason="unreadable") == 1
    assert value(found, "dead_letters", reason="unreadable") == 1


async def test_accepted_events_are_counted_by_kind(web: Web) -> None:
    stream = web.app.stream
    await web.app.events.accept(stream.stream, stream.group, [AcceptedEvent("e.s", "1-1", Kind.ALERT, is_repeat=False)])
    assert value(await samples(web), "events_accepted_total", kind="alert") == 1


async def test_calls_are_counted_by_slacks_answer_and_throttled_calls_separately(web: Web) -> None:
    await append(web, "ops/#a", "a")
    held = await hold(web, "ops/#a")
    await web.app.lanes.take(held, ("c1", "c2"))
    await web.app.lanes.release(held, outcome="throttled", code="ratelimited", wait_s=9)
    counters = Counters()
    counters.increment("throttled", "conversations.list")
    await web.app.metrics.save(counters)
    found = await samples(web)
    assert value(found, "attempts_total", method="chat.postMessage", code="ratelimited") == 1
    assert value(found, "throttled_total", method="chat.postMessage") == 1
    assert value(found, "throttled_total", method="conversations.list") == 1


async def test_the_buckets_of_a_histogram_add_up(web: Web) -> None:
    counters = Counters()
    counters.observe("post", [0.004, 0.2, 0.2, 99.0])
    await web.app.metrics.save(counters)
    found = await samples(web)
    got = [value(found, "post_seconds_bucket", le=le) for le in ("0.005", "0.1", "0.25", "15.0", "+Inf")]
    assert got == [1, 1, 3, 3, 4]
    assert value(found, "post_seconds_count") == 4
    assert value(found, "post_seconds_sum") == pytest.approx(99.404)


async def test_no_metric_names_a_channel_or_an_integration(web: Web) -> None:
    await append(web, "acme/#secret-plans", "a")
    held = await hold(web, "acme/#secret-plans")
    await web.app.lanes.park(held, "is_archived", "why #secret-plans", Hint.of("how"), probe_s=60, called=False)
    for path in ("/metrics", "/readyz", "/healthz"):
        _, body = await web.get(path)
        assert "secret-plans" not in body
        assert "acme" not in body


async def test_without_redis_the_metrics_are_503(web: Web) -> None:
    web.redis.connected = False
    assert await web.get("/metrics") == (503, "Redis does not answer. Start it, or correct REDIS_URL.\n")


async def test_metrics_are_cached_for_a_short_time(web: Web) -> None:
    now = [100.0]
    app = web.app
    reading = MetricsReader(app, lambda: now[0])
    first = await reading.figures()
    await append(web, "ops/#a", "a")
    assert (await reading.figures()) is first
    now[0] += CACHE_S
    assert (await reading.figures()).balance == dataclasses.replace(first.balance, created=1, pending=1)

"""Metrics: exactly those that are promised, and nothing in them that somebody else may write."""

import dataclasses

import pytest
from prometheus_client.parser import text_string_to_metric_families
from web_house import Web

from worker.domain.event import Kind
from worker.store.events import Accepted
from worker.store.held import Entry, Held
from worker.telemetry import Counters
from worker.web.metrics import KEPT_S, Reading

PROMISED = {
    "ikslack_events_accepted": "counter",
    "ikslack_events_rejected": "counter",
    "ikslack_deliveries": "counter",
    "ikslack_attempts": "counter",
    "ikslack_throttled": "counter",
    "ikslack_parkings": "counter",
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
    """Every sample by its name and labels, as Prometheus would read it."""
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
    await web.made.lanes.append(lane, [Entry(id_, f"{id_}.s", "s1", 7) for id_ in ids])


async def hold(web: Web, lane: str) -> Held:
    held = await web.made.lanes.acquire(lane, "token")
    assert isinstance(held, Held)
    return held


async def test_they_are_exactly_those_that_are_promised_each_with_its_help(web: Web) -> None:
    _, body = await web.get("/metrics")
    found = list(text_string_to_metric_families(body))
    assert {family.name: family.type for family in found} == PROMISED
    assert all(family.documentation for family in found)


async def test_a_new_installation_has_nothing_but_zeros(web: Web) -> None:
    found = await samples(web)
    assert set(found.values()) == {0.0}
    kinds = {labels for name, labels in found if name == "ikslack_events_accepted_total"}
    assert kinds == {(("kind", kind.value),) for kind in Kind}


async def test_what_waits_and_what_is_parked_is_told_by_the_reason(web: Web) -> None:
    await append(web, "ops/#secret-plans", "a", "b")
    await append(web, "ops/#parked", "c")
    held = await hold(web, "ops/#parked")
    await web.made.lanes.park(held, "is_archived", "why", "how", probe_s=60, called=False)
    await append(web, "dev/#held", "d")
    await web.made.integrations.park("dev", "token_revoked", "why", "how", probe_s=60)
    found = await samples(web)
    assert value(found, "lane_pending") == 2
    assert value(found, "lanes_parked", reason="is_archived") == 1
    assert value(found, "lanes_parked", reason="token_revoked") == 1
    assert value(found, "unaccounted") == 0


async def test_a_balance_that_does_not_hold_is_told(web: Web) -> None:
    await append(web, "ops/#a", "a")
    await web.made.server.command("HINCRBY", "ik:ledger", "created", 3)
    assert value(await samples(web), "unaccounted") == 3


async def test_what_nobody_has_read_yet_is_the_streams_lag(web: Web) -> None:
    await web.made.stream.join()
    await web.made.server.command("XADD", web.made.stream.stream, "*", "event", "{}")
    assert value(await samples(web), "stream_lag") == 1


async def test_processes_that_were_seen_lately_are_told_by_what_they_do(web: Web) -> None:
    for who in ("a", "b"):
        await web.made.upkeep.beat("worker", who)
    found = await samples(web)
    assert (value(found, "alive", role="worker"), value(found, "alive", role="ingest")) == (2, 0)


async def test_an_entry_nobody_can_read_is_rejected_and_a_dead_letter(web: Web) -> None:
    stream = web.made.stream
    await web.made.events.reject(stream.stream, stream.group, "7-1", {b"x": b"y"}, "no")
    found = await samples(web)
    assert value(found, "events_rejected_total", reason="unreadable") == 1
    assert value(found, "dead_letters", reason="unreadable") == 1


async def test_accepted_events_are_told_by_their_kind(web: Web) -> None:
    stream = web.made.stream
    await web.made.events.accept(
        stream.stream, stream.group, [Accepted("e.s", "1-1", Kind.ALERT, is_repeat=False)]
    )
    assert value(await samples(web), "events_accepted_total", kind="alert") == 1


async def test_calls_are_told_by_slacks_answer_and_those_it_throttled_apart(web: Web) -> None:
    await append(web, "ops/#a", "a")
    held = await hold(web, "ops/#a")
    await web.made.lanes.take(held, ("c1", "c2"))
    await web.made.lanes.release(held, outcome="throttled", code="ratelimited", wait_s=9)
    counters = Counters()
    counters.count("throttled", "conversations.list")
    await web.made.metrics.write_down(counters)
    found = await samples(web)
    assert value(found, "attempts_total", method="chat.postMessage", code="ratelimited") == 1
    assert value(found, "throttled_total", method="chat.postMessage") == 1
    assert value(found, "throttled_total", method="conversations.list") == 1


async def test_the_buckets_of_a_histogram_add_up(web: Web) -> None:
    counters = Counters()
    counters.measure("post", [0.004, 0.2, 0.2, 99.0])
    await web.made.metrics.write_down(counters)
    found = await samples(web)
    got = [value(found, "post_seconds_bucket", le=le) for le in ("0.005", "0.1", "0.25", "15.0", "+Inf")]
    assert got == [1, 1, 3, 3, 4]
    assert value(found, "post_seconds_count") == 4
    assert value(found, "post_seconds_sum") == pytest.approx(99.404)


async def test_no_channel_and_no_integration_is_named(web: Web) -> None:
    await append(web, "acme/#secret-plans", "a")
    held = await hold(web, "acme/#secret-plans")
    await web.made.lanes.park(held, "is_archived", "why #secret-plans", "how", probe_s=60, called=False)
    for path in ("/metrics", "/readyz", "/healthz"):
        _, body = await web.get(path)
        assert "secret-plans" not in body
        assert "acme" not in body


async def test_without_redis_it_says_so(web: Web) -> None:
    web.redis.connected = False
    assert await web.get("/metrics") == (503, "Redis does not answer: start it.\n")


async def test_who_asks_again_at_once_reads_the_same(web: Web) -> None:
    now = [100.0]
    made = web.made
    reading = Reading(made.server, made.metrics, made.dead_letters, made.stream, made.upkeep, lambda: now[0])
    first = await reading.figures()
    await append(web, "ops/#a", "a")
    assert (await reading.figures()) is first
    now[0] += KEPT_S
    assert (await reading.figures()).balance == dataclasses.replace(first.balance, created=1, pending=1)

"""Stored metrics: summed over processes and restarts, exact where a script counts."""

import pytest
from redis.exceptions import RedisError
from support.store import GROUP, STREAM, World

from worker.domain.delivery import Outcome
from worker.store.events import AcceptedEvent
from worker.store.metrics import Metrics
from worker.telemetry import Counters


def counters_with_one(*labels: str, by: int = 1) -> Counters:
    """Return counters with one count."""
    counters = Counters()
    counters.increment(*labels, by=by)
    return counters


async def test_counts_of_several_processes_are_added(world: World):
    kept = Metrics(world.server)
    for seconds in (0.25, 0.75):
        counters = counters_with_one("parkings", "lane", "is_archived")
        counters.observe("post", [seconds])
        await kept.save(counters)
        assert (counters.counts, counters.sums) == ({}, {})
    found = await kept.get_totals()
    assert found.labelled("parkings") == {("lane", "is_archived"): 2}
    assert found.labelled("post") == {("0.25",): 1, ("1.0",): 1}
    assert found.sums == {"post": 1.0}


async def test_nothing_is_written_when_nothing_was_counted(world: World):
    await Metrics(world.server).save(Counters())
    assert await world.redis.exists("t:metrics") == 0


async def test_counts_that_cannot_be_saved_are_kept_for_the_next_save(world: World):
    kept, counters = Metrics(world.server), counters_with_one("parkings", "lane", "is_archived")
    await world.redis.set("t:metrics", "in the way")
    with pytest.raises(RedisError):
        await kept.save(counters)
    counters.increment("parkings", "lane", "is_archived")
    await world.redis.delete("t:metrics")
    await kept.save(counters)
    assert (await kept.get_totals()).labelled("parkings") == {("lane", "is_archived"): 2}


async def test_each_call_is_counted_once_with_slacks_error_code(world: World):
    await world.append("a", "b")
    held = await world.hold()
    await world.take(held, most=1)
    await world.lanes.close_attempt(held, Outcome.TRANSIENT, "service_unavailable", 1)
    await world.lanes.close_attempt(held, Outcome.TRANSIENT, "service_unavailable", 1)  # none is open
    await world.lanes.open_attempt(held, "chat.update")
    await world.lanes.release(held, outcome=Outcome.THROTTLED, code="ratelimited", wait_s=0)
    await world.deliver()
    found = (await Metrics(world.server).get_totals()).labelled("call")
    assert found == {
        ("chat.postMessage", "transient", "service_unavailable"): 1,
        ("chat.update", "throttled", "ratelimited"): 1,
        ("chat.postMessage", "delivered", "ok"): 1,
    }


@pytest.mark.parametrize("code", ["a|b", "what\nis this", "é", "x" * 65])
async def test_an_error_code_that_is_not_a_short_plain_word_counts_as_other(world: World, code: str):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.release(held, outcome=Outcome.TRANSIENT, code=code, wait_s=9)
    found = (await Metrics(world.server).get_totals()).labelled("call")
    assert found == {("chat.postMessage", "transient", "other"): 1}


async def test_error_codes_beyond_the_maximum_count_as_other(world: World):
    await world.redis.hset("t:ledger", mapping={f"call|{number}": 1 for number in range(1_001)})
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.close_attempt(held, Outcome.TRANSIENT, "odd_code", 0)
    found = (await Metrics(world.server).get_totals()).labelled("call")
    assert found["chat.postMessage", "transient", "other"] == 1


async def test_a_call_of_a_killed_worker_is_counted(world: World):
    await world.append("a")
    await world.take(await world.hold())
    await world.lose_lease()
    await world.hold(token="h2")
    found = (await Metrics(world.server).get_totals()).labelled("call")
    assert found == {("chat.postMessage", "unknown", "worker_lost"): 1}


async def test_all_dead_letters_ever_are_counted(world: World):
    await world.dead("a", "b")
    await world.events.reject(STREAM, GROUP, "7-1", {b"x": b"y"}, "no")
    for letter in await world.dead_letters.list_all():
        await world.dead_letters.replay(letter, STREAM)
    assert (await Metrics(world.server).get_totals()).labelled("ever") == {("dead",): 2, ("rejected",): 1}


async def test_events_are_counted_by_kind_only_when_they_are_accepted(world: World):
    one = AcceptedEvent("e.s", "1-1", "alert", is_repeat=False)
    for _ in range(2):
        await world.events.accept(STREAM, GROUP, [one])
    await world.events.accept(STREAM, GROUP, [AcceptedEvent("e.s", "2-1", "alert", is_repeat=True)])
    assert (await Metrics(world.server).get_totals()).labelled("kind") == {("alert",): 1}

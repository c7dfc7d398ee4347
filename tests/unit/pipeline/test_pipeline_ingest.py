"""The stream becomes deliveries in lanes; every entry is accounted for once, also after crashes."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.events import alert
from support.examples import examples
from support.pipeline import ManualClock, Pipeline
from support.pipeline import open_pipeline as build

import worker.pipeline.ingest as ingest_module
from worker import sources
from worker.domain.errors import UserError
from worker.domain.event import Kind, Severity
from worker.domain.subscription import Filters
from worker.store.events import KEPT_BYTES
from worker.store.stream import EventStream, StreamEntry


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a read wait only a millisecond for new entries."""
    monkeypatch.setattr(ingest_module, "READ_WAIT_MS", 1)


async def run(house: Pipeline, rounds: int = 2) -> None:
    """Run ingest until it has checked this often whether it should stop."""
    looks = iter(range(10**9))
    house.app.ingest.stopping = lambda: next(looks) > rounds
    await house.app.ingest.run()


async def entries(house: Pipeline) -> list[StreamEntry]:
    found = await house.redis.xrange(house.app.stream.stream)
    return [StreamEntry(id_.decode(), fields) for id_, fields in found]


def failing(error: Exception) -> Any:
    async def fail() -> None:
        raise error

    return fail


async def unacknowledged(house: Pipeline) -> int:
    stream = house.app.stream
    return int((await house.redis.xpending(stream.stream, stream.group))["pending"])


async def test_an_event_becomes_a_delivery_in_its_lane(house: Pipeline) -> None:
    await house.publish(alert())
    await house.ingest()
    [delivery] = await house.deliveries()
    assert (delivery.lane, delivery.state, delivery.subscription_id) == ("acme/#ops", "pending", "sub-#ops")
    assert house.awake == ["acme/#ops"]
    assert await unacknowledged(house) == 0
    assert (await house.balance()).accepted == 1


async def test_a_batch_wakes_each_lane_once(house: Pipeline) -> None:
    await house.subscribe("#dev")
    await house.publish(*(alert() for _ in range(5)))
    await house.ingest()
    await house.publish(alert())
    await house.ingest()
    assert sorted(house.awake) == ["acme/#dev", "acme/#ops"]


async def test_an_event_without_a_matching_subscription_is_suppressed_with_a_reason(house: Pipeline) -> None:
    await house.subscribe(filters=Filters(kinds=(Kind.WORKFLOW,)))
    await house.publish(alert(id_="a"))
    await house.ingest()
    await house.app.subscriptions.save_and_remove(remove=["sub-#ops"])
    await house.publish(alert(id_="b"))
    await house.ingest()
    found = [(await house.app.events.find(id_))[0].suppressed for id_ in "ab"]
    assert found == ["no subscription matches", "there is no active subscription"]
    balance = await house.balance()
    assert (balance.accepted, balance.suppressed, balance.created) == (2, 2, 0)
    assert house.awake == []


async def test_a_new_subscription_is_used_from_the_next_batch(house: Pipeline) -> None:
    await house.publish(alert())
    await house.ingest()
    await house.subscribe("#dev", filters=Filters(min_severity=Severity.CRITICAL))
    await house.publish(alert(), alert("another", severity="info"))
    await house.ingest()
    assert [one.lane for one in await house.deliveries()].count("acme/#dev") == 1


async def test_the_same_event_again_is_a_repeat(house: Pipeline) -> None:
    await house.publish(alert(id_="x"), alert(id_="x"))
    await house.ingest()
    await house.publish(alert(id_="x"))
    await house.ingest()
    balance = await house.balance()
    assert (balance.accepted, balance.repeats_ignored, balance.created) == (1, 2, 1)


@settings(max_examples=examples(25), deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "c", "broken", "unknown"]), min_size=1, max_size=12),
    st.integers(1, 3),
    st.integers(1, 12),
)
@example(["a", "broken", "a", "unknown"], 2, 3)
async def test_processing_a_batch_twice_changes_nothing(names: list[str], times: int, size: int) -> None:
    async with build() as house:
        await house.subscribe(filters=Filters(min_severity=Severity.CRITICAL))
        bodies: list[Any] = [
            b"{" if name == "broken" else alert(name, id_=name, severity="info" if name == "unknown" else "critical")
            for name in names
        ]
        await house.publish(*bodies)
        await house.app.stream.create_group()
        found = await entries(house)
        for _ in range(times):
            for start in range(0, len(found), size):
                await house.app.ingest.process(found[start : start + size])
        balance = await house.balance()
        assert balance.created == len(set(names) & {"a", "b", "c"})
        assert balance.accepted == len(set(names) - {"broken"})
        assert balance.rejected == len(await house.dead()) == names.count("broken")
        assert balance.suppressed == ("unknown" in names)


@pytest.mark.parametrize("reply_lost", [False, True])
@pytest.mark.parametrize("at", range(1, 13))
async def test_after_a_crash_between_any_two_steps_a_batch_is_processed_again(at: int, reply_lost: bool) -> None:
    async with build() as house:
        await house.subscribe()
        await house.subscribe("#dev", filters=Filters(min_severity=Severity.CRITICAL))
        await house.app.stream.create_group()
        await house.publish(alert(id_="a"), b"{", alert("b", id_="b", severity="info"), alert(id_="a"))
        house.luck.fail(at, reply_lost=reply_lost)
        await run(house)
        house.luck.heal()
        await run(house)
        balance = await house.balance()
        assert (balance.accepted, balance.rejected, balance.repeats_ignored) == (2, 1, 1)
        assert (balance.created, balance.pending) == (3, 3)
        assert await unacknowledged(house) == 0


UNREADABLE = [
    (b"", "line 1 column 1"),
    (b"{", "line 1 column 2"),
    (b"[]", "the JSON is an array"),
    (b"\xff\xfe", "not UTF-8"),
    (b'{"a": NaN}', "NaN"),
    (b"{}", "entity_type: missing"),
    (b'{"specversion": "1.0"}', "id"),
    (b'{"specversion": "0.3", "id": "1"}', "specversion '0.3' is not supported: send 1.0"),
    (b'{"specversion": "1.0", "id": "1", "source": "s", "type": "io.infrakitchen.alert.firing"}', "data: missing"),
    (b"[" * 100_000, "nested"),
    (b'{"x": "' + b"y" * 300_000 + b'"}', "bytes"),
]


async def test_an_entry_with_a_byte_order_mark_is_accepted(house: Pipeline) -> None:
    await house.publish(b"\xef\xbb\xbf" + json.dumps(alert()).encode())
    await house.ingest()
    assert (await house.balance()).accepted == 1


@pytest.mark.parametrize(("raw", "said"), UNREADABLE)
async def test_an_unreadable_entry_is_a_dead_letter_with_its_bytes(house: Pipeline, raw: bytes, said: str) -> None:
    [entry_id] = await house.publish(raw)
    await house.publish(alert())
    await house.ingest()
    [letter] = await house.dead()
    kept = {b"event": raw[: KEPT_BYTES - len(b"event")]}
    assert (letter.id, letter.reason, letter.raw) == (entry_id, "unreadable", kept)
    assert said in letter.detail
    balance = await house.balance()
    assert (balance.rejected, balance.created) == (1, 1)
    assert await unacknowledged(house) == 0


async def test_an_entry_without_an_event_is_a_dead_letter_that_names_its_fields(house: Pipeline) -> None:
    await house.app.stream.create_group()
    fields = {b"data\xff": b"\x00", b"more": b""}
    await house.redis.xadd(house.app.stream.stream, fields)
    await house.ingest()
    [letter] = await house.dead()
    assert letter.raw == fields
    assert letter.detail == r"the entry has no field 'event' (its fields: 'data\xff', 'more')"


async def test_an_entry_that_was_deleted_meanwhile_is_a_dead_letter(house: Pipeline) -> None:
    await house.app.stream.create_group()
    await house.app.ingest.process([StreamEntry("5-0", {})])
    [letter] = await house.dead()
    assert letter.detail == "the entry has no field 'event' (its fields: none)"


async def test_an_unexpected_error_while_parsing_makes_a_dead_letter_and_does_not_stop_the_batch(
    house: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    parse = sources.parse

    def reading(raw: bytes, entry_id: str) -> Any:
        if b"poison" in raw:
            raise RuntimeError("a fault")
        return parse(raw, entry_id)

    monkeypatch.setattr(sources, "parse", reading)
    await house.publish(alert(), alert("poison"), alert())
    await house.ingest()
    [letter] = await house.dead()
    assert letter.detail == "an internal error occurred while parsing the entry (RuntimeError)"
    assert (await house.balance()).created == 2
    assert any(line.exc_info for line in caplog.records)


async def test_a_full_lane_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async with build(lane_max_length=3) as house:
        await house.connect()
        await house.subscribe()
        await house.publish(*(alert(f"n{n}") for n in range(5)))
        await house.ingest()
        letters = await house.dead()
        assert {letter.reason for letter in letters} == {"overflow"}
        balance = await house.balance()
        assert (balance.pending, balance.dead) == (3, 2)
        [line] = [line for line in caplog.records if line.message == "lane full, oldest deliveries dead-lettered"]
        assert (line.levelname, vars(line)["overflowed"]) == ("ERROR", 2)


async def test_two_consumers_share_the_entries(house: Pipeline) -> None:
    await house.publish(*(alert() for _ in range(30)))
    server = house.redis.connection_pool.connection_kwargs["server"]
    async with build(house.slack, house.hand, server=server) as other:
        await asyncio.gather(run(house), run(other))
    balance = await house.balance()
    assert (balance.accepted, balance.created, balance.repeats_ignored) == (30, 30, 0)
    assert await unacknowledged(house) == 0


async def test_the_entries_of_a_dead_consumer_are_claimed(house: Pipeline) -> None:
    await house.publish(alert())
    stream = house.app.stream
    await stream.create_group()
    dead = EventStream(house.app.redis, house.redis, stream=stream.stream, group=stream.group, consumer="dead")
    assert len(await dead.read(limit=10, wait_ms=1)) == 1
    await run(house)
    assert (await house.balance()).created == 0
    house.pass_time(11)
    await run(house)
    assert (await house.balance()).created == 1
    assert await unacknowledged(house) == 0


async def test_a_consumer_first_processes_the_entries_it_had_read_before(house: Pipeline) -> None:
    await house.publish(alert())
    await house.app.stream.create_group()
    assert await house.app.stream.read(limit=10, wait_ms=1)
    await run(house, rounds=1)
    assert (await house.balance()).created == 1


async def test_the_wait_for_redis_grows_with_each_try(house: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await house.publish(alert())
    house.luck.fail(1, 7)
    await run(house, rounds=10)
    assert house.hand.slept == [0.5, 1, 2, 4, 8, 10, 10]
    assert (await house.balance()).created == 1
    said = [line.message for line in caplog.records if line.name == "worker.ingest"]
    assert said == ["Redis does not answer"] * 7 + ["Redis answers again"]


async def test_an_unexpected_error_is_logged_with_its_stack_and_tried_again_after_a_growing_wait(
    house: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await house.publish(alert())
    with monkeypatch.context() as patch:
        patch.setattr(house.app.subscriptions, "list_all", failing(RuntimeError("a bug")))
        await run(house, rounds=6)
    lines = [line for line in caplog.records if line.name == "worker.ingest"]
    assert {(line.message, line.exc_info is None) for line in lines} == {("unexpected error while ingesting", False)}
    assert house.hand.slept[:3] == [0.5, 1, 2]
    assert await unacknowledged(house) == 1
    await run(house)
    assert (await house.balance()).created == 1


async def test_data_of_a_newer_version_ends_the_process(house: Pipeline) -> None:
    await house.redis.hset("ik:origin", mapping={"id": "a", "layout": 99, "began": 1, "lost": ""})
    with pytest.raises(UserError, match="newer version"):
        await run(house)


async def test_a_consumer_stops_without_an_error_while_redis_is_away(house: Pipeline) -> None:
    house.luck.fail(1, 1000)
    await run(house, rounds=2)
    house.luck.heal()


async def test_a_consumer_has_a_heartbeat_until_it_stops(house: Pipeline) -> None:
    house.app.ingest.stopping = iter([False, False, True, True]).__next__
    leave, alive = house.app.processes.remove_heartbeat, []

    async def leaving(role: str, who: str) -> None:
        alive.append(await house.app.processes.list_alive(role))
        await leave(role, who)

    house.app.processes.remove_heartbeat = leaving  # type: ignore[method-assign]
    await house.app.ingest.run()
    assert alive == [[house.app.ingest.worker_id]]
    assert await house.app.processes.list_alive("ingest") == []


async def test_the_stream_is_trimmed_only_behind_entries_that_every_group_acknowledged(house: Pipeline) -> None:
    stream = house.app.stream
    await house.publish(*(alert() for _ in range(3)))
    await house.redis.xgroup_create(stream.stream, "another", "0")
    await run(house)
    assert await house.redis.xlen(stream.stream) == 3
    await house.redis.xreadgroup("another", "x", {stream.stream: ">"}, count=2)
    house.pass_time(6)
    await run(house)
    assert await house.redis.xlen(stream.stream) == 3
    await house.redis.xgroup_destroy(stream.stream, "another")
    house.pass_time(6)
    await run(house)
    assert await house.redis.xlen(stream.stream) == 0


async def test_events_published_before_the_first_start_become_deliveries() -> None:
    hand = ManualClock()
    async with build(hand=hand) as house:
        await house.subscribe()
        await house.redis.xadd(house.app.stream.stream, {"event": json.dumps(alert()).encode()})
        await run(house)
        assert (await house.balance()).created == 1


async def test_a_lane_is_due_when_its_wake_up_call_cannot_be_sent(house: Pipeline) -> None:
    async def send_nothing(_: Any) -> None:
        return

    house.app.ingest.wake = send_nothing
    await house.publish(alert())
    await house.ingest()
    assert await house.due_in_s() == pytest.approx(0, abs=0.1)


async def test_events_removed_before_they_were_read_are_logged(
    house: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def count_lost(stream: EventStream) -> int:
        return 3

    monkeypatch.setattr(EventStream, "count_lost", count_lost)  # fakeredis does not count the entries that were added
    await run(house)
    [line] = [line for line in caplog.records if line.levelname == "ERROR"]
    assert (line.message, line.lost) == ("events removed from the stream before they were read", 3)


async def test_fewer_entries_are_read_at_once_after_a_large_one(
    house: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    read = EventStream.read

    async def note_limit(stream: EventStream, *, limit: int, wait_ms: int) -> list[StreamEntry]:
        limits.append(limit)
        return await read(stream, limit=limit, wait_ms=wait_ms)

    monkeypatch.setattr(EventStream, "read", note_limit)
    await house.redis.xadd(house.app.stream.stream, {"event": b"{" * 10_000_000})
    await run(house, rounds=3)
    assert limits[:2] == [100, 3]
    await house.publish(alert())
    await run(house, rounds=4)
    assert limits[-1] == 6

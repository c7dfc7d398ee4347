"""The stream becomes deliveries in lanes: every entry accounted for once, whatever happens meanwhile."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_house import Hand, House, alert
from pipeline_house import house as build

import worker.pipeline.ingest as ingest_module
from worker import sources
from worker.domain.event import Kind, Severity
from worker.domain.subscription import Filters
from worker.store.stream import EventStream, StreamEntry


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading waits a millisecond for new entries."""
    monkeypatch.setattr(ingest_module, "WAIT_MS", 1)


async def run(house: House, rounds: int = 2) -> None:
    """The process, for so many looks at whether it should stop."""
    looks = iter(range(10**9))
    house.made.ingest.stopping = lambda: next(looks) > rounds
    await house.made.ingest.run()


async def entries(house: House) -> list[StreamEntry]:
    found = await house.redis.xrange(house.made.stream.stream)
    return [StreamEntry(id_.decode(), fields) for id_, fields in found]


async def unacknowledged(house: House) -> int:
    stream = house.made.stream
    return int((await house.redis.xpending(stream.stream, stream.group))["pending"])


async def test_an_event_becomes_a_delivery_in_its_lane(house: House) -> None:
    await house.publish(alert())
    await house.ingest()
    [delivery] = await house.deliveries()
    assert (delivery.lane, delivery.state, delivery.subscription_id) == ("acme/#ops", "pending", "sub-#ops")
    assert house.awake == ["acme/#ops"]
    assert await unacknowledged(house) == 0
    assert (await house.balance()).accepted == 1


async def test_a_batch_wakes_each_lane_once(house: House) -> None:
    await house.subscribe("#dev")
    await house.publish(*(alert() for _ in range(5)))
    await house.ingest()
    await house.publish(alert())
    await house.ingest()
    assert sorted(house.awake) == ["acme/#dev", "acme/#ops"]


async def test_what_nobody_wants_is_suppressed_and_says_why(house: House) -> None:
    await house.subscribe(filters=Filters(kinds=(Kind.WORKFLOW,)))
    await house.publish(alert(id_="a"))
    await house.ingest()
    await house.made.subscriptions.change(remove=["sub-#ops"])
    await house.publish(alert(id_="b"))
    await house.ingest()
    found = [(await house.made.events.find(id_))[0].suppressed for id_ in "ab"]
    assert found == ["no subscription matches", "there is no active subscription"]
    balance = await house.balance()
    assert (balance.accepted, balance.suppressed, balance.created) == (2, 2, 0)
    assert house.awake == []


async def test_a_new_subscription_counts_from_the_next_batch(house: House) -> None:
    await house.publish(alert())
    await house.ingest()
    await house.subscribe("#dev", filters=Filters(min_severity=Severity.CRITICAL))
    await house.publish(alert(), alert(severity="info"))
    await house.ingest()
    assert [one.lane for one in await house.deliveries()].count("acme/#dev") == 1


async def test_the_same_event_again_is_a_repeat(house: House) -> None:
    await house.publish(alert(id_="x"), alert(id_="x"))
    await house.ingest()
    await house.publish(alert(id_="x"))
    await house.ingest()
    balance = await house.balance()
    assert (balance.accepted, balance.repeats_ignored, balance.created) == (1, 2, 1)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "c", "broken", "nobody"]), min_size=1, max_size=12),
    st.integers(1, 3),
    st.integers(1, 12),
)
async def test_a_batch_twice_is_the_batch_once(names: list[str], times: int, size: int) -> None:
    async with build() as house:
        await house.subscribe(filters=Filters(min_severity=Severity.CRITICAL))
        bodies: list[Any] = [
            b"{" if name == "broken" else alert(id_=name, severity="info" if name == "nobody" else "critical")
            for name in names
        ]
        await house.publish(*bodies)
        await house.made.stream.join()
        found = await entries(house)
        for _ in range(times):
            for start in range(0, len(found), size):
                await house.made.ingest.accept(found[start : start + size])
        balance = await house.balance()
        assert balance.created == len(set(names) & {"a", "b", "c"})
        assert balance.accepted == len(set(names) - {"broken"})
        assert balance.rejected == len(await house.dead()) == names.count("broken")
        assert balance.suppressed == ("nobody" in names)


@pytest.mark.parametrize("reply_lost", [False, True])
@pytest.mark.parametrize("at", range(1, 13))
async def test_a_crash_between_any_two_steps_only_makes_it_happen_again(at: int, reply_lost: bool) -> None:
    async with build() as house:
        await house.subscribe()
        await house.subscribe("#dev", filters=Filters(min_severity=Severity.CRITICAL))
        await house.made.stream.join()
        await house.publish(alert(id_="a"), b"{", alert(id_="b", severity="info"), alert(id_="a"))
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
    (b"[" * 100_000, "nested"),
    (b'{"x": "' + b"y" * 300_000 + b'"}', "bytes"),
]


@pytest.mark.parametrize(("raw", "said"), UNREADABLE)
async def test_an_unreadable_entry_is_a_dead_letter_with_its_bytes(
    house: House, raw: bytes, said: str
) -> None:
    [entry_id] = await house.publish(raw)
    await house.publish(alert())
    await house.ingest()
    [letter] = await house.dead()
    assert (letter.id, letter.reason, letter.raw) == (entry_id, "unreadable", {b"event": raw})
    assert said in letter.detail
    balance = await house.balance()
    assert (balance.rejected, balance.created) == (1, 1)
    assert await unacknowledged(house) == 0


async def test_an_entry_of_other_fields_is_a_dead_letter_that_names_them(house: House) -> None:
    await house.made.stream.join()
    fields = {b"data\xff": b"\x00", b"more": b""}
    await house.redis.xadd(house.made.stream.stream, fields)
    await house.ingest()
    [letter] = await house.dead()
    assert letter.raw == fields
    assert letter.detail == r"the entry has no field 'event' (its fields: 'data\xff', 'more')"


async def test_an_entry_that_was_deleted_meanwhile_is_a_dead_letter_too(house: House) -> None:
    await house.made.stream.join()
    await house.made.ingest.accept([StreamEntry("5-0", {})])
    [letter] = await house.dead()
    assert letter.detail == "the entry has no field 'event' (its fields: none)"


async def test_a_fault_in_reading_does_not_stop_the_batch(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = sources.read

    def reading(raw: bytes, entry_id: str) -> Any:
        if b"poison" in raw:
            raise RuntimeError("a fault")
        return read(raw, entry_id)

    monkeypatch.setattr(sources, "read", reading)
    await house.publish(alert(), alert("poison"), alert())
    await house.ingest()
    [letter] = await house.dead()
    assert letter.detail == "a fault of this program while reading it (RuntimeError)"
    assert (await house.balance()).created == 2
    assert any(line.exc_info for line in caplog.records)


async def test_a_full_lane_says_so_loudly(caplog: pytest.LogCaptureFixture) -> None:
    async with build(lane_max_length=3) as house:
        await house.connect()
        await house.subscribe()
        await house.publish(*(alert(f"n{n}") for n in range(5)))
        await house.ingest()
        letters = await house.dead()
        assert {letter.reason for letter in letters} == {"overflow"}
        balance = await house.balance()
        assert (balance.pending, balance.dead) == (3, 2)
        [line] = [line for line in caplog.records if "lane is full" in line.message]
        assert (line.levelname, vars(line)["overflowed"]) == ("ERROR", 2)


async def test_two_at_once_share_the_work(house: House) -> None:
    await house.publish(*(alert() for _ in range(30)))
    server = house.redis.connection_pool.connection_kwargs["server"]
    async with build(house.slack, house.hand, server=server) as other:
        await asyncio.gather(run(house), run(other))
    balance = await house.balance()
    assert (balance.accepted, balance.created, balance.repeats_ignored) == (30, 30, 0)
    assert await unacknowledged(house) == 0


async def test_what_a_dead_consumer_left_is_claimed(house: House) -> None:
    await house.publish(alert())
    stream = house.made.stream
    await stream.join()
    dead = EventStream(
        house.made.server, house.redis, stream=stream.stream, group=stream.group, consumer="dead"
    )
    assert len(await dead.read(most=10, wait_ms=1)) == 1
    await run(house)
    assert (await house.balance()).created == 0
    house.pass_time(11)
    await run(house)
    assert (await house.balance()).created == 1
    assert await unacknowledged(house) == 0


async def test_what_it_read_itself_and_did_not_finish_is_finished_first(house: House) -> None:
    await house.publish(alert())
    await house.made.stream.join()
    assert await house.made.stream.read(most=10, wait_ms=1)
    await run(house, rounds=1)
    assert (await house.balance()).created == 1


async def test_redis_away_is_waited_for_longer_each_time(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await house.publish(alert())
    house.luck.fail(1, 7)
    await run(house, rounds=10)
    assert house.hand.slept == [0.5, 1, 2, 4, 8, 10, 10]
    assert (await house.balance()).created == 1
    said = [line.message for line in caplog.records if line.name == "worker.ingest"]
    assert said == ["Redis does not answer"] * 7 + ["Redis answers again"]


async def test_redis_away_at_the_end_is_no_failure(house: House) -> None:
    house.luck.fail(1, 1000)
    await run(house, rounds=2)
    house.luck.heal()


async def test_it_shows_that_it_is_alive_and_says_when_it_ends(house: House) -> None:
    house.made.ingest.stopping = iter([False, False, True, True]).__next__
    leave, alive = house.made.upkeep.leave, []

    async def leaving(role: str, who: str) -> None:
        alive.append(await house.made.upkeep.alive(role))
        await leave(role, who)

    house.made.upkeep.leave = leaving  # type: ignore[method-assign]
    await house.made.ingest.run()
    assert alive == [[house.made.ingest.who]]
    assert await house.made.upkeep.alive("ingest") == []


async def test_it_trims_only_behind_what_every_group_has_done(house: House) -> None:
    stream = house.made.stream
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


async def test_events_published_before_the_first_start_are_told_too() -> None:
    hand = Hand()
    async with build(hand=hand) as house:
        await house.subscribe()
        await house.redis.xadd(house.made.stream.stream, {"event": json.dumps(alert()).encode()})
        await run(house)
        assert (await house.balance()).created == 1


async def test_a_wake_that_cannot_be_sent_leaves_the_lane_due(house: House) -> None:
    async def nobody(_: Any) -> None:
        return

    house.made.ingest.wake = nobody
    await house.publish(alert())
    await house.ingest()
    assert await house.due_in_s() == pytest.approx(0, abs=0.1)

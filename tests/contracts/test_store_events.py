"""Events: stored before anything refers to them, and counted exactly once."""

import random

import pytest
from support.store import GROUP, LIFE_S, RETENTION_S, STREAM, World

from worker.domain.delivery import event_ref, stable_hash
from worker.domain.errors import UserError
from worker.domain.event import Entity, Event, Kind, Severity
from worker.store.events import (
    NAME_LIMIT,
    RECENT_LIMIT,
    AcceptedEvent,
    EventBody,
    EventRecord,
    KnownEntity,
    pack_fields,
    unpack_fields,
)

ODD = {b"event": bytes(range(256)), b"": b"", b"\xff\xfe": b"\r\n$3\r\n"}


def event(id_: str, entry_id: str = "1-1", source: str = "/ik") -> Event:
    entity = Entity("workflow", "17")
    return Event(id_, source, "t", Kind.WORKFLOW, entry_id, entity, Severity.INFO, "title")


def accepted(one: Event, *, is_repeat: bool = False, suppressed: str = "") -> AcceptedEvent:
    return AcceptedEvent(event_ref(one.source, one.id), one.entry_id, one.kind, is_repeat, suppressed)


async def save_unfinished(world: World, one: Event, body: bytes = b"{}") -> str:
    return (await world.events.save_bodies([(one, body)]))[0]


async def read_entries(world: World, count: int = 1) -> list[str]:
    """Publish entries and read them with the consumer."""
    for n in range(count):
        await world.redis.xadd(STREAM, {"event": str(n)})
    stream = world.stream()
    await stream.create_group()
    return [entry.id for entry in await stream.read(limit=100, wait_ms=1)]


async def unfinished(world: World) -> int:
    return len(await world.stream().read_unfinished(limit=100))


async def test_an_event_is_new_then_unfinished_then_a_repeat(world: World):
    one, again = event("e", "1-1"), event("e", "1-2")
    assert await world.events.save_bodies([(one, b"first"), (again, b"second"), (event("f"), b"f")]) == [
        "new",
        "repeat",
        "new",
    ]
    assert await save_unfinished(world, one, b"third") == "redo"
    await world.events.accept(STREAM, GROUP, [accepted(one)])
    assert await save_unfinished(world, one) == "repeat"
    assert await world.events.body(event_ref("/ik", "e")) == EventBody("1-1", b"third")


async def test_the_same_id_from_two_sources_is_two_events(world: World):
    assert await save_unfinished(world, event("e", source="/a"), b"a") == "new"
    assert await save_unfinished(world, event("e", source="/b"), b"b") == "new"
    refs = [event_ref("/a", "e"), event_ref("/b", "e"), event_ref("/c", "e")]
    assert await world.events.bodies(refs) == [EventBody("1-1", b"a"), EventBody("1-1", b"b"), None]
    assert sorted(record.body for record in await world.events.find("e")) == [b"a", b"b"]


async def test_the_body_of_an_event_is_read_back_unchanged(world: World):
    for n, size in enumerate((0, 1, 1_024, 1_025, 200_000)):
        body = random.Random(n).randbytes(size)
        await save_unfinished(world, event(f"e{n}"), body)
        assert await world.events.body(event_ref("/ik", f"e{n}")) == EventBody("1-1", body)


async def test_a_long_body_of_an_event_is_compressed(world: World):
    await save_unfinished(world, event("e"), b"x" * 100_000)
    assert await world.redis.hstrlen(f"t:event:{stable_hash('e')}", stable_hash("/ik", size=6)) < 1_000


async def test_an_event_is_kept_for_its_retention(world: World):
    await save_unfinished(world, event("e"))
    assert LIFE_S - 10 < await world.redis.ttl(f"t:event:{stable_hash('e')}") <= LIFE_S
    await world.redis.flushdb()
    assert await world.events.body(event_ref("/ik", "e")) is None
    assert await world.events.find("e") == []


async def test_an_event_is_accepted_and_its_entry_acknowledged_once(world: World):
    first, second = await read_entries(world, 2)
    events = [event("e", first), event("f", second)]
    await world.events.save_bodies([(one, b"{}") for one in events])
    done = [accepted(events[0]), accepted(events[1], suppressed="no subscription")]
    assert await world.events.accept(STREAM, GROUP, done) == 2
    assert await world.events.accept(STREAM, GROUP, done) == 0
    balance = await world.balance()
    assert (balance.accepted, balance.suppressed, balance.unaccounted) == (2, 1, 0)
    assert await unfinished(world) == 0
    ref = event_ref("/ik", "f")
    assert await world.events.find("f") == [EventRecord(ref, second, b"{}", True, "no subscription")]


async def test_an_unfinished_event_is_not_accepted(world: World):
    await save_unfinished(world, event("e"))
    assert [(one.accepted, one.suppressed) for one in await world.events.find("e")] == [(False, "")]
    assert (await world.balance()).accepted == 0


async def test_a_repeated_event_is_counted_once(world: World):
    first, second = await read_entries(world, 2)
    for entry_id, is_repeat in ((first, False), (second, True)):
        one = event("e", entry_id)
        assert (await save_unfinished(world, one) == "repeat") == is_repeat
        for _ in range(2):
            await world.events.accept(STREAM, GROUP, [accepted(one, is_repeat=is_repeat)])
    balance = await world.balance()
    assert (balance.accepted, balance.repeats_ignored) == (1, 1)
    assert await unfinished(world) == 0


async def test_a_group_created_again_creates_no_second_delivery(world: World):
    (entry_id,) = await read_entries(world)
    one = event("e", entry_id)
    await save_unfinished(world, one)
    await world.events.accept(STREAM, GROUP, [accepted(one)])
    await world.redis.xgroup_destroy(STREAM, GROUP)
    await read_entries(world, 0)
    assert await unfinished(world) == 1
    assert await save_unfinished(world, one) == "repeat"
    await world.events.accept(STREAM, GROUP, [accepted(one, is_repeat=True)])
    balance = await world.balance()
    assert (balance.accepted, balance.repeats_ignored, await unfinished(world)) == (1, 0, 0)


async def test_an_unreadable_entry_keeps_its_bytes_and_is_counted_once(world: World):
    entry_id = (await world.redis.xadd(STREAM, ODD)).decode()
    await read_entries(world, 0)
    assert await world.events.reject(STREAM, GROUP, entry_id, ODD, "no JSON") is True
    assert await world.events.reject(STREAM, GROUP, entry_id, ODD, "no JSON") is False
    letter = await world.dead_letters.find(entry_id)
    assert (letter.raw, letter.reason, letter.detail, letter.delivery) == (ODD, "unreadable", "no JSON", None)
    assert 0 < await world.redis.ttl(f"t:rejected:{entry_id}") <= RETENTION_S
    assert (await world.balance()).rejected == 1
    assert await unfinished(world) == 0


def test_fields_of_any_bytes_survive_packing():
    assert unpack_fields(pack_fields(ODD)) == ODD
    assert unpack_fields(pack_fields({})) == {}


async def test_the_newest_events_are_listed_once_each_up_to_a_limit(world: World):
    await world.stream().create_group()
    some = [event(f"e{n}", f"1-{n}") for n in range(RECENT_LIMIT + 3)]
    await world.events.save_bodies([(one, one.id.encode()) for one in some])
    for _ in range(2):
        await world.events.accept(STREAM, GROUP, [accepted(one, suppressed="unknown") for one in some])
    newest = [event_ref(one.source, one.id) for one in reversed(some)][:RECENT_LIMIT]
    assert await world.events.list_recent() == newest
    assert (await world.events.bodies(newest[:1])) == [EventBody(some[-1].entry_id, some[-1].id.encode())]


def unnamed(entry_id: str, name: str = "", state: str = "", kind: Kind = Kind.RESOURCE, entity_id: str = "r1") -> Event:
    """Return an event without an id of its own, about a resource."""
    entity = Entity("resource", entity_id, name)
    return Event(entry_id, "infrakitchen", "t", kind, entry_id, entity, Severity.INFO, "title", state=state)


async def save_published(world: World, entry_id: str, raw: bytes = b"{}") -> str:
    return (await world.events.save_bodies([(unnamed(entry_id), raw)], {entry_id: raw}))[0]


async def test_the_same_bytes_within_a_minute_of_the_stream_are_a_repeat(world: World):
    results = [await save_published(world, entry_id) for entry_id in ("0-1", "60000-0", "60001-0", "120001-9")]
    assert results == ["new", "repeat", "new", "repeat"]
    assert await save_published(world, "1-0", b"other") == "new"
    assert [record.entry_id for record in await world.events.find("60000-0")] == ["0-1"]


async def test_an_entry_that_is_read_again_is_no_repeat_of_itself(world: World):
    assert [await save_published(world, "0-1") for _ in range(2)] == ["new", "redo"]
    await world.events.accept(STREAM, GROUP, [accepted(unnamed("0-1"))])
    assert await save_published(world, "0-1") == "repeat"


async def test_a_repeat_that_is_read_again_stays_one_after_the_same_bytes_became_news(world: World):
    entry_ids = ("0-1", "50000-0", "150000-0", "50000-0", "0-1")
    results = [await save_published(world, entry_id) for entry_id in entry_ids]
    assert results == ["new", "repeat", "new", "repeat", "redo"]


async def test_the_same_bytes_that_come_late_are_a_repeat_too(world: World):
    results = [await save_published(world, entry_id) for entry_id in ("100000-0", "50000-0", "1-0", "90000-0")]
    assert results == ["new", "repeat", "new", "repeat"]


async def test_a_task_that_ends_again_after_a_change_of_its_entity_is_no_repeat(world: World):
    change, task = (unnamed("2000-0", "db", "destroy"), b"change"), b"task"
    assert await save_published(world, "1000-0", task) == "new"
    assert await world.events.save_bodies([change], {"2000-0": b"change"}) == ["new"]
    assert await save_published(world, "3000-0", task) == "new"
    assert await save_published(world, "4000-0", task) == "repeat"
    again = unnamed("5000-0", "db", "destroy")
    assert await world.events.save_bodies([(again, b"change")], {"5000-0": b"change"}) == ["repeat"]
    assert await save_published(world, "6000-0", task) == "repeat"
    assert await save_published(world, "1500-0", task) == "repeat"


async def test_a_repeat_of_the_same_bytes_is_counted_once(world: World):
    first, second = await read_entries(world, 2)
    for _ in range(2):
        for entry_id in (first, second):
            await save_published(world, entry_id)
    for _ in range(2):
        done = [accepted(unnamed(first)), accepted(unnamed(second), is_repeat=True)]
        await world.events.accept(STREAM, GROUP, done)
    balance = await world.balance()
    assert (balance.accepted, balance.repeats_ignored) == (1, 1)
    assert await unfinished(world) == 0


async def known(world: World, entry_id: str) -> KnownEntity:
    return (await world.events.find_known_entities(STREAM, GROUP, [Entity("resource", "r1")], entry_id))[0]


async def test_the_last_name_and_state_of_an_entity_are_known(world: World):
    await world.stream().create_group()
    assert await known(world, "1-0") == KnownEntity()
    await world.events.save_bodies([(unnamed("1-0", "a\nb", "provision"), b"1"), (unnamed("2-0"), b"2")])
    assert await known(world, "3-0") == KnownEntity("a b", "provision")
    await world.events.save_bodies([(unnamed("3-0", "c"), b"3"), (unnamed("4-0", state="destroy"), b"4")])
    assert await known(world, "5-0") == KnownEntity("c", "destroy")
    await world.events.save_bodies([(unnamed("2-0", "old", "old"), b"5"), (unnamed("9-0", "x" * 999), b"6")])
    assert await known(world, "9-1") == KnownEntity("x" * NAME_LIMIT, "destroy")
    assert RETENTION_S - 10 < await world.redis.ttl(world.keys.entity(Entity("resource", "r1"))) <= RETENTION_S


async def test_a_state_is_not_known_where_an_earlier_event_may_be_missing_or_a_later_one_was_saved(world: World):
    first, second = await read_entries(world, 2)
    await world.events.save_bodies([(unnamed("1-0", "name", "provision"), b"1")])
    assert (await known(world, first)).state == "provision"
    assert await known(world, second) == KnownEntity("name", "")
    await world.events.accept(STREAM, GROUP, [accepted(unnamed(first))])
    assert (await known(world, second)).state == "provision"
    assert await known(world, "0-5") == KnownEntity("name", "")


async def test_an_alert_an_event_without_an_entity_and_a_completed_body_give_no_state(world: World):
    await world.stream().create_group()
    events = [
        (unnamed("1-0", "alert", "x", Kind.ALERT), b"1"),
        (unnamed("2-0", "none", "x", entity_id=""), b"2"),
        (unnamed("3-0", "completed", "x"), b"completed"),
    ]
    await world.events.save_bodies(events, {"3-0": b"as it came"})
    assert await known(world, "4-0") == KnownEntity("completed", "")


async def test_of_a_large_unreadable_entry_the_start_is_kept_and_it_cannot_be_replayed(world: World):
    raw = {b"event": b"x" * 200_000, b"more": b"y"}
    await world.stream().create_group()
    entry_id = (await world.redis.xadd(STREAM, raw)).decode()
    assert await world.events.reject(STREAM, GROUP, entry_id, raw, "too large")
    letter = await world.dead_letters.find(entry_id)
    assert letter is not None
    assert letter.raw == {b"event": b"x" * (65_536 - len(b"event"))}
    assert letter.detail == "too large; the first 65,536 of its 200,010 bytes are kept"
    with pytest.raises(UserError, match="publish its event again"):
        await world.dead_letters.replay(letter, STREAM)
    assert await world.dead_letters.discard(letter)

"""Events: kept before anything refers to them, counted exactly once."""

import random

from store_world import GROUP, LIFE_S, RETENTION_S, STREAM, World

from worker.domain.delivery import digest, event_ref
from worker.domain.event import Entity, Event, Kind, Severity
from worker.store.events import RECENT, Accepted, Record, pack_fields, unpack_fields

ODD = {b"event": bytes(range(256)), b"": b"", b"\xff\xfe": b"\r\n$3\r\n"}


def event(id_: str, entry_id: str = "1-1", source: str = "/ik") -> Event:
    entity = Entity("workflow", "17")
    return Event(id_, source, "t", Kind.WORKFLOW, entry_id, entity, Severity.INFO, "title")


def accepted(one: Event, *, is_repeat: bool = False, suppressed: str = "") -> Accepted:
    return Accepted(event_ref(one.source, one.id), one.entry_id, one.kind, is_repeat, suppressed)


async def begin(world: World, one: Event, body: bytes = b"{}") -> str:
    return (await world.events.remember([(one, body)]))[0]


async def joined(world: World, count: int = 1) -> list[str]:
    """Entries that our consumer has read."""
    for n in range(count):
        await world.redis.xadd(STREAM, {"event": str(n)})
    stream = world.stream()
    await stream.join()
    return [entry.id for entry in await stream.read(most=100, wait_ms=1)]


async def unfinished(world: World) -> int:
    return len(await world.stream().unfinished(most=100))


async def test_an_event_is_new_then_begun_then_a_repeat(world: World):
    one, again = event("e", "1-1"), event("e", "1-2")
    assert await world.events.remember([(one, b"first"), (again, b"second"), (event("f"), b"f")]) == [
        "new",
        "repeat",
        "new",
    ]
    assert await begin(world, one, b"third") == "redo"
    await world.events.accept(STREAM, GROUP, [accepted(one)])
    assert await begin(world, one) == "repeat"
    assert await world.events.body(event_ref("/ik", "e")) == ("1-1", b"first")


async def test_one_id_of_two_sources_is_two_events(world: World):
    assert await begin(world, event("e", source="/a"), b"a") == "new"
    assert await begin(world, event("e", source="/b"), b"b") == "new"
    refs = [event_ref("/a", "e"), event_ref("/b", "e"), event_ref("/c", "e")]
    assert await world.events.bodies(refs) == [("1-1", b"a"), ("1-1", b"b"), None]
    assert sorted(record.body for record in await world.events.find("e")) == [b"a", b"b"]


async def test_a_body_comes_back_byte_for_byte(world: World):
    for n, size in enumerate((0, 1, 1_024, 1_025, 200_000)):
        body = random.Random(n).randbytes(size)
        await begin(world, event(f"e{n}"), body)
        assert await world.events.body(event_ref("/ik", f"e{n}")) == ("1-1", body)


async def test_a_long_body_is_kept_compressed(world: World):
    await begin(world, event("e"), b"x" * 100_000)
    assert await world.redis.hstrlen(f"t:event:{digest('e')}", digest("/ik", size=6)) < 1_000


async def test_an_event_lives_as_long_as_it_may_be_asked_for(world: World):
    await begin(world, event("e"))
    assert LIFE_S - 10 < await world.redis.ttl(f"t:event:{digest('e')}") <= LIFE_S
    await world.redis.flushdb()
    assert await world.events.body(event_ref("/ik", "e")) is None
    assert await world.events.find("e") == []


async def test_an_event_is_accepted_and_its_entry_acknowledged_once(world: World):
    first, second = await joined(world, 2)
    events = [event("e", first), event("f", second)]
    await world.events.remember([(one, b"{}") for one in events])
    done = [accepted(events[0]), accepted(events[1], suppressed="no subscription")]
    assert await world.events.accept(STREAM, GROUP, done) == 2
    assert await world.events.accept(STREAM, GROUP, done) == 0
    balance = await world.balance()
    assert (balance.accepted, balance.suppressed, balance.unaccounted) == (2, 1, 0)
    assert await unfinished(world) == 0
    ref = event_ref("/ik", "f")
    assert await world.events.find("f") == [Record(ref, second, b"{}", True, "no subscription")]


async def test_an_event_that_was_begun_and_not_finished_is_not_accepted(world: World):
    await begin(world, event("e"))
    assert [(one.accepted, one.suppressed) for one in await world.events.find("e")] == [(False, "")]
    assert (await world.balance()).accepted == 0


async def test_a_repeat_is_counted_once(world: World):
    first, second = await joined(world, 2)
    for entry_id, is_repeat in ((first, False), (second, True)):
        one = event("e", entry_id)
        assert (await begin(world, one) == "repeat") == is_repeat
        for _ in range(2):
            await world.events.accept(STREAM, GROUP, [accepted(one, is_repeat=is_repeat)])
    balance = await world.balance()
    assert (balance.accepted, balance.repeats_ignored) == (1, 1)
    assert await unfinished(world) == 0


async def test_a_group_made_anew_makes_nothing_of_an_event_again(world: World):
    (entry_id,) = await joined(world)
    one = event("e", entry_id)
    await begin(world, one)
    await world.events.accept(STREAM, GROUP, [accepted(one)])
    await world.redis.xgroup_destroy(STREAM, GROUP)
    await joined(world, 0)
    assert await unfinished(world) == 1
    assert await begin(world, one) == "repeat"
    await world.events.accept(STREAM, GROUP, [accepted(one, is_repeat=True)])
    balance = await world.balance()
    assert (balance.accepted, balance.repeats_ignored, await unfinished(world)) == (1, 0, 0)


async def test_an_unreadable_entry_keeps_its_bytes_and_is_counted_once(world: World):
    entry_id = (await world.redis.xadd(STREAM, ODD)).decode()
    await joined(world, 0)
    assert await world.events.reject(STREAM, GROUP, entry_id, ODD, "no JSON") is True
    assert await world.events.reject(STREAM, GROUP, entry_id, ODD, "no JSON") is False
    letter = await world.dead_letters.find(entry_id)
    assert (letter.raw, letter.reason, letter.detail, letter.delivery) == (ODD, "unreadable", "no JSON", None)
    assert 0 < await world.redis.ttl(f"t:rejected:{entry_id}") <= RETENTION_S
    assert (await world.balance()).rejected == 1
    assert await unfinished(world) == 0


def test_fields_survive_packing_whatever_their_bytes():
    assert unpack_fields(pack_fields(ODD)) == ODD
    assert unpack_fields(pack_fields({})) == {}


async def test_the_newest_events_are_remembered_once_each_and_no_more_than_so_many(world: World):
    await world.stream().join()
    some = [event(f"e{n}", f"1-{n}") for n in range(RECENT + 3)]
    await world.events.remember([(one, one.id.encode()) for one in some])
    for _ in range(2):
        await world.events.accept(STREAM, GROUP, [accepted(one, suppressed="nobody") for one in some])
    newest = [event_ref(one.source, one.id) for one in reversed(some)][:RECENT]
    assert await world.events.recent() == newest
    assert (await world.events.bodies(newest[:1])) == [(some[-1].entry_id, some[-1].id.encode())]

"""The stream: read, finished, claimed, and trimmed only behind every group."""

import pytest
from store_world import GROUP, STREAM, World

from worker.store.server import Unavailable
from worker.store.stream import StreamEntry

ODD = {b"event": bytes(range(256)), b"": b"", b"\xff\xfe": b"\r\n$3\r\n"}


async def published(world: World, count: int) -> list[str]:
    return [(await world.redis.xadd(STREAM, {"event": str(n)})).decode() for n in range(count)]


async def acknowledge(world: World, *ids: str, group: str = GROUP) -> None:
    await world.redis.xack(STREAM, group, *ids)


async def test_what_was_published_before_anyone_joined_is_read_too(world: World):
    ids = await published(world, 3)
    stream = world.stream()
    await stream.join()
    await stream.join()
    assert [entry.id for entry in await stream.read(most=10, wait_ms=1)] == ids
    assert await stream.read(most=10, wait_ms=1) == []


async def test_a_batch_has_no_more_than_was_asked_for(world: World):
    ids = await published(world, 3)
    stream = world.stream()
    await stream.join()
    assert [entry.id for entry in await stream.read(most=2, wait_ms=1)] == ids[:2]
    assert [entry.id for entry in await stream.read(most=2, wait_ms=1)] == ids[2:]


async def test_events_are_published_in_their_order_all_together_or_none(world: World):
    stream = world.stream()
    await stream.join()
    ids = await stream.publish([b"1", b"2"])
    assert [(one.id, one.fields) for one in await stream.read(most=10, wait_ms=1)] == [
        (ids[0], {b"event": b"1"}),
        (ids[1], {b"event": b"2"}),
    ]
    await world.redis.delete(STREAM)
    await world.redis.set(STREAM, "text")
    with pytest.raises(Unavailable, match="WRONGTYPE"):
        await stream.publish([b"3"])


async def test_joining_what_is_no_stream_says_so(world: World):
    await world.redis.set(STREAM, "text")
    with pytest.raises(Unavailable, match="WRONGTYPE"):
        await world.stream().join()
    assert await world.stream().trim() == 0


async def test_an_entry_comes_as_it_was_whatever_its_bytes(world: World):
    stream = world.stream()
    await stream.join()
    id_ = (await world.redis.xadd(STREAM, ODD)).decode()
    entry = StreamEntry(id_, ODD)
    assert await stream.read(most=1, wait_ms=1) == [entry]
    assert await stream.unfinished(most=1) == [entry]
    assert await stream.entry(id_) == entry
    assert await world.stream("two").claim(idle_ms=0, most=1) == [entry]


async def test_no_entry_has_an_id_that_is_none(world: World):
    await published(world, 1)
    assert await world.stream().entry("5-5") is None
    assert await world.stream().entry("no id") is None


async def test_what_a_consumer_did_not_finish_it_finds_again(world: World):
    ids = await published(world, 3)
    stream = world.stream()
    await stream.join()
    await stream.read(most=10, wait_ms=1)
    await acknowledge(world, ids[1])
    assert [entry.id for entry in await stream.unfinished(most=10)] == [ids[0], ids[2]]
    assert await world.stream("two").unfinished(most=10) == []


async def test_what_a_dead_consumer_left_is_claimed(world: World):
    ids = await published(world, 4)
    one, two = world.stream("one"), world.stream("two")
    await one.join()
    await one.read(most=3, wait_ms=1)
    assert await two.claim(idle_ms=60_000, most=10) == []
    assert [entry.id for entry in await two.claim(idle_ms=0, most=2)] == ids[:2]
    assert [entry.id for entry in await two.unfinished(most=10)] == ids[:2]
    assert [entry.id for entry in await one.unfinished(most=10)] == ids[2:3]


async def test_entries_left_behind_many_that_are_in_work_are_claimed_too(world: World):
    ids = await published(world, 120)
    one, two = world.stream("one"), world.stream("two")
    await one.join()
    await one.read(most=120, wait_ms=1)
    await world.redis.xclaim(STREAM, GROUP, "one", 0, ids[-2:], idle=100_000)
    found = []
    while entries := await two.claim(idle_ms=50_000, most=1):
        found += [entry.id for entry in entries]
        await acknowledge(world, *(entry.id for entry in entries))
    assert found == ids[-2:]


async def test_an_entry_deleted_while_it_was_in_work_has_no_fields(world: World):
    ids = await published(world, 2)
    stream = world.stream()
    await stream.join()
    await stream.read(most=10, wait_ms=1)
    await world.redis.xdel(STREAM, ids[0])
    assert await stream.unfinished(most=10) == [
        StreamEntry(ids[0], {}),
        StreamEntry(ids[1], {b"event": b"1"}),
    ]
    assert await stream.trim() == 0
    assert [entry.id for entry in await world.stream("two").claim(idle_ms=0, most=10)] == [ids[1]]


async def test_the_stream_is_trimmed_behind_what_is_finished(world: World):
    ids = await published(world, 5)
    stream = world.stream()
    await stream.join()
    assert await stream.trim() == 0
    await stream.read(most=4, wait_ms=1)
    await acknowledge(world, ids[0], ids[1], ids[3])
    assert await stream.trim() == 2
    await acknowledge(world, ids[2])
    assert await stream.trim() == 2
    assert [entry.id for entry in await stream.read(most=10, wait_ms=1)] == ids[4:]
    await acknowledge(world, ids[4])
    assert await stream.trim() == 1
    assert await stream.trim() == 0


async def test_another_group_holds_the_trimming_back(world: World):
    ids = await published(world, 3)
    ours, theirs = world.stream(), world.stream(group="audit")
    await ours.join()
    await theirs.join()
    for entry in await ours.read(most=10, wait_ms=1):
        await acknowledge(world, entry.id)
    assert await ours.trim() == 0
    await theirs.read(most=2, wait_ms=1)
    await acknowledge(world, ids[0], group="audit")
    assert await ours.trim() == 1
    await acknowledge(world, ids[1], group="audit")
    assert await ours.trim() == 1


async def test_entries_of_one_millisecond_are_trimmed_one_by_one(world: World):
    for n in (9, 10, 11):
        await world.redis.xadd(STREAM, {"event": str(n)}, id=f"5-{n}")
    ours, theirs = world.stream(), world.stream(group="audit")
    await ours.join()
    await theirs.join()
    await ours.read(most=2, wait_ms=1)
    await theirs.read(most=1, wait_ms=1)
    await acknowledge(world, "5-9", "5-10")
    await acknowledge(world, "5-9", group="audit")
    assert await ours.trim() == 1
    assert await ours.entry("5-10") is not None


async def test_a_stream_without_groups_is_left_alone(world: World):
    assert await world.stream().trim() == 0
    await published(world, 2)
    assert await world.stream().trim() == 0
    assert await world.redis.xlen(STREAM) == 2


async def test_the_lag_is_what_is_not_finished(world: World):
    stream = world.stream()
    assert await stream.lag() == 0
    ids = await published(world, 5)
    assert await stream.lag() == 5
    await world.stream(group="audit").join()
    await stream.join()
    assert await stream.lag() == 5
    await stream.read(most=2, wait_ms=1)
    assert await stream.lag() == 5
    await acknowledge(world, ids[0])
    assert await stream.lag() == 4
    await stream.read(most=10, wait_ms=1)
    await acknowledge(world, *ids)
    assert await stream.lag() == 0


async def test_the_lag_is_counted_where_the_server_does_not_know_it(world: World):
    """As before Redis 7, and after an entry in the middle was deleted."""
    stream = world.stream()
    await stream.join()
    async with world.redis.pipeline(transaction=False) as pipeline:
        for n in range(1_201):
            pipeline.xadd(STREAM, {"event": str(n)}, id=f"1-{n + 1}")
        await pipeline.execute()
    await stream.read(most=1, wait_ms=1)
    await world.redis.xdel(STREAM, "1-700")
    (group,) = await world.redis.xinfo_groups(STREAM)
    assert group["lag"] is None or "Fake" in type(world.redis).__name__
    assert await stream.lag() == 1_200


async def test_consumers_that_hold_nothing_and_were_not_seen_are_forgotten(world: World):
    ids = await published(world, 3)
    for name in ("idle", "busy"):
        await world.stream(name).join()
        await world.stream(name).read(most=1, wait_ms=1)
    await acknowledge(world, ids[0])
    await world.stream().forget_idle_consumers(idle_ms=60_000)
    assert {one["name"] for one in await world.redis.xinfo_consumers(STREAM, GROUP)} == {b"idle", b"busy"}
    await world.stream().forget_idle_consumers(idle_ms=-1)
    assert {one["name"] for one in await world.redis.xinfo_consumers(STREAM, GROUP)} == {b"busy"}


async def test_a_group_that_was_removed_is_noticed(world: World):
    stream = world.stream()
    await stream.join()
    await world.redis.xgroup_destroy(STREAM, GROUP)
    for step in (
        stream.read(most=1, wait_ms=1),
        stream.claim(idle_ms=0, most=1),
        stream.forget_idle_consumers(idle_ms=0),
    ):
        with pytest.raises(Unavailable, match=r"NOGROUP|[Nn]o such"):
            await step
    await stream.join()


async def test_a_stream_is_there_once_somebody_joined_it(world: World):
    assert not await world.stream().is_there()
    await world.stream().join()
    assert await world.stream().is_there()

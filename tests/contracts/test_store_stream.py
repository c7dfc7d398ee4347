"""The stream: entries are read, acknowledged, claimed, and trimmed only behind every group."""

import pytest
from redis.exceptions import ResponseError
from support.store import GROUP, STREAM, World

from worker.store.redis_errors import StoreUnavailable
from worker.store.stream import StreamEntry

ODD = {b"event": bytes(range(256)), b"": b"", b"\xff\xfe": b"\r\n$3\r\n"}


async def publish_entries(world: World, count: int) -> list[str]:
    return [(await world.redis.xadd(STREAM, {"event": str(n)})).decode() for n in range(count)]


async def acknowledge(world: World, *ids: str, group: str = GROUP) -> None:
    await world.redis.xack(STREAM, group, *ids)


async def test_entries_published_before_the_group_existed_are_read(world: World):
    ids = await publish_entries(world, 3)
    stream = world.stream()
    await stream.create_group()
    await stream.create_group()
    assert [entry.id for entry in await stream.read(limit=10, wait_ms=1)] == ids
    assert await stream.read(limit=10, wait_ms=1) == []


async def test_a_batch_has_at_most_the_requested_number_of_entries(world: World):
    ids = await publish_entries(world, 3)
    stream = world.stream()
    await stream.create_group()
    assert [entry.id for entry in await stream.read(limit=2, wait_ms=1)] == ids[:2]
    assert [entry.id for entry in await stream.read(limit=2, wait_ms=1)] == ids[2:]


async def test_events_are_published_in_order_and_all_or_none(world: World):
    stream = world.stream()
    await stream.create_group()
    ids = await stream.publish([b"1", b"2"])
    assert [(one.id, one.fields) for one in await stream.read(limit=10, wait_ms=1)] == [
        (ids[0], {b"event": b"1"}),
        (ids[1], {b"event": b"2"}),
    ]
    await world.redis.delete(STREAM)
    await world.redis.set(STREAM, "text")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await stream.publish([b"3"])


async def test_creating_a_group_on_a_key_that_is_not_a_stream_is_an_error(world: World):
    await world.redis.set(STREAM, "text")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await world.stream().create_group()
    assert await world.stream().trim() == 0


async def test_an_entry_of_any_bytes_is_read_unchanged(world: World):
    stream = world.stream()
    await stream.create_group()
    id_ = (await world.redis.xadd(STREAM, ODD)).decode()
    entry = StreamEntry(id_, ODD)
    assert await stream.read(limit=1, wait_ms=1) == [entry]
    assert await stream.read_unfinished(limit=1) == [entry]
    assert await stream.find_entry(id_) == entry
    assert await world.stream("two").claim_abandoned(idle_ms=0, limit=1) == [entry]


async def test_an_unknown_or_invalid_entry_id_finds_no_entry(world: World):
    await publish_entries(world, 1)
    assert await world.stream().find_entry("5-5") is None
    assert await world.stream().find_entry("no id") is None


async def test_a_consumer_reads_its_unacknowledged_entries_again(world: World):
    ids = await publish_entries(world, 3)
    stream = world.stream()
    await stream.create_group()
    await stream.read(limit=10, wait_ms=1)
    await acknowledge(world, ids[1])
    assert [entry.id for entry in await stream.read_unfinished(limit=10)] == [ids[0], ids[2]]
    assert await world.stream("two").read_unfinished(limit=10) == []


async def test_entries_of_a_dead_consumer_are_claimed(world: World):
    ids = await publish_entries(world, 4)
    one, two = world.stream("one"), world.stream("two")
    await one.create_group()
    await one.read(limit=3, wait_ms=1)
    assert await two.claim_abandoned(idle_ms=60_000, limit=10) == []
    assert [entry.id for entry in await two.claim_abandoned(idle_ms=0, limit=2)] == ids[:2]
    assert [entry.id for entry in await two.read_unfinished(limit=10)] == ids[:2]
    assert [entry.id for entry in await one.read_unfinished(limit=10)] == ids[2:3]


async def test_idle_entries_after_many_busy_ones_are_claimed(world: World):
    ids = await publish_entries(world, 120)
    one, two = world.stream("one"), world.stream("two")
    await one.create_group()
    await one.read(limit=120, wait_ms=1)
    await world.redis.xclaim(STREAM, GROUP, "one", 0, ids[-2:], idle=100_000)
    found = []
    while entries := await two.claim_abandoned(idle_ms=50_000, limit=1):
        found += [entry.id for entry in entries]
        await acknowledge(world, *(entry.id for entry in entries))
    assert found == ids[-2:]


async def test_an_entry_deleted_while_it_was_pending_has_no_fields(world: World):
    ids = await publish_entries(world, 2)
    stream = world.stream()
    await stream.create_group()
    await stream.read(limit=10, wait_ms=1)
    await world.redis.xdel(STREAM, ids[0])
    assert await stream.read_unfinished(limit=10) == [
        StreamEntry(ids[0], {}),
        StreamEntry(ids[1], {b"event": b"1"}),
    ]
    assert await stream.trim() == 0
    assert [entry.id for entry in await world.stream("two").claim_abandoned(idle_ms=0, limit=10)] == [ids[1]]


async def test_the_stream_is_trimmed_behind_acknowledged_entries(world: World):
    ids = await publish_entries(world, 5)
    stream = world.stream()
    await stream.create_group()
    assert await stream.trim() == 0
    await stream.read(limit=4, wait_ms=1)
    await acknowledge(world, ids[0], ids[1], ids[3])
    assert await stream.trim() == 2
    await acknowledge(world, ids[2])
    assert await stream.trim() == 2
    assert [entry.id for entry in await stream.read(limit=10, wait_ms=1)] == ids[4:]
    await acknowledge(world, ids[4])
    assert await stream.trim() == 1
    assert await stream.trim() == 0


async def test_unacknowledged_entries_of_another_group_are_not_trimmed(world: World):
    ids = await publish_entries(world, 3)
    ours, theirs = world.stream(), world.stream(group="audit")
    await ours.create_group()
    await theirs.create_group()
    for entry in await ours.read(limit=10, wait_ms=1):
        await acknowledge(world, entry.id)
    assert await ours.trim() == 0
    await theirs.read(limit=2, wait_ms=1)
    await acknowledge(world, ids[0], group="audit")
    assert await ours.trim() == 1
    await acknowledge(world, ids[1], group="audit")
    assert await ours.trim() == 1


async def test_entries_of_one_millisecond_are_trimmed_one_by_one(world: World):
    for n in (9, 10, 11):
        await world.redis.xadd(STREAM, {"event": str(n)}, id=f"5-{n}")
    ours, theirs = world.stream(), world.stream(group="audit")
    await ours.create_group()
    await theirs.create_group()
    await ours.read(limit=2, wait_ms=1)
    await theirs.read(limit=1, wait_ms=1)
    await acknowledge(world, "5-9", "5-10")
    await acknowledge(world, "5-9", group="audit")
    assert await ours.trim() == 1
    assert await ours.find_entry("5-10") is not None


async def test_a_stream_without_groups_is_not_trimmed(world: World):
    assert await world.stream().trim() == 0
    await publish_entries(world, 2)
    assert await world.stream().trim() == 0
    assert await world.redis.xlen(STREAM) == 2


async def test_the_lag_counts_unacknowledged_entries(world: World):
    stream = world.stream()
    assert await stream.lag() == 0
    ids = await publish_entries(world, 5)
    assert await stream.lag() == 5
    await world.stream(group="audit").create_group()
    await stream.create_group()
    assert await stream.lag() == 5
    await stream.read(limit=2, wait_ms=1)
    assert await stream.lag() == 5
    await acknowledge(world, ids[0])
    assert await stream.lag() == 4
    await stream.read(limit=10, wait_ms=1)
    await acknowledge(world, *ids)
    assert await stream.lag() == 0


async def test_the_lag_does_not_count_entries_that_were_removed_unread(world: World):
    stream = world.stream()
    await stream.create_group()
    ids = await publish_entries(world, 5)
    await stream.read(limit=1, wait_ms=1)
    await acknowledge(world, ids[0])
    await world.redis.xtrim(STREAM, maxlen=2, approximate=False)
    assert await stream.lag() == 2
    await world.redis.xtrim(STREAM, maxlen=0, approximate=False)
    assert await stream.lag() == 0


async def test_the_lag_is_counted_where_the_server_does_not_know_it(world: World):
    """Redis before 7, and any Redis after a deletion in the middle, does not know the lag."""
    stream = world.stream()
    await stream.create_group()
    async with world.redis.pipeline(transaction=False) as pipeline:
        for n in range(1_201):
            pipeline.xadd(STREAM, {"event": str(n)}, id=f"1-{n + 1}")
        await pipeline.execute()
    await stream.read(limit=1, wait_ms=1)
    await world.redis.xdel(STREAM, "1-700")
    (group,) = await world.redis.xinfo_groups(STREAM)
    assert group["lag"] is None or "Fake" in type(world.redis).__name__
    assert await stream.lag() == 1_200


async def test_idle_consumers_without_pending_entries_are_removed(world: World):
    ids = await publish_entries(world, 3)
    for name in ("idle", "busy"):
        await world.stream(name).create_group()
        await world.stream(name).read(limit=1, wait_ms=1)
    await acknowledge(world, ids[0])
    await world.stream().remove_idle_consumers(idle_ms=60_000)
    assert {one["name"] for one in await world.redis.xinfo_consumers(STREAM, GROUP)} == {b"idle", b"busy"}
    await world.stream().remove_idle_consumers(idle_ms=-1)
    assert {one["name"] for one in await world.redis.xinfo_consumers(STREAM, GROUP)} == {b"busy"}


async def test_a_removed_group_raises_an_error_of_its_own(world: World):
    stream = world.stream()
    await stream.create_group()
    await world.redis.xgroup_destroy(STREAM, GROUP)
    for step in (
        stream.read(limit=1, wait_ms=1),
        stream.claim_abandoned(idle_ms=0, limit=1),
        stream.remove_idle_consumers(idle_ms=0),
    ):
        with pytest.raises(StoreUnavailable, match=r"NOGROUP|[Nn]o such"):
            await step
    await stream.create_group()


async def test_a_stream_exists_once_a_group_was_created(world: World):
    assert not await world.stream().exists()
    await world.stream().create_group()
    assert await world.stream().exists()


async def test_the_oldest_unread_entry_says_since_when_events_wait(world: World):
    stream = world.stream()
    assert await stream.first_unread_ms() == 0
    for ms in (1_000, 2_000):
        await world.redis.xadd(STREAM, {"event": "{}"}, id=f"{ms}-0")
    assert await stream.first_unread_ms() == 1_000
    await stream.create_group()
    await stream.read(limit=1, wait_ms=1)
    assert await stream.first_unread_ms() == 2_000
    await stream.read(limit=1, wait_ms=1)
    assert await stream.first_unread_ms() == 0

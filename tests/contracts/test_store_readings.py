"""Readings: one reader at a time, page by page; the directory is the old one or the new one, never half."""

import itertools

import pytest
from store_world import World

from worker.domain.integration import Conversation, Place

ALERTS = Conversation("C1", "alerts", is_member=True)
OLD = Conversation("C2", "old", is_archived=True, is_private=True)
NEXT = Place(cursor="next", pages=1)


async def test_one_reads_at_a_time(world: World):
    assert await world.readings.claim("ops", "one") == Place()
    assert await world.readings.claim("ops", "two") is None
    assert await world.readings.claim("dev", "two") == Place()
    await world.readings.give_up("ops", "two")
    assert await world.readings.keep("ops", "one")
    await world.readings.give_up("ops", "one")
    assert await world.readings.claim("ops", "two") == Place()
    assert not await world.readings.keep("ops", "one")


async def test_a_claim_ends_with_its_reader(world: World):
    await world.readings.claim("ops", "one")
    assert 0 < await world.redis.pttl("t:lock:directory:ops") <= 30_000
    await world.redis.delete("t:lock:directory:ops")
    assert not await world.readings.keep("ops", "one")
    assert await world.redis.exists("t:lock:directory:ops") == 0


async def test_how_far_a_reading_is_is_known_to_all_as_long_as_someone_reads(world: World):
    await world.readings.claim("ops", "one")
    assert (await world.directory.known("ops")).so_far == 0
    assert await world.readings.page("ops", "one", [ALERTS, OLD], NEXT) == 2
    assert (await world.directory.known("ops")).so_far == 2
    assert await world.readings.page("ops", "one", [OLD], NEXT) == 2
    await world.readings.give_up("ops", "one")
    assert (await world.directory.known("ops")).so_far is None


async def test_until_it_is_whole_the_last_one_is_the_directory(world: World):
    await world.read([ALERTS])
    await world.half_read([OLD])
    assert await world.directory.all("ops") == [ALERTS]
    assert await world.directory.by_name("ops", "old") is None
    assert await world.readings.whole("ops", "half")
    assert await world.directory.all("ops") == [OLD]
    assert await world.directory.by_name("ops", "alerts") is None
    assert (await world.directory.known("ops")).pages == 1


async def test_a_reading_that_found_nothing_leaves_nothing(world: World):
    await world.read([ALERTS])
    await world.read([])
    assert await world.directory.all("ops") == []
    assert await world.directory.by_name("ops", "alerts") is None
    assert (await world.directory.known("ops")).age_s is not None


async def test_a_reading_that_was_broken_off_goes_on_where_it_stopped(world: World):
    place = Place(private=True, cursor="dGVhbTpDMDI=", pages=7)
    await world.half_read([OLD], place)
    await world.readings.give_up("ops", "half")
    assert await world.readings.claim("ops", "two") == place
    await world.readings.page("ops", "two", [ALERTS], Place(pages=8))
    assert await world.readings.whole("ops", "two")
    assert await world.directory.all("ops") == [ALERTS, OLD]


async def test_after_a_while_a_broken_reading_begins_anew_without_what_was_read(world: World):
    await world.half_read([OLD])
    await world.readings.give_up("ops", "half")
    assert 0 < await world.redis.pttl("t:directory:ops:reading:place") <= 180_000
    for part in ("names", "channels"):  # never before the place
        assert await world.redis.pttl(f"t:directory:ops:reading:{part}") > 180_000
    await world.redis.delete("t:directory:ops:reading:place")  # its time is up
    await world.read([ALERTS])
    assert await world.directory.all("ops") == [ALERTS]
    assert await world.directory.by_name("ops", "old") is None


async def test_the_directory_itself_has_no_end(world: World):
    await world.read([ALERTS])
    assert await world.redis.ttl("t:directory:ops:channels") == -1
    assert await world.redis.ttl("t:directory:ops:names") == -1
    assert await world.redis.keys("t:directory:ops:reading:*") == []


async def test_whoever_lost_the_claim_keeps_no_page_and_ends_no_reading(world: World):
    await world.half_read([OLD])
    await world.redis.set("t:lock:directory:ops", "another")
    assert await world.readings.page("ops", "half", [ALERTS], NEXT) is None
    assert not await world.readings.whole("ops", "half")
    assert await world.directory.all("ops") == []
    assert await world.redis.hlen("t:directory:ops:reading:channels") == 1


async def test_a_step_done_twice_changes_nothing(world: World):
    await world.readings.claim("ops", "one")
    for _ in range(2):
        assert await world.readings.page("ops", "one", [ALERTS], NEXT) == 1
    for _ in range(2):
        assert await world.readings.whole("ops", "one")
    assert await world.directory.all("ops") == [ALERTS]
    assert (await world.directory.known("ops")).pages == 1


SHARED = (
    Conversation("C1", "shared", is_member=True),
    Conversation("C2", "shared", is_member=True, is_archived=True),
    Conversation("C3", "shared"),
    Conversation("C4", "shared", is_archived=True),
)


@pytest.mark.parametrize("order", list(itertools.permutations(SHARED)))
async def test_of_several_channels_of_one_name_the_one_we_can_post_to_has_it(
    world: World, order: tuple[Conversation, ...]
):
    await world.read(order[:1], order[1:])
    assert await world.directory.by_name("ops", "shared") == SHARED[0]
    assert len(await world.directory.all("ops")) == 4


async def test_a_channel_read_twice_is_what_it_was_the_second_time(world: World):
    await world.read([SHARED[0]], [Conversation("C1", "shared", is_archived=True)])
    assert await world.directory.by_name("ops", "shared") == Conversation("C1", "shared", is_archived=True)


async def test_twenty_thousand_channels_are_kept(world: World):
    many = [Conversation(f"C{n:08}", f"channel-{n}", is_member=n % 2 == 0) for n in range(20_000)]
    await world.read(*(many[start : start + 999] for start in range(0, 20_000, 999)))
    assert await world.directory.by_name("ops", "channel-19999") == many[-1]
    assert len(await world.directory.all("ops")) == 20_000

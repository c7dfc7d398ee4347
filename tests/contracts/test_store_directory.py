"""The directory: channels and people of the last refresh, read without a call to Slack."""

import pytest
from support.store import World

from worker.domain.integration import Conversation, Person
from worker.store.directory import DirectoryStatus

ALERTS = Conversation("C1", "alerts", is_member=True)
OLD = Conversation("C2", "old", is_archived=True, is_private=True)
SPACED = Conversation("C3", "mpdm a b")


async def test_channels_are_found_by_name_and_by_id(world: World):
    await world.read([OLD, SPACED], [ALERTS])
    assert await world.directory.find_by_name("ops", "alerts") == ALERTS
    assert await world.directory.find_by_id("ops", "C2") == OLD
    assert await world.directory.list_channels("ops") == [ALERTS, SPACED, OLD]
    assert await world.directory.find_by_name("ops", "nothing") is None
    assert await world.directory.find_by_id("ops", "C9") is None
    assert await world.directory.find_by_name("dev", "alerts") is None


async def test_the_status_of_the_directory_is_known_after_a_refresh(world: World):
    assert await world.directory.get_status("ops") == DirectoryStatus(None)
    await world.read([ALERTS], [OLD])
    known = await world.directory.get_status("ops")
    assert known.age_s is not None
    assert 0 <= known.age_s < 5
    assert (known.pages, known.scanned_channels, known.joined_age_s) == (2, None, None)
    await world.redis.hset("t:directory:ops:meta", "read_at_ms", await world.server.now_ms() + 500_000)
    assert (await world.directory.get_status("ops")).age_s == 0


async def test_the_time_of_the_last_memberships_listing_is_known(world: World):
    await world.directory.mark_memberships_read("ops")
    known = await world.directory.get_status("ops")
    assert known.age_s is None
    assert known.joined_age_s is not None
    assert 0 <= known.joined_age_s < 5


async def test_single_channels_are_updated(world: World):
    await world.read([ALERTS])
    left = Conversation("C1", "alerts")
    await world.directory.save_channels("ops")
    assert await world.directory.list_channels("ops") == [ALERTS]
    await world.directory.save_channels("ops", left, SPACED)
    assert await world.directory.find_by_name("ops", "alerts") == left
    assert await world.directory.find_by_name("ops", "mpdm a b") == SPACED


async def test_people_are_cached_for_a_limited_time(world: World):
    ann, bot = Person("U1"), Person("U2", is_bot=True, deleted=True)
    assert await world.directory.find_person("ops", "ann@example.com") is None
    await world.directory.save_person("ops", "ann@example.com", ann, life_s=100)
    await world.redis.expire("t:directory:ops:people", 50)
    await world.directory.save_person("ops", "bot@example.com", bot, life_s=100)
    assert await world.directory.find_person("ops", "ann@example.com") == ann
    assert await world.directory.find_person("ops", "bot@example.com") == bot
    assert 0 < await world.redis.ttl("t:directory:ops:people") <= 50


async def test_cached_people_without_an_expiry_get_one(world: World):
    await world.redis.hset("t:directory:ops:people", "ann@example.com", "{}")
    await world.directory.save_person("ops", "bob@example.com", Person("U3"), life_s=100)
    assert 0 < await world.redis.ttl("t:directory:ops:people") <= 100


@pytest.mark.parametrize("half", [False, True])
async def test_clearing_a_directory_removes_all_its_keys(world: World, half: bool):
    await world.read([ALERTS])
    if half:
        await world.half_read([OLD])
    await world.directory.save_person("ops", "ann@example.com", Person("U1"), life_s=100)
    await world.directory.clear("ops")
    assert await world.redis.keys("t:*") == []


async def test_a_part_of_a_name_finds_the_first_channels_by_name_and_counts_all(world: World):
    some = [Conversation(f"C{number}", f"team-{number}", is_member=number % 2 == 0) for number in range(9)]
    gone = Conversation("C9", "team-0-old", is_member=True, is_archived=True)
    await world.directory.save_channels("ops", *some, gone, Conversation("C10", "random"))
    found = await world.directory.search("ops", "team", limit=2)
    assert [one.name for one in found.members] == ["team-0", "team-2"]
    assert [one.name for one in found.others] == ["team-1", "team-3"]
    assert (found.members_count, found.others_count) == (5, 4)
    assert (await world.directory.search("unknown", "", limit=2)).members == ()

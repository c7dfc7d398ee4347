"""The directory: what was read last, without asking Slack."""

import pytest
from store_world import World

from worker.domain.integration import Conversation, Person
from worker.store.directory import Known

ALERTS = Conversation("C1", "alerts", is_member=True)
OLD = Conversation("C2", "old", is_archived=True, is_private=True)
SPACED = Conversation("C3", "mpdm a b")


async def test_channels_are_found_by_name_and_by_id(world: World):
    await world.read([OLD, SPACED], [ALERTS])
    assert await world.directory.by_name("ops", "alerts") == ALERTS
    assert await world.directory.by_id("ops", "C2") == OLD
    assert await world.directory.all("ops") == [ALERTS, SPACED, OLD]
    assert await world.directory.by_name("ops", "nothing") is None
    assert await world.directory.by_id("ops", "C9") is None
    assert await world.directory.by_name("dev", "alerts") is None


async def test_how_it_stands_is_known_once_it_was_read(world: World):
    assert await world.directory.known("ops") == Known(None)
    await world.read([ALERTS], [OLD])
    known = await world.directory.known("ops")
    assert known.age_s is not None
    assert 0 <= known.age_s < 5
    assert (known.pages, known.so_far, known.joined_age_s) == (2, None, None)
    await world.redis.hset("t:directory:ops:meta", "read_at_ms", await world.server.now_ms() + 500_000)
    assert (await world.directory.known("ops")).age_s == 0


async def test_when_slack_was_asked_where_the_bot_is_is_known(world: World):
    await world.directory.note_joined_known("ops")
    known = await world.directory.known("ops")
    assert known.age_s is None
    assert known.joined_age_s is not None
    assert 0 <= known.joined_age_s < 5


async def test_some_channels_are_corrected(world: World):
    await world.read([ALERTS])
    left = Conversation("C1", "alerts")
    await world.directory.note("ops")
    assert await world.directory.all("ops") == [ALERTS]
    await world.directory.note("ops", left, SPACED)
    assert await world.directory.by_name("ops", "alerts") == left
    assert await world.directory.by_name("ops", "mpdm a b") == SPACED


async def test_people_are_remembered_for_a_while(world: World):
    ann, bot = Person("U1"), Person("U2", is_bot=True, deleted=True)
    assert await world.directory.person("ops", "ann@example.com") is None
    await world.directory.note_person("ops", "ann@example.com", ann, life_s=100)
    await world.redis.expire("t:directory:ops:people", 50)
    await world.directory.note_person("ops", "bot@example.com", bot, life_s=100)
    assert await world.directory.person("ops", "ann@example.com") == ann
    assert await world.directory.person("ops", "bot@example.com") == bot
    assert 0 < await world.redis.ttl("t:directory:ops:people") <= 50


async def test_people_who_would_be_remembered_for_ever_are_not(world: World):
    await world.redis.hset("t:directory:ops:people", "ann@example.com", "{}")
    await world.directory.note_person("ops", "bob@example.com", Person("U3"), life_s=100)
    assert 0 < await world.redis.ttl("t:directory:ops:people") <= 100


@pytest.mark.parametrize("half", [False, True])
async def test_everything_of_a_workspace_is_forgotten(world: World, half: bool):
    await world.read([ALERTS])
    if half:
        await world.half_read([OLD])
    await world.directory.note_person("ops", "ann@example.com", Person("U1"), life_s=100)
    await world.directory.forget("ops")
    assert await world.redis.keys("t:*") == []


async def test_a_part_of_a_name_finds_channels_the_first_by_name_and_counts_all(world: World):
    some = [Conversation(f"C{number}", f"team-{number}", is_member=number % 2 == 0) for number in range(9)]
    gone = Conversation("C9", "team-0-old", is_member=True, is_archived=True)
    await world.directory.note("ops", *some, gone, Conversation("C10", "random"))
    found = await world.directory.find("ops", "team", most=2)
    assert [one.name for one in found.members] == ["team-0", "team-2"]
    assert [one.name for one in found.others] == ["team-1", "team-3"]
    assert (found.members_count, found.others_count) == (5, 4)
    assert (await world.directory.find("nobody", "", most=2)).members == ()

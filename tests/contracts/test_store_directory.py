"""The directory: what was read last, without asking Slack."""

import pytest
from store_world import World

from worker.domain.integration import Conversation, Person

ALERTS = Conversation("C1", "alerts", is_member=True)
OLD = Conversation("C2", "old", is_archived=True, is_private=True)
SPACED = Conversation("C3", "mpdm a b")


async def test_channels_are_found_by_name_and_by_id(world: World):
    await world.directory.replace("ops", [OLD, SPACED, ALERTS])
    assert await world.directory.by_name("ops", "alerts") == ALERTS
    assert await world.directory.by_id("ops", "C2") == OLD
    assert await world.directory.all("ops") == [ALERTS, SPACED, OLD]
    assert await world.directory.by_name("ops", "nothing") is None
    assert await world.directory.by_id("ops", "C9") is None
    assert await world.directory.by_name("dev", "alerts") is None


async def test_its_age_is_known_once_it_was_read(world: World):
    assert await world.directory.age_s("ops") is None
    await world.directory.replace("ops", [ALERTS])
    age_s = await world.directory.age_s("ops")
    assert age_s is not None
    assert 0 <= age_s < 5
    await world.redis.hset("t:directory:ops:meta", "read_at", int(await world.server.now_ms() / 1000) + 500)
    assert await world.directory.age_s("ops") == 0


async def test_a_new_read_takes_the_place_of_the_last_one(world: World):
    await world.directory.replace("ops", [ALERTS, OLD])
    await world.directory.replace("ops", [Conversation("C1", "renamed")])
    assert await world.directory.by_name("ops", "alerts") is None
    assert await world.directory.all("ops") == [Conversation("C1", "renamed")]
    await world.directory.replace("ops", [])
    assert await world.directory.all("ops") == []
    assert await world.directory.age_s("ops") is not None


async def test_what_a_broken_read_left_is_not_told(world: World):
    await world.redis.hset("t:directory:ops:channels:new", "C7", " ghost")
    await world.redis.hset("t:directory:ops:names:new", "ghost", "C7")
    await world.directory.replace("ops", [ALERTS])
    assert await world.directory.by_name("ops", "ghost") is None


async def test_twenty_thousand_channels_are_kept(world: World):
    many = [Conversation(f"C{n:08}", f"channel-{n}", is_member=n % 2 == 0) for n in range(20_000)]
    await world.directory.replace("ops", many)
    assert await world.directory.by_name("ops", "channel-19999") == many[-1]
    assert len(await world.directory.all("ops")) == 20_000


@pytest.mark.parametrize("turn", [1, -1])
async def test_of_several_channels_of_one_name_the_one_we_can_post_to_has_it(world: World, turn: int):
    usable = Conversation("C1", "shared", is_member=True)
    others = [
        Conversation("C2", "shared"),
        Conversation("C3", "shared", is_archived=True),
        Conversation("C4", "shared", is_member=True, is_archived=True),
    ]
    await world.directory.replace("ops", [usable, *others][::turn])
    assert await world.directory.by_name("ops", "shared") == usable


async def test_one_channel_is_corrected(world: World):
    await world.directory.replace("ops", [ALERTS])
    left = Conversation("C1", "alerts")
    await world.directory.note("ops", left)
    await world.directory.note("ops", SPACED)
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


async def test_everything_of_a_workspace_is_forgotten(world: World):
    await world.directory.replace("ops", [ALERTS])
    await world.directory.note_person("ops", "ann@example.com", Person("U1"), life_s=100)
    await world.directory.forget("ops")
    assert await world.redis.keys("t:*") == []

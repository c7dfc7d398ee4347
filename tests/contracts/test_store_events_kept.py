"""Dead letters exist until their retention ends, also after a replay or discard."""

from support.store import GROUP, STREAM, World


async def test_a_discarded_delivery_still_exists(world: World):
    await world.dead("a")
    letter = await world.dead_letters.find("a")
    assert await world.dead_letters.discard(letter)
    assert await world.dead_letters.find("a") is None
    assert await world.dead_letters.exists("a")


async def test_a_discarded_entry_still_exists(world: World):
    await world.redis.xgroup_create(STREAM, GROUP, "0", mkstream=True)
    await world.events.reject(STREAM, GROUP, "7-0", {b"event": b"{"}, "why")
    letter = await world.dead_letters.find("7-0")
    assert await world.dead_letters.discard(letter)
    assert await world.dead_letters.exists("7-0")


async def test_an_unknown_dead_letter_does_not_exist(world: World):
    assert not await world.dead_letters.exists("x")
    assert not await world.dead_letters.exists("8-0")

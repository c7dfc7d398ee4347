"""What was a dead letter is known as long as it is kept, whatever a person decided."""

from store_world import GROUP, STREAM, World


async def test_a_discarded_delivery_is_kept(world: World):
    await world.dead("a")
    letter = await world.dead_letters.find("a")
    assert await world.dead_letters.discard(letter)
    assert await world.dead_letters.find("a") is None
    assert await world.dead_letters.is_kept("a")


async def test_a_discarded_entry_is_kept(world: World):
    await world.redis.xgroup_create(STREAM, GROUP, "0", mkstream=True)
    await world.events.reject(STREAM, GROUP, "7-0", {b"event": b"{"}, "why")
    letter = await world.dead_letters.find("7-0")
    assert await world.dead_letters.discard(letter)
    assert await world.dead_letters.is_kept("7-0")


async def test_what_never_was_is_not_kept(world: World):
    assert not await world.dead_letters.is_kept("x")
    assert not await world.dead_letters.is_kept("8-0")

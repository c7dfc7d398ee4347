"""Named tokens: recognised until they are revoked, and never to be read again."""

from store_world import World

from worker.store.api_tokens import ApiTokens, name_of


async def test_a_token_is_known_by_its_name_until_it_is_revoked(world: World):
    tokens = ApiTokens(world.server)
    one, two = await tokens.add("one"), await tokens.add("two")
    assert one
    assert two
    known = await tokens.all()
    assert [found.name for found in known] == ["one", "two"]
    assert (name_of(one.reveal(), known), name_of(two.reveal(), known)) == ("one", "two")
    assert name_of(one.reveal()[:-1], known) == ""
    assert await tokens.revoke("one")
    assert not await tokens.revoke("one")
    assert name_of(one.reveal(), await tokens.all()) == ""


async def test_a_name_is_given_once(world: World):
    tokens = ApiTokens(world.server)
    first = await tokens.add("one")
    assert first
    assert await tokens.add("one") is None
    assert name_of(first.reveal(), await tokens.all()) == "one"


async def test_redis_does_not_hold_the_token(world: World):
    token = await ApiTokens(world.server).add("one")
    assert token
    kept = await world.redis.hgetall(world.server.keys.named("api_tokens"))
    assert token.reveal() not in str(kept)
    assert len(token.reveal()) >= 47  # 256 bits, and the prefix
    assert token.reveal() not in repr(token)

"""API tokens: valid until they are revoked, and never stored in plain text."""

from support.store import World

from worker.store.api_tokens import ApiTokens, find_token


async def test_an_api_token_is_valid_until_it_is_revoked(world: World):
    tokens = ApiTokens(world.server)
    one, two = await tokens.add("one"), await tokens.add("two")
    assert one
    assert two
    known = await tokens.list_all()
    assert [found.name for found in known] == ["one", "two"]
    assert [find_token(token.reveal(), known) for token in (one, two)] == known
    assert find_token(one.reveal()[:-1], known) is None
    assert await tokens.revoke("one")
    assert not await tokens.revoke("one")
    assert find_token(one.reveal(), await tokens.list_all()) is None


async def test_the_name_of_an_api_token_is_unique(world: World):
    tokens = ApiTokens(world.server)
    first = await tokens.add("one")
    assert first
    assert await tokens.add("one") is None
    assert find_token(first.reveal(), await tokens.list_all()) == (await tokens.list_all())[0]


async def test_redis_does_not_contain_the_api_token(world: World):
    token = await ApiTokens(world.server).add("one")
    assert token
    kept = await world.redis.hgetall(world.server.keys.named("api_tokens"))
    assert token.reveal() not in str(kept)
    assert len(token.reveal()) >= 47  # 256 bits, and the prefix
    assert token.reveal() not in repr(token)


async def test_a_token_keeps_its_scope(world: World):
    tokens = ApiTokens(world.server)
    assert not await tokens.exist()
    await tokens.add("one", "webhooks")
    await tokens.add("two")
    assert await tokens.exist()
    assert [token.only for token in await tokens.list_all()] == ["webhooks", ""]

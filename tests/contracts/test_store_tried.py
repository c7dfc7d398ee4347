"""Tried tokens: kept sealed and for minutes, for one browser."""

from store_world import RING, World

from worker.domain.integration import Secret
from worker.store.tried import LIFE_S, Tried
from worker.store.vault import Vault, generate_key

TOKEN = Secret("xoxb-tried")


async def test_a_token_is_kept_for_minutes_and_sealed(world: World):
    tried = Tried(world.server, Vault(RING))
    await tried.keep("a", TOKEN)
    assert await tried.token("a") == TOKEN
    assert await tried.token("b") is None
    assert b"xoxb" not in await world.redis.get("t:session:a:tried")
    assert 0 < await world.redis.ttl("t:session:a:tried") <= LIFE_S


async def test_it_can_be_forgotten(world: World):
    tried = Tried(world.server, Vault(RING))
    await tried.keep("a", TOKEN)
    await tried.forget("a")
    assert await tried.token("a") is None


async def test_one_that_no_key_opens_any_more_is_as_if_there_were_none(world: World):
    await Tried(world.server, Vault(generate_key())).keep("a", TOKEN)
    assert await Tried(world.server, Vault(RING)).token("a") is None

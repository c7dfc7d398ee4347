"""Pending tokens: encrypted, kept for minutes, and usable by one browser."""

from support.store import KEY_RING, World

from worker.domain.integration import Secret
from worker.store.sessions import PENDING_TOKEN_S, PendingTokens
from worker.store.token_cipher import TokenCipher, generate_key

TOKEN = Secret("xoxb-tried")


async def test_a_pending_token_is_kept_encrypted_for_minutes(world: World):
    tried = PendingTokens(world.server, TokenCipher(KEY_RING))
    await tried.save("a", TOKEN)
    assert await tried.find("a") == TOKEN
    assert await tried.find("b") is None
    assert b"xoxb" not in await world.redis.get("t:session:a:tried")
    assert 0 < await world.redis.ttl("t:session:a:tried") <= PENDING_TOKEN_S


async def test_a_pending_token_can_be_deleted(world: World):
    tried = PendingTokens(world.server, TokenCipher(KEY_RING))
    await tried.save("a", TOKEN)
    await tried.remove("a")
    assert await tried.find("a") is None


async def test_a_pending_token_that_no_key_decrypts_does_not_exist(world: World):
    await PendingTokens(world.server, TokenCipher(generate_key())).save("a", TOKEN)
    assert await PendingTokens(world.server, TokenCipher(KEY_RING)).find("a") is None

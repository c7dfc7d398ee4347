"""Console sessions, the token being tested in one, and the growing waits between login attempts.

They are kept in Redis and not in signed cookies, so that every web process knows them, a logout ends them at once,
and a new password ends all. A session's name is a hash of its cookie: Redis alone does not let anyone log in.
"""

from dataclasses import dataclass

from worker.domain.integration import Secret
from worker.store.redis_client import RedisClient, RedisStore, text
from worker.store.token_cipher import TokenCipher, WrongKey

IDLE_MS = 8 * 3_600_000
LIFE_MS = 24 * 3_600_000
KNOWN_S = 90 * 86_400
ATTEMPTS_COUNT_MS = 3_600_000
PENDING_TOKEN_S = 600


@dataclass(frozen=True, slots=True)
class AttemptLimit:
    """How attempts with one kind of secret are slowed down."""

    kind: str  #: Part of the Redis key; empty for the password.
    free: int  #: How many attempts of a client address need no wait.
    max_wait_ms: int  #: The longest wait between its others.
    all_free: int  #: The same of all addresses together.
    all_max_wait_ms: int


PASSWORD_LIMIT = AttemptLimit("", free=5, max_wait_ms=300_000, all_free=50, all_max_wait_ms=30_000)
#: Tokens are random: wrong ones of one address are slowed down, those of all addresses together never.
TOKEN_LIMIT = AttemptLimit("token:", free=10, max_wait_ms=300_000, all_free=2**31, all_max_wait_ms=0)


class Sessions(RedisStore):
    """The open console sessions."""

    async def open(self, name: str) -> None:
        """Open a session."""
        await self._server.command("SET", self._keys.session(name), await self._server.now_ms(), "PX", IDLE_MS)

    async def is_open(self, name: str) -> bool:
        """Return whether a session is open; each call keeps it open for longer, up to a day in all."""
        key = self._keys.session(name)
        since_ms = await self._server.command("GET", key)
        if since_ms is None:
            return False
        left_ms = int(since_ms) + LIFE_MS - await self._server.now_ms()
        if left_ms <= 0:
            await self.close(name)
            return False
        await self._server.command("PEXPIRE", key, min(IDLE_MS, left_ms))
        return True

    async def close(self, name: str) -> None:
        """Close a session."""
        await self._server.command("DEL", self._keys.session(name))


class LoginThrottle(RedisStore):
    """Growing waits between wrong passwords or tokens, by client address and of all addresses together."""

    async def book_attempt(self, address: str, limit: AttemptLimit) -> float:
        """Book an attempt of a client address as failed; return 0, or for how many seconds it must wait instead."""
        arguments = (limit.free, limit.max_wait_ms, limit.all_free, limit.all_max_wait_ms, ATTEMPTS_COUNT_MS)
        return int(await self._server.run_script("login_attempt", self._names(address, limit), arguments)) / 1000

    async def wait_s(self, address: str, limit: AttemptLimit) -> float:
        """Return for how many seconds a client address must wait, without booking an attempt."""
        until_ms = int(await self._server.command("HGET", self._names(address, limit)[0], "until") or 0)
        return max(until_ms - await self._server.now_ms(), 0) / 1000 if until_ms else 0.0

    async def record_success(self, address: str, limit: AttemptLimit) -> None:
        """Record that the last attempt of a client address had the right secret."""
        arguments = (ATTEMPTS_COUNT_MS, KNOWN_S)
        await self._server.run_script("login_success", self._names(address, limit), arguments)

    def _names(self, address: str, limit: AttemptLimit) -> tuple[str, str, str]:
        own, overall, known = (f"{limit.kind}{part}" for part in (f"of:{address}", "all", f"known:{address}"))
        return self._keys.login(own), self._keys.login(overall), self._keys.login(known)


class PendingTokens(RedisStore):
    """Encrypted Slack tokens between their test in the console and the request that saves them, by session."""

    def __init__(self, server: RedisClient, token_cipher: TokenCipher) -> None:
        super().__init__(server)
        self._token_cipher = token_cipher

    async def save(self, session: str, token: Secret) -> None:
        """Keep a session's token for ten minutes, in place of an earlier one."""
        encrypted = self._token_cipher.encrypt(token)
        await self._server.command("SET", self._keys.session(session, "tried"), encrypted, "EX", PENDING_TOKEN_S)

    async def find(self, session: str) -> Secret | None:
        """Return a session's token, if one is kept."""
        encrypted = await self._server.command("GET", self._keys.session(session, "tried"))
        try:
            return None if encrypted is None else self._token_cipher.decrypt(text(encrypted), "of this session")
        except WrongKey:
            return None

    async def remove(self, session: str) -> None:
        """Remove a session's token."""
        await self._server.command("DEL", self._keys.session(session, "tried"))

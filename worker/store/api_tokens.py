"""Named tokens of the HTTP API, kept as plain hashes: 256 random bits cannot be guessed as a password can."""

import hashlib
import hmac
import json
from dataclasses import dataclass

from worker.domain.integration import Secret
from worker.local_machine import make_token
from worker.store.redis_client import RedisStore, fields

SCOPES = ("webhooks", "publish", "read")  #: What a token can be limited to.


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A named token as stored."""

    name: str
    sha256: str
    created_at_ms: int
    only: str = ""  #: One of `SCOPES`; empty when the token may do everything.


class ApiTokens(RedisStore):
    """The named tokens; every process sees a change with its next request."""

    async def add(self, name: str, only: str = "") -> Secret | None:
        """Create a token, which is shown this once; return None when the name is taken."""
        token = make_token()
        stored = json.dumps({"sha256": _hash(token), "created": await self._server.now_ms(), "only": only})
        is_new = await self._server.command("HSETNX", self._keys.named("api_tokens"), name, stored)
        return Secret(token) if is_new else None

    async def list_all(self) -> list[ApiToken]:
        """Return all tokens, oldest first."""
        stored = fields(await self._server.command("HGETALL", self._keys.named("api_tokens")))
        loaded = {name: json.loads(value) for name, value in stored.items()}
        tokens = [
            ApiToken(name, value["sha256"], int(value["created"]), value.get("only", ""))
            for name, value in loaded.items()
        ]
        return sorted(tokens, key=lambda token: (token.created_at_ms, token.name))

    async def exist(self) -> bool:
        """Return whether there is any token."""
        return bool(await self._server.command("HLEN", self._keys.named("api_tokens")))

    async def revoke(self, name: str) -> bool:
        """Revoke a token; return whether it existed."""
        return bool(await self._server.command("HDEL", self._keys.named("api_tokens"), name))


def find_token(token: str, known: list[ApiToken]) -> ApiToken | None:
    """Return the stored form of a token, None for an unknown one; it takes as long either way."""
    hashed = _hash(token)
    return next(iter([stored for stored in known if hmac.compare_digest(stored.sha256, hashed)]), None)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()

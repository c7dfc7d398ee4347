"""Named tokens of the HTTP API: only their hashes are kept, so whoever reads Redis has none.

A token has 256 random bits, so a plain sha256 of it cannot be tried out as that of a password can.
"""

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass

from worker.domain.integration import Secret
from worker.store.server import Server, fields

PREFIX = "iks_"
"""What every token begins with, so that logs can leave it out and scanners find one that leaked."""
RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A named token, as it is kept."""

    name: str
    sha256: str
    created_at_ms: int


class ApiTokens:
    """Add, list, revoke, recognise; every process sees a change with its next request."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._key = server.keys.named("api_tokens")

    async def add(self, name: str) -> Secret | None:
        """A new token, which is never to be seen again; None when there is one of that name."""
        token = f"{PREFIX}{secrets.token_urlsafe(RANDOM_BYTES)}"
        kept = json.dumps({"sha256": _hash(token), "created": await self._server.now_ms()})
        is_new = await self._server.command("HSETNX", self._key, name, kept)
        return Secret(token) if is_new else None

    async def all(self) -> list[ApiToken]:
        """All of them, oldest first."""
        stored = fields(await self._server.command("HGETALL", self._key))
        plain = ((name, json.loads(kept)) for name, kept in stored.items())
        found = [ApiToken(name, kept["sha256"], int(kept["created"])) for name, kept in plain]
        return sorted(found, key=lambda one: (one.created_at_ms, one.name))

    async def revoke(self, name: str) -> bool:
        """It opens nothing from now on: was there one?"""
        return bool(await self._server.command("HDEL", self._key, name))


def name_of(token: str, known: list[ApiToken]) -> str:
    """Whose token it is; empty when nobody's. Takes as long whether one matches or none."""
    hashed = _hash(token)
    found = [one.name for one in known if hmac.compare_digest(one.sha256, hashed)]
    return found[0] if found else ""


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()

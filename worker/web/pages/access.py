"""Access: who may see the console, by the settings alone.

With ADMIN_PASSWORD, who knows it. With neither it nor API_TOKEN, whoever sits at this machine.
With API_TOKEN alone nobody: who protects the API does not mean to leave the console open.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Mapping

from pydantic import SecretStr

from worker.web.nearness import is_from_here

COST = 2**15  # scrypt's N: 32 MiB and about 0.1 s a try
AT_ONCE = 2
CLOSED = "The console needs a password: set ADMIN_PASSWORD, and start the web process again."
ONLY_HERE = (
    "Without ADMIN_PASSWORD the console is for this machine alone, as http://localhost or http://127.0.0.1."
)


class ConsoleAccess:
    """Made once, at the start: the password itself is not kept, only what scrypt makes of it."""

    def __init__(self, password: SecretStr | None, api_token: SecretStr | None, *, salt: str) -> None:
        self._salt, self._hash, self._names = secrets.token_bytes(16), b"", b""
        self.asks_password = bool(password)
        self._closed = api_token is not None and not password
        self._tries = asyncio.Semaphore(AT_ONCE)
        if password:
            text = password.get_secret_value()
            self._hash = _scrypt(text, self._salt)
            self._names = _scrypt(text, f"sessions of {salt}".encode())

    def why_not(self, client: str, headers: Mapping[str, str]) -> str:
        """Why who asks from there is let in nowhere, with the step; empty when they may go on."""
        if self._closed:
            return CLOSED
        if self.asks_password:
            return ""
        return "" if is_from_here(client, headers) else ONLY_HERE

    async def is_password(self, text: str) -> bool:
        """Whether it is the password; always takes as long."""
        async with self._tries:
            found = await asyncio.to_thread(_scrypt, text, self._salt)
        return hmac.compare_digest(found, self._hash)

    def session_name(self, cookie: str) -> str:
        """A session's name in Redis: it does not give the cookie away, and changes with the password."""
        return hmac.digest(self._names, cookie.encode(), "sha256").hex()


def form_token(cookie: str) -> str:
    """What every form must bring: only a page that we gave to this very browser has it."""
    return hmac.digest(cookie.encode(), b"form", "sha256").hex()[:32]


def _scrypt(text: str, salt: bytes) -> bytes:
    return hashlib.scrypt(text.encode(), salt=salt, n=COST, r=8, p=1, maxmem=64 * COST * 32, dklen=32)

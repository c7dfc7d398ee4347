"""Console access: the password or the start-up key, and the cookies of their sessions.

With ADMIN_PASSWORD, the console needs the password. Without any credential, it needs the start-up key. With API_TOKEN
or named tokens alone it is closed: these are for programs.
"""

import asyncio
import hashlib
import hmac
import secrets

from fastapi import Request
from pydantic import SecretStr

from worker.store.api_tokens import ApiTokens

COST = 2**15  # scrypt's N: 32 MiB and about 0.1 s for each try
CONCURRENT_TRIES = 2
CLOSED = (
    "This installation has tokens for programs, and no password for the console: set ADMIN_PASSWORD, then restart the "
    "web process."
)
VISITOR, SESSION = "ik_slack_visitor", "ik_slack"
TLS_PREFIX = "__Host-"


class ConsoleAccess:
    """The console's password, of which only a scrypt hash is kept, or the start-up key; without both it is closed."""

    def __init__(self, password: SecretStr | None, startup_key: str, tokens: ApiTokens, *, salt: str) -> None:
        self.has_password = bool(password)
        self._startup_key = "" if password else startup_key
        self._tokens = tokens
        self._tries = asyncio.Semaphore(CONCURRENT_TRIES)
        self._salt, self._hash, use = secrets.token_bytes(16), b"", f"sessions of {salt}".encode()
        if password:
            self._hash = _scrypt(password.get_secret_value(), self._salt)
            self._session_key = _scrypt(password.get_secret_value(), use)
        else:  # the start-up key is random and long: it needs no hash that is slow to guess
            self._session_key = hmac.digest(startup_key.encode(), use, "sha256")

    async def denial_reason(self) -> str:
        """Return why no page can be opened, and what to do; empty when one can."""
        if self.has_password or (self._startup_key and not await self._tokens.exist()):
            return ""
        return CLOSED

    def is_startup_key(self, text: str) -> bool:
        """Return whether a text is the start-up key, in constant time."""
        given = text.encode("utf-8", "replace")
        return bool(self._startup_key) and hmac.compare_digest(given, self._startup_key.encode())

    async def is_password(self, text: str) -> bool:
        """Return whether a text is the password, in constant time; never without a password."""
        async with self._tries:
            hashed = await asyncio.to_thread(_scrypt, text, self._salt)
        return self.has_password and hmac.compare_digest(hashed, self._hash)

    def session_name(self, cookie: str) -> str:
        """Return a session's name in Redis: it does not reveal the cookie, and changes with the password."""
        return hmac.digest(self._session_key, cookie.encode(), "sha256").hex()


def form_token(cookie: str) -> str:
    """Return the token that every form must bring: only a page sent to this browser has it."""
    return hmac.digest(cookie.encode(), b"form", "sha256").hex()[:32]


def read_cookie(request: Request, name: str) -> str:
    """Return a cookie of the browser; empty when it sent none."""
    return request.cookies.get(f"{TLS_PREFIX}{name}") or request.cookies.get(name) or ""


def cookie_header(request: Request, name: str, value: str) -> str:
    """Return the header that sets a cookie for as long as the browser is open."""
    is_tls = request.headers.get("origin", "").lower().startswith("https://")
    prefix, secure = (TLS_PREFIX, "; Secure") if is_tls else ("", "")
    return f"{prefix}{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}"


def _scrypt(text: str, salt: bytes) -> bytes:
    return hashlib.scrypt(text.encode(), salt=salt, n=COST, r=8, p=1, maxmem=64 * COST * 32, dklen=32)

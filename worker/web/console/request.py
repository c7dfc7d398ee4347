"""A request to the console: who may send it, its form, and its answer by a template or a redirect with a notice.

With ADMIN_PASSWORD, the console needs the password. Without any credential, it needs the start-up key. With API_TOKEN
or named tokens alone it is closed: these are for programs.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import SecretStr

from worker.bootstrap.context import AppContext
from worker.domain.hints import NO_HINT, Hint
from worker.domain.integration import Secret
from worker.store.api_tokens import ApiTokens
from worker.store.audit import FAILED, AuditTrail
from worker.store.sessions import PendingTokens
from worker.web.auth import RequestAudit
from worker.web.console.templating import templates

MAX_FORM_BYTES, MAX_FIELDS = 128 * 1024, 500
FORM_TYPE = "application/x-www-form-urlencoded"
NOTICE_COOKIE, NOTICE_S = "ik_slack_notice", 60
MAX_NOTICE, MAX_FIX = 1_200, 600  # bytes: browsers keep no cookie above 4 KiB
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


class Form:
    """The fields of a submitted form, without surrounding space; an absent field is empty."""

    def __init__(self, body: bytes = b"") -> None:
        """Parse a request's body; raises ValueError when it is no form."""
        self._fields: dict[str, list[str]] = {}
        for name, value in parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS):
            self._fields.setdefault(name, []).append(value.replace("\r\n", "\n"))

    def text(self, name: str, max_length: int = 500) -> str:
        """Return a field, cut to the `maxlength` that the page gives it."""
        return self._fields.get(name, [""])[0].strip()[:max_length]

    def values(self, name: str) -> tuple[str, ...]:
        """Return all values of a field that are not empty."""
        return tuple(filter(None, (value.strip() for value in self._fields.get(name, ()))))

    def is_checked(self, name: str) -> bool:
        """Return whether a box was ticked."""
        return bool(self.text(name))

    def secret(self, name: str) -> Secret | None:
        """Return a field that is never shown: a password or a token."""
        value = self.text(name, 4_000)
        return Secret(value) if value else None


class Notice(NamedTuple):
    """The result of an action, shown once on the next page."""

    tone: str  #: `done`, `warning` or `failed`.
    text: str
    fix: Hint = NO_HINT


@dataclass(slots=True)
class ConsoleRequest:
    """A request to the console, authenticated when a page handles it."""

    http: Request
    app: AppContext
    access: ConsoleAccess
    client: str
    cookie: str = ""  #: The browser's secret; what is signed with it is valid for this browser alone.
    caller: str = ""  #: The session, for the audit log; empty before login.
    form: Form = field(default_factory=Form)

    def query(self, name: str) -> str:
        """Return a query parameter without surrounding space; empty when absent."""
        return self.http.query_params.get(name, "").strip()

    def render(
        self, template: str, status_code: int = 200, *, notices: Sequence[Notice] = (), **context: object
    ) -> Response:
        """Answer with a page."""
        kept = self._kept_notice()
        frame = {
            "path": self.http.scope["path"],
            "health": "",
            "is_logged_in": bool(self.caller),
            "notices": [*([kept] if kept else []), *notices],
            "form_token": form_token(self.cookie),
        }
        answer = HTMLResponse(templates().get_template(template).render({**frame, **context}), status_code)
        if kept:
            answer.delete_cookie(NOTICE_COOKIE)
        return answer

    def redirect(
        self, to: str, text: str = "", tone: str = "done", fix: Hint = NO_HINT, *, warnings: Sequence[str] = ()
    ) -> Response:
        """Lead to another page with a notice, so that a reload never repeats an action."""
        answer = RedirectResponse(to, 303)
        if warnings:
            text, tone = " ".join((text, *warnings)), "failed" if tone == "failed" else "warning"
        if tone == "failed" and (entry := getattr(self.http.state, "audit", None)):
            entry.outcome = FAILED
        if text:
            cut, parts = text.encode()[:MAX_NOTICE].decode(errors="ignore"), fix.to_json()
            plain = [tone, cut, str(fix), parts] if len(parts) <= MAX_FIX else [tone, cut, "", ""]
            notice = base64.urlsafe_b64encode(json.dumps(plain, ensure_ascii=False).encode()).decode()
            value = f"{notice}.{self._sign(notice)}"
            answer.set_cookie(NOTICE_COOKIE, value, max_age=NOTICE_S, httponly=True, samesite="strict")
        return answer

    @property
    def pending_tokens(self) -> PendingTokens:
        """The tokens that were tested and can be saved."""
        return PendingTokens(self.app.redis, self.app.token_cipher)

    def secret_name(self, purpose: str) -> str:
        """Return a Redis name for a value of this browser alone, which does not reveal its cookie."""
        return hmac.digest(self.cookie.encode(), f"name of {purpose}".encode(), "sha256").hex()

    def audit(self, what: str, which: str) -> None:
        """Announce a change before it is made; its audit line is written with the outcome afterwards."""
        self.http.state.audit = RequestAudit(AuditTrail(self.app.redis), self.caller, what, which)

    def discard_audit(self) -> None:
        """Write no audit line, because nothing had to be changed."""
        self.http.state.audit = None

    def _kept_notice(self) -> Notice | None:
        notice, _, signature = self.http.cookies.get(NOTICE_COOKIE, "").partition(".")
        if not (notice and self.cookie) or not hmac.compare_digest(signature.encode(), self._sign(notice).encode()):
            return None
        tone, text, fix, parts = json.loads(base64.urlsafe_b64decode(notice))
        return Notice(tone, text, Hint.from_stored(fix, parts))

    def _sign(self, text: str) -> str:
        return hmac.digest(self.cookie.encode(), text.encode(), "sha256").hex()[:32]


def get_console_request(request: Request) -> ConsoleRequest:
    """Return the request that the middleware has authenticated."""
    console_request = request.state.console
    assert isinstance(console_request, ConsoleRequest)  # noqa: S101  # no page is reached without the middleware
    return console_request


ConsoleRequestDep = Annotated[ConsoleRequest, Depends(get_console_request)]

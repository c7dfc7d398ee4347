"""Authentication of API and webhook requests by token, and the audit line of every change made over HTTP.

A token is `API_TOKEN`, a named token, or the start-up key.

The start-up key is the only credential of an installation that has no other. Nothing else opens anything: no address
of a client, no host name, no header of a proxy.
"""

import hmac
import logging
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from config.settings import Settings
from worker.domain.errors import UserError
from worker.local_machine import STARTUP_KEY_FILE
from worker.store.api_tokens import ApiTokens, find_token
from worker.store.audit import DONE, FAILED, MAX_TEXT, REFUSED, AuditTrail
from worker.store.redis_client import RedisClient
from worker.store.redis_errors import StoreUnavailable
from worker.store.sessions import TOKEN_LIMIT, LoginThrottle
from worker.telemetry import LogValue, log_event

log, audit_log = logging.getLogger("worker.web"), logging.getLogger("worker.audit")

#: Tokens shorter than this can be guessed: after too many wrong tokens from an address they are refused too.
GUESSABLE_LENGTH = 32
MAKE_A_TOKEN = "`ik-slack api-tokens add NAME` makes a token."  # noqa: S105  # a sentence
USE_THE_KEY = f"While there is none, the start-up key in the file {STARTUP_KEY_FILE} of DATA_DIR is the token."
KEY_ENDED = "The start-up key has ended, because there are named tokens: use one of them."
SAFE_METHODS = ("GET", "HEAD")
WEBHOOKS, PUBLISH_PATH = "/webhooks/", "/api/v1/events"

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="API_TOKEN, or a named token made by `ik-slack api-tokens add NAME`",
)
basic = HTTPBasic(
    auto_error=False, scheme_name="password", description="The same tokens as password, with any user name"
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
BasicCredentials = Annotated[HTTPBasicCredentials | None, Depends(basic)]


class Caller(NamedTuple):
    """The sender of a request."""

    who: str  #: The name of the token.
    only: str = ""  #: The scope of the token; empty when it may do everything.


@dataclass(slots=True)
class RequestAudit:
    """The audit line of a request, completed while the request is handled and written afterwards."""

    trail: AuditTrail
    who: str  #: The name of the token or session.
    what: str  #: The change: method and path of the API, or the console's action.
    which: str = ""  #: The object that is changed.
    details: dict[str, LogValue] = field(default_factory=dict)
    outcome: str = ""  #: Set by a handler whose response does not show that the change failed.

    is_kept: bool = True  #: Whether the trail has it too; published events are in the log alone, because they are many.

    async def write(self, outcome: str) -> None:
        """Write the line to the log and, if it belongs there, to the trail."""
        outcome = self.outcome or outcome
        texts: dict[str, LogValue] = {"what": self.what, "which": self.which, **self.details}
        cut = {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in texts.items()}
        log_event(audit_log, logging.INFO, "change audited", who=self.who, outcome=outcome, **cut)
        if not self.is_kept:
            return
        details = " ".join(f"{name}={value}" for name, value in self.details.items() if value)
        with suppress(StoreUnavailable):
            await self.trail.append(self.who, self.what, f"{self.which} {details}".strip(), outcome)


def set_audit_details(request: Request, **details: LogValue) -> None:
    """Add what the path does not say about the change."""
    request.state.audit.details.update(details)


class AuditedRoute(APIRoute):
    """A route that writes the request's audit entry after the request, whatever its outcome."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's handler, which also writes the audit entry."""
        handle = super().get_route_handler()

        async def handle_audited(request: Request) -> Response:
            outcome = FAILED
            try:
                response = await handle(request)
                outcome = DONE if response.status_code < 400 else REFUSED
            except (UserError, HTTPException, RequestValidationError, ClientDisconnect):
                outcome = REFUSED
                raise
            finally:
                if audit := getattr(request.state, "audit", None):
                    await audit.write(outcome)
            return response

        return handle_audited


def audited_router(prefix: str = "", tags: list[str | Enum] | None = None) -> APIRouter:
    """Return a router whose routes are audited."""
    return APIRouter(prefix=prefix, tags=tags, route_class=AuditedRoute)


class ApiAuth:
    """Authentication of requests to the API and the webhooks."""

    def __init__(self, settings: Settings, startup_key: str, redis: RedisClient) -> None:
        self._api_token = settings.api_token.get_secret_value() if settings.api_token else ""
        self._startup_key = startup_key
        self.is_document_public = not startup_key  #: The settings have a credential: the document needs no token.
        self._tokens = ApiTokens(redis)
        self._throttle = LoginThrottle(redis)
        self._trail = AuditTrail(redis)

    async def authenticate(self, request: Request, token: str) -> None:
        """Begin the audit entry of an authenticated request; raises HTTPException for any other."""
        caller, path, method = await self._identify(request, token), request.scope["path"], request.method
        if method not in SAFE_METHODS:
            audit = request.state.audit = RequestAudit(self._trail, caller.who, f"{method} {path}")
            audit.is_kept = not path.startswith((PUBLISH_PATH, WEBHOOKS))
        if caller.only and caller.only != _required_scope(method, path):
            detail = f"The token {caller.who} is for {caller.only} only: {method} {path} needs another token."
            raise HTTPException(403, f"{detail} {MAKE_A_TOKEN}")

    async def _identify(self, request: Request, token: str) -> Caller:
        address = throttle_key(client_host(request))
        if _is_same(token, self._api_token):
            if len(self._api_token) < GUESSABLE_LENGTH:
                _require_no_wait(address, await self._throttle.wait_s(address, TOKEN_LIMIT))
            return Caller("API_TOKEN")
        named = await self._tokens.list_all()
        hint = f" {USE_THE_KEY}" if self._startup_key and not named else ""
        if not token:
            raise _unauthorized(request, f"A token is needed: Authorization: Bearer TOKEN. {MAKE_A_TOKEN}{hint}")
        if known := find_token(token, named):
            return Caller(known.name, known.only)
        if _is_same(token, self._startup_key):
            if named:
                raise _unauthorized(request, KEY_ENDED, ', error="invalid_token"')
            return Caller("start-up key")
        _require_no_wait(address, await self._throttle.book_attempt(address, TOKEN_LIMIT))
        log_event(log, logging.WARNING, "token rejected", address=client_host(request), path=request.scope["path"])
        detail = f"The token is wrong or revoked. {MAKE_A_TOKEN}{hint}"
        raise _unauthorized(request, detail, ', error="invalid_token"')


async def authenticate(request: Request, credentials: Credentials) -> None:
    """Authenticate a request by its bearer token; raises HTTPException."""
    auth: ApiAuth = request.state.auth
    await auth.authenticate(request, credentials.credentials if credentials else "")


async def authenticate_webhook(request: Request, credentials: Credentials, basic_credentials: BasicCredentials) -> None:
    """Authenticate as `authenticate` does; many senders of webhooks can send a token as a password only."""
    auth: ApiAuth = request.state.auth
    token = basic_credentials.password if basic_credentials else ""
    await auth.authenticate(request, credentials.credentials if credentials else token)


async def authenticate_document(request: Request, credentials: Credentials) -> None:
    """Authenticate a request for the OpenAPI document unless the document is public."""
    auth: ApiAuth = request.state.auth
    if not auth.is_document_public:
        await authenticate(request, credentials)


def _is_same(token: str, secret: str) -> bool:
    return bool(secret) and hmac.compare_digest(token.encode("utf-8", "surrogatepass"), secret.encode())


def _required_scope(method: str, path: str) -> str:
    """Return the scope that is enough for a request; empty when no scope is."""
    if path.startswith(WEBHOOKS):
        return "webhooks"
    if method in SAFE_METHODS:
        return "read"
    return "publish" if path == PUBLISH_PATH else ""


def _require_no_wait(address: str, wait_s: float) -> None:
    if seconds := math.ceil(wait_s):
        detail = f"Too many wrong tokens came from {address}: wait {seconds} s."
        raise HTTPException(429, detail, {"retry-after": str(seconds)})


def _unauthorized(request: Request, detail: str, error: str = "") -> HTTPException:
    schemes = f'Bearer realm="ik-slack"{error}'
    if request.scope["path"].startswith(WEBHOOKS):
        schemes += ', Basic realm="ik-slack"'
    return HTTPException(401, detail, {"www-authenticate": schemes})


def client_host(request: Request) -> str:
    """Return the address a request came from; empty when unknown. It slows guesses down and opens nothing."""
    return request.client.host if request.client else ""


def is_from_this_site(request: Request) -> bool:
    """Return whether no page of another site sent a request, by `Sec-Fetch-Site` or, from old browsers, `Origin`."""
    if site := request.headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


def throttle_key(client: str) -> str:
    """Return the address that failures are counted for: of IPv6 the network, in which a client has many addresses."""
    try:
        address = ip_address(client)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network(f"{address}/64", strict=False).network_address)
    return str(address)

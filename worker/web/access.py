"""Access: who may use the API and the webhooks.

Once there is any credential (`API_TOKEN`, `ADMIN_PASSWORD`, a named token), whoever has a bearer token.
Without any, whoever sits at this machine: then a request must be one that no page of another site can send.
"""

import hmac
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import Depends, Request
from fastapi.params import Depends as Needed
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from config.settings import Settings
from worker.store.api_tokens import ApiTokens, name_of
from worker.telemetry import say
from worker.web.audit import SAFE
from worker.web.bodies import JSON_TYPES
from worker.web.nearness import counted_address, is_from_here
from worker.web.patience import Patience

log = logging.getLogger("worker.web")

OF_THE_SETTINGS, OF_THIS_MACHINE = "API_TOKEN", "this machine"
GUESSABLE = 32
"""A token shorter than so many characters may be guessed: it is not even looked at where many were wrong."""

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="API_TOKEN, or a token of its own name: `ik-slack api-tokens add NAME`",
)
Given = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


class Access:
    """Lets a request in, or raises why not; `needed` is what a router depends on."""

    def __init__(
        self, settings: Settings, tokens: ApiTokens, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api_token = settings.api_token.get_secret_value() if settings.api_token else ""
        self._has_password = settings.admin_password is not None
        self._tokens = tokens
        self._patience = Patience(clock)

    @property
    def needed(self) -> Sequence[Needed]:
        """For `dependencies` of a router."""
        return [Depends(self.enter)]

    async def enter(self, request: Request, given: Given) -> None:
        """Who it is stands in `request.state.caller` afterwards."""
        if self._is_of_the_settings(given, request):
            request.state.caller = OF_THE_SETTINGS
            return
        known = await self._tokens.all()
        if not (self._api_token or self._has_password or known):
            _only_from_here(request)
            request.state.caller = OF_THIS_MACHINE
            return
        request.state.caller = name_of(given.credentials, known) if given else ""
        if not request.state.caller:
            raise self._refusal(request, given)

    def _is_of_the_settings(self, given: HTTPAuthorizationCredentials | None, request: Request) -> bool:
        """Whether it is API_TOKEN."""
        if not given or not self._api_token:
            return False
        if len(self._api_token) < GUESSABLE and self._patience.wait_s(counted_address(_client(request))):
            return False
        return hmac.compare_digest(given.credentials.encode(), self._api_token.encode())

    def _refusal(self, request: Request, given: HTTPAuthorizationCredentials | None) -> HTTPException:
        """Why not, and what to do; a token that was wrong is counted."""
        address = counted_address(_client(request))
        if given is None:
            return _unauthorized("A bearer token is needed: Authorization: Bearer TOKEN.", "")
        if wait_s := self._patience.wait_s(address):
            detail = f"Too many wrong tokens came from {address}: wait {math.ceil(wait_s)} s."
            return HTTPException(429, detail, {"retry-after": str(math.ceil(wait_s))})
        self._patience.failed(address)
        say(log, logging.WARNING, "wrong token", address=_client(request), path=request.scope["path"])
        return _unauthorized("The token is wrong, or was revoked.", ', error="invalid_token"')


def _unauthorized(detail: str, more: str) -> HTTPException:
    mend = " `ik-slack api-tokens add NAME` makes one."
    return HTTPException(401, detail + mend, {"www-authenticate": f'Bearer realm="ik-slack"{more}'})


def _only_from_here(request: Request) -> None:
    """Raises unless it comes from this machine, and from no page of another site."""
    host = request.headers.get("host", "")
    if not is_from_here(_client(request), request.headers):
        raise HTTPException(
            403,
            "Without credentials the API is for this machine alone, as http://localhost or http://127.0.0.1, "
            f"not as {host or 'nothing'} or through a proxy: set API_TOKEN, or make a token: "
            "`ik-slack api-tokens add NAME`.",
        )
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin", f"http://{host}")
    if site not in ("same-origin", "none") or origin.partition("://")[2] != host:
        raise HTTPException(403, "This comes from a page of another site: it is not done.")
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method not in SAFE and given not in JSON_TYPES:
        raise HTTPException(
            415,
            f"Without credentials every change comes as Content-Type: {JSON_TYPES[0]}, even an empty one.",
        )


def _client(request: Request) -> str:
    return request.client.host if request.client else ""

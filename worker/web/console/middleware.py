"""The console's middleware: authentication, forms, security headers, and the pages of errors.

A form is accepted only from a page of this console: the browser says where a request comes from, and the form brings a
token that only a page sent to this browser has. The target of a request is read from its scope: `request.url` is built
with the Host header, which a client can fill with a path of its choice.
"""

import asyncio
import secrets
from typing import NamedTuple
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.domain.errors import NotFound, UsageError, UserError
from worker.domain.hints import NO_HINT, Action, Hint, Step
from worker.store.redis_errors import StoreUnavailable
from worker.store.sessions import Sessions
from worker.web.auth import client_host, is_from_this_site
from worker.web.console.request import (
    FORM_TYPE,
    MAX_FORM_BYTES,
    SESSION,
    VISITOR,
    ConsoleRequest,
    Form,
    cookie_header,
    form_token,
    get_console_request,
    read_cookie,
)  # fmt: skip
from worker.web.console.templating import templates
from worker.web.requests import content_type_of

ANSWER_S, FORM_S = 60.0, 10.0
ASSETS, LOGIN = "/assets/", "/login"
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with a stricter one, Chromium sends `Origin: null` with the console's own forms
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
FOREIGN_FORM = (
    "This form was not sent by a page of this console. If a proxy is in front of the console, let it pass on the Host "
    "header."
)
OLD_FORM = "This page was open for too long. Go back, reload it, and try again."
SESSION_ENDED = "Your session has ended: log in again. Nothing was changed."


class Failure(NamedTuple):
    """The page of an error."""

    status: int
    title: str
    text: str
    fix: Hint = NO_HINT


TITLES = {
    400: "Request not understood",
    403: "Not allowed",
    405: "Method not allowed",
    408: "Timeout",
    413: "Form too large",
    415: "Not a form",
}


class ConsoleMiddleware:
    """ASGI middleware in front of all pages."""

    def __init__(self, pages: ASGIApp, paths: frozenset[str]) -> None:
        self._pages = pages
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request that is allowed, or answer why not; every answer gets the headers."""
        http, has_started = Request(scope, receive), False
        request = ConsoleRequest(http=http, app=http.state.context, access=http.state.access, client=client_host(http))
        http.state.console = request

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if visitor := getattr(http.state, "new_visitor", ""):
                    headers.append("set-cookie", cookie_header(http, VISITOR, visitor))
            await send(message)

        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._authenticate(request)
                await (answer or self._pages)(scope, receive, send_with_headers)
        except (HTTPException, StoreUnavailable, TimeoutError) as error:
            if has_started:
                raise
            await (await render_error(http, error))(scope, receive, send_with_headers)

    async def _authenticate(self, request: ConsoleRequest) -> Response | None:
        """Return where the browser has to go first, if anywhere; raises HTTPException when a request is not allowed."""
        http, path = request.http, request.http.scope["path"]
        if http.method not in ("GET", "HEAD", "POST"):
            raise HTTPException(405, f"Pages do not take {http.method}.")
        if path.startswith(ASSETS):
            return None
        if path.endswith("/") and (bare := path.rstrip("/")) in self._paths:
            return RedirectResponse(bare, 307)
        if reason := await request.access.denial_reason():
            raise HTTPException(403, reason)
        visitor, session = read_cookie(http, VISITOR), read_cookie(http, SESSION)
        is_link = http.method == "GET" and http.headers.get("sec-fetch-site") == "cross-site"
        if is_link and not (session or visitor):  # from another site, such as Slack: strict cookies come after a reload
            return HTMLResponse(templates().get_template("reload.html").render())
        caller = ""
        if session:
            name = request.access.session_name(session)
            if await Sessions(request.app.redis).is_open(name):
                caller, visitor = f"session {name[:8]} ({request.client})", session
        if not visitor:
            visitor = http.state.new_visitor = secrets.token_urlsafe(32)
        request.cookie, request.caller = visitor, caller
        if http.method == "POST":
            await _accept_form(request)
        if caller or path == LOGIN:
            return None
        if http.method == "POST":
            raise HTTPException(403, SESSION_ENDED)
        query = http.scope["query_string"].decode("latin-1")
        to = quote(path, safe="/") + (f"?{query}" if query else "")
        return RedirectResponse(LOGIN if to == "/" else f"{LOGIN}?to={quote(to, safe='/')}", 303)


async def _accept_form(request: ConsoleRequest) -> None:
    """Read the form; raises HTTPException unless a page that was sent to this browser has sent it."""
    http, body = request.http, b""
    if not is_from_this_site(http):
        raise HTTPException(403, FOREIGN_FORM)
    if content_type_of(http) != FORM_TYPE:
        raise HTTPException(415, f"Forms are sent as {FORM_TYPE}.")
    try:
        async with asyncio.timeout(FORM_S):
            async for chunk in http.stream():
                body += chunk
                if len(body) > MAX_FORM_BYTES:
                    raise HTTPException(413, f"A form can have up to {MAX_FORM_BYTES // 1024} KiB.")
        request.form = Form(body)
    except TimeoutError:
        raise HTTPException(408, f"The form did not arrive within {FORM_S:g} seconds: send it again.") from None
    except (ClientDisconnect, ValueError):
        raise HTTPException(400, "The form is damaged: go back and send it again.") from None
    if not secrets.compare_digest(request.form.text("form_token").encode(), form_token(request.cookie).encode()):
        is_logged_out = not request.caller and http.scope["path"] != LOGIN
        raise HTTPException(403, SESSION_ENDED if is_logged_out else OLD_FORM)


def failure_of(error: BaseException) -> Failure:
    """Return the page for an error."""
    match error:
        case NotFound() | HTTPException(status_code=404):
            return Failure(404, "Page not found", "It may have been removed, or the address is mistyped.")
        case HTTPException():
            return Failure(error.status_code, TITLES.get(error.status_code, "Request failed"), error.detail)
        case UsageError():
            return Failure(400, TITLES[400], error.text, error.fix)
        case UserError():
            return Failure(409, "Nothing was changed", error.text, error.fix)
        case TimeoutError():
            fix = Hint.of("Reload this page in a minute.")
            return Failure(503, "Timeout", "Redis or Slack may be slow at the moment.", fix)
        case StoreUnavailable():
            failure = error.failure
            fix = Hint.of(f"{failure.fix} Then reload this page. To find the cause, ", Step(Action.RUN_DOCTOR), ".")
            text = "Events that InfraKitchen has published stay in the stream until Redis works again."
            return Failure(503, failure.reason, text, fix)
        case _:
            fix = Hint.of("Go back and try again. If it happens again, please report it.")
            return Failure(500, "Internal error", "This is a bug. The log of the web process has its trace.", fix)


async def render_error(http: Request, error: Exception) -> Response:
    """Return the page of an error, also without Redis and before authentication."""
    if isinstance(error, HTTPException) and error.status_code == 405 and http.method == "GET":
        # The path of an action, after a reload of its answer or after a login: lead to the page that has its button.
        return RedirectResponse(quote(http.scope["path"].rpartition("/")[0]) or "/", 303)
    request, failure = get_console_request(http), failure_of(error)
    health = "failing" if http.scope["path"] == "/" else ""  # the overview says how everything is, or that it cannot
    return request.render("failure.html", failure.status, failure=failure, health=health)

"""The door before all pages of the console: limits, who is let in, where a form came from.

A form is taken from our own pages only: the browser says where a request comes from (`Sec-Fetch-Site`, else
`Origin`), and the form brings a token that only a page we gave to this very browser has.
Where a request goes is what its scope says: `request.url` is put together with the Host header, which may
hold a path of its own choice.
"""

import asyncio
import secrets
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.store.server import Unavailable
from worker.store.sessions import Sessions
from worker.web.pages.access import ConsoleAccess, form_token
from worker.web.pages.cookies import SESSION, VISITOR, cookie, cookie_header
from worker.web.pages.failure import Refused, failed
from worker.web.pages.form import MOST_BYTES, TYPE, Form
from worker.web.pages.look import templates
from worker.web.pages.visit import Visit

ANSWER_S, SEND_S = 60.0, 10.0
ASSETS, LOGIN = "/assets/", "/login"
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with less, Chromium says of our own forms that they come from nowhere
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
NOT_OURS = (
    "This did not come from a page of this console. "
    "If a proxy stands before it, let it pass the Host header on."
)
STALE = "This page was open for too long. Go back, load it anew, and try again."
ENDED = "Your session has ended: log in again. Nothing was changed."


class Door:
    """Stands before the pages; what it refuses, it answers itself."""

    def __init__(
        self, pages: ASGIApp, access: ConsoleAccess, sessions: Sessions, served: frozenset[str]
    ) -> None:
        self._pages = pages
        self._access = access
        self._sessions = sessions
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, or answer why not; every answer gets the headers."""
        request, has_begun = Request(scope, receive), False

        async def told(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if new := getattr(request.state, "new_visitor", ""):
                    headers.append("set-cookie", cookie_header(request, VISITOR, new))
            await send(message)

        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._enter(request)
                await (answer or self._pages)(scope, receive, told)
        except (Refused, Unavailable, TimeoutError) as error:
            if has_begun:
                raise
            await (await failed(request, error))(scope, receive, told)

    async def _enter(self, request: Request) -> Response | None:
        """Let in with its visit, or where to go first; Refused when nowhere."""
        if request.method not in ("GET", "HEAD", "POST"):
            raise Refused(405, f"{request.method} is not for pages.")
        path, client = request.scope["path"], request.client.host if request.client else ""
        if path.startswith(ASSETS):
            return None
        if path.endswith("/") and (bare := path.rstrip("/")) in self._served:
            return RedirectResponse(bare, 307)
        if why := self._access.why_not(client, request.headers):
            raise Refused(403, why)
        if _comes_without_cookies(request):
            return HTMLResponse(templates().get_template("again.html").render())
        visit = await self._visit(request, client)
        if request.method == "POST":
            await _take_form(request, visit)
        request.state.visit = visit
        return None if visit.who or path == LOGIN else _to_login(request)

    async def _visit(self, request: Request, client: str) -> Visit:
        """Who comes: whom the audit names is empty while nobody has logged in."""
        session = cookie(request, SESSION)
        asks, who, known = self._access.asks_password, f"this machine ({client})", ""
        if asks:
            name = self._access.session_name(session)
            is_open = bool(session) and await self._sessions.is_open(name)
            who, known = (f"session {name[:8]} ({client})", session) if is_open else ("", "")
        known = known or cookie(request, VISITOR)
        if not known:
            known = request.state.new_visitor = secrets.token_urlsafe(32)
        return Visit(request, client, known, who, asks, self._served)


def _comes_without_cookies(request: Request) -> bool:
    """A link from elsewhere, as in Slack: strict cookies do not go with it, so it is followed anew."""
    is_link = request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site"
    return is_link and not (cookie(request, SESSION) or cookie(request, VISITOR))


async def _take_form(request: Request, visit: Visit) -> None:
    """The form that was sent; Refused when it is not from a page we gave to this browser."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    here = (origin or "").partition("://")[2] == request.headers.get("host")
    if not (site in ("same-origin", "none") if site else origin is None or here):
        raise Refused(403, NOT_OURS)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != TYPE:
        raise Refused(415, f"Forms are sent as {TYPE}.")
    try:
        async with asyncio.timeout(SEND_S):
            visit.form = Form.read(await _body(request))
    except TimeoutError:
        raise Refused(408, f"The form did not arrive within {SEND_S:g} seconds: send it again.") from None
    except (ClientDisconnect, ValueError):
        raise Refused(400, "The form is damaged: go back and send it again.") from None
    brought = visit.form.text("form_token")
    if not secrets.compare_digest(brought.encode(), form_token(visit.cookie).encode()):
        is_over = visit.asks_password and not visit.who and request.scope["path"] != LOGIN
        raise Refused(403, ENDED if is_over else STALE)


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise Refused(413, f"A form may have {MOST_BYTES // 1024} KiB.")
    return body


def _to_login(request: Request) -> Response:
    """The form to log in, and after it back here."""
    if request.method == "POST":
        raise Refused(403, ENDED)
    query = request.scope["query_string"].decode("latin-1")
    to = quote(request.scope["path"], safe="/") + (f"?{query}" if query else "")
    return RedirectResponse(LOGIN if to == "/" else f"{LOGIN}?to={quote(to, safe='/')}", 303)

"""Login: a session for the password or the start-up key. Repeated wrong ones have growing waits."""

import logging
import math
import secrets

from fastapi import Response

from worker.domain.mrkdwn import duration
from worker.store.sessions import PASSWORD_LIMIT, TOKEN_LIMIT, LoginThrottle, Sessions
from worker.telemetry import log_event
from worker.web.auth import audited_router, throttle_key
from worker.web.console.request import (
    SESSION,
    TLS_PREFIX,
    ConsoleRequest,
    ConsoleRequestDep,
    Notice,
    cookie_header,
    read_cookie,
)

log = logging.getLogger("worker.web")
router = audited_router()


@router.get("/login")
async def show_login(request: ConsoleRequestDep) -> Response:
    """Ask for the password, unless the browser has a session or comes with the start-up key."""
    to, key = _local_address(request.query("to")), request.query("key")
    if key:  # a redirect takes it out of the address bar and the history
        has_password = request.access.has_password
        answer = request.redirect("/login") if has_password else await _log_in_by_key(request, key, to)
        answer.headers["referrer-policy"] = "no-referrer"
        return answer
    return request.redirect(to) if request.caller else _show_form(request, 200, to)


@router.post("/login")
async def log_in(request: ConsoleRequestDep) -> Response:
    """Open a session for the password, and lead to the page that was asked for."""
    access, throttle = request.access, LoginThrottle(request.app.redis)
    to, password = _local_address(request.form.text("to")), request.form.secret("password")
    if not access.has_password:
        return await _log_in_by_key(request, password.reveal() if password else "", to)
    address = throttle_key(request.client)
    if wait_s := math.ceil(await throttle.book_attempt(address, PASSWORD_LIMIT)):
        return _ask_to_wait(request, wait_s, to, "passwords")
    if password is None or not await access.is_password(password.reveal()):
        log_event(log, logging.WARNING, "password rejected", client=request.client)
        return _show_form(request, 403, to, "Wrong password.")
    await throttle.record_success(address, PASSWORD_LIMIT)
    return await _open_session(request, to)


async def _log_in_by_key(request: ConsoleRequest, key: str, to: str) -> Response:
    """Open a session for the start-up key, which is too long to be guessed: only wrong ones have to wait."""
    if request.access.is_startup_key(key):
        return await _open_session(request, to)
    throttle = LoginThrottle(request.app.redis)
    if wait_s := math.ceil(await throttle.book_attempt(throttle_key(request.client), TOKEN_LIMIT)):
        return _ask_to_wait(request, wait_s, to, "keys")
    log_event(log, logging.WARNING, "start-up key rejected", client=request.client)
    return _show_form(request, 403, to, "Wrong start-up key.")


async def _open_session(request: ConsoleRequest, to: str) -> Response:
    token = secrets.token_urlsafe(32)
    name = request.access.session_name(token)
    await Sessions(request.app.redis).open(name)
    request.caller = f"session {name[:8]} ({request.client})"
    request.audit("logged in", "console")
    answer = request.redirect(to)
    answer.headers.append("set-cookie", cookie_header(request.http, SESSION, token))
    return answer


@router.post("/logout")
async def log_out(request: ConsoleRequestDep) -> Response:
    """Close the session."""
    request.audit("logged out", "console")
    await Sessions(request.app.redis).close(request.access.session_name(read_cookie(request.http, SESSION)))
    answer = request.redirect("/login")
    for prefix in ("", TLS_PREFIX):
        answer.delete_cookie(f"{prefix}{SESSION}", secure=bool(prefix), httponly=True, samesite="strict")
    return answer


def _ask_to_wait(request: ConsoleRequest, wait_s: int, to: str, what: str) -> Response:
    answer = _show_form(request, 429, to, f"Too many wrong {what}: wait {duration(wait_s)}, then try again.")
    answer.headers["retry-after"] = str(wait_s)
    return answer


def _show_form(request: ConsoleRequest, status: int, to: str, text: str = "") -> Response:
    notices = [Notice("failed", text)] if text else []
    return request.render("login.html", status, to=to, has_password=request.access.has_password, notices=notices)


def _local_address(to: str) -> str:
    """Return an address of the console, whatever was asked for: `//` and `/\\` would lead to another host."""
    is_local = to.startswith("/") and not to.startswith("//") and "\\" not in to and to.isprintable()
    return to if is_local and not to.startswith("/log") else "/"

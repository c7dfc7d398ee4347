"""Login: a password for a session. Who tries often waits longer each time, and never for good."""

import logging
import math
import secrets

from fastapi import APIRouter, Response

from worker.domain.markup import duration
from worker.store.sessions import Sessions
from worker.telemetry import say
from worker.web.nearness import counted_address
from worker.web.pages.access import ConsoleAccess
from worker.web.pages.cookies import SESSION, cookie, cookie_header, forgetting_headers
from worker.web.pages.visit import Said, Visit, Visiting

log = logging.getLogger("worker.web")


def login(access: ConsoleAccess, sessions: Sessions) -> APIRouter:
    """`/login` and `/logout`."""
    router = APIRouter()

    @router.get("/login")
    async def ask(visit: Visiting) -> Response:
        to = _inside(visit.request.query_params.get("to", "/"))
        return visit.go(to) if visit.who else visit.page("login.html", to=to)

    @router.post("/login")
    async def try_password(visit: Visiting) -> Response:
        to, password = _inside(visit.form.text("to")), visit.form.secret("password")
        if not access.asks_password:
            return visit.go(to)
        address = counted_address(visit.client)
        if wait_s := math.ceil(await sessions.may_try(address)):
            return _too_many(visit, to, wait_s)
        if password is None or not await access.is_password(password.reveal()):
            say(log, logging.WARNING, "a wrong password for the console", client=visit.client)
            return visit.page("login.html", 403, to=to, said=[Said("failed", "That is not the password.")])
        await sessions.was_right(address)
        token = secrets.token_urlsafe(32)
        name = access.session_name(token)
        await sessions.open(name)
        visit.who = f"session {name[:8]} ({visit.client})"
        visit.audit("logged in", "console")
        answer = visit.go(to)
        answer.headers.append("set-cookie", cookie_header(visit.request, SESSION, token))
        return answer

    @router.post("/logout")
    async def log_out(visit: Visiting) -> Response:
        await sessions.close(access.session_name(cookie(visit.request, SESSION)))
        visit.audit("logged out", "console")
        answer = visit.go("/login")
        for header in forgetting_headers(SESSION):
            answer.headers.append("set-cookie", header)
        return answer

    return router


def _too_many(visit: Visit, to: str, wait_s: int) -> Response:
    text = f"Too many tries: wait {duration(wait_s)}, then try again."
    answer = visit.page("login.html", 429, to=to, said=[Said("failed", text)])
    answer.headers["retry-after"] = str(wait_s)
    return answer


def _inside(to: str) -> str:
    """An address of ours, whatever was asked for: `//` and `/\\` would lead to another host."""
    is_ours = to.startswith("/") and not to.startswith("//") and "\\" not in to and to.isprintable()
    return to if is_ours and not to.startswith("/log") else "/"

"""Limits: no request may bring more than its path takes, or keep the process longer than its time."""

import asyncio
import json
import logging
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.telemetry import say

log = logging.getLogger("worker.web")

MIB = 1024 * 1024
BODY_BYTES = MIB
LARGER: Mapping[str, int] = {"/api/v1/events": 8 * MIB, "/api/v1/preview": 8 * MIB, "/webhooks/": 8 * MIB}
"""Paths, or what they begin with, that take more."""
REQUEST_S = 30.0
OURS = ("/api/", "/webhooks/")
"""Where this counts; the console's pages have a door of their own."""


class Limits:
    """ASGI middleware around the whole application.

    A body that is too large ends in a 413 that is raised where it is read: so it is said in the form the path
    answers in, and only to those who may come so far.
    """

    def __init__(self, app: ASGIApp, *, request_s: float = REQUEST_S) -> None:
        self._app = app
        self._request_s = request_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or not scope["path"].startswith(OURS):
            await self._app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self._request_s) as limit:
                await self._app(scope, _counted(scope, receive), sending)
        except TimeoutError:
            if not limit.expired() or started:
                raise
            say(log, logging.ERROR, "request took too long", path=scope["path"], seconds=self._request_s)
            await _too_late(send, self._request_s)


def _counted(scope: Scope, receive: Receive) -> Receive:
    """What is received, as long as it is within what the path takes."""
    path = scope["path"]
    most = next((size for prefix, size in LARGER.items() if path.startswith(prefix)), BODY_BYTES)
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    seen = 0

    async def counting() -> Message:
        nonlocal seen
        if announced.isdigit() and int(announced) > most:
            raise _too_large(most)
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise _too_large(most)
        return message

    return counting


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"The body is larger than {most // MIB} MiB: send it in several requests.")


async def _too_late(send: Send, seconds: float) -> None:
    said = {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": f"There was no answer within {seconds:g} s: try again in a moment.",
    }
    headers = [(b"content-type", b"application/problem+json"), (b"retry-after", b"5")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})

"""Limits of requests: the size of a body, the time for an answer, and the time a connection can be idle."""

import asyncio
import logging
from asyncio import TimerHandle, Transport
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.telemetry import log_event
from worker.web.requests import problem

log = logging.getLogger("worker.web")

MIB = 1024 * 1024
MAX_BODY_BYTES = MIB
#: Paths, or beginnings of paths, that take larger bodies.
LARGER_BODIES: Mapping[str, int] = {"/api/v1/events": 8 * MIB, "/api/v1/preview": 8 * MIB, "/webhooks/": 8 * MIB}
REQUEST_S = 30.0
LIMITED_PATHS = ("/api/", "/webhooks/")  #: The console has limits of its own.
IDLE_CHECK_S = 10.0
MAX_CONNECTIONS = 256  #: More are answered with 503: a request costs memory.
ROOM = 32  #: Connections that are kept free for clients that send a request at once.


class RequestLimits:
    """ASGI middleware that limits the body and the time of a request.

    A body that is too large raises HTTPException 413 where it is read: after authentication, and answered in the form
    of the path.
    """

    def __init__(self, app: ASGIApp, *, request_s: float = REQUEST_S) -> None:
        self._app = app
        self._request_s = request_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or not scope["path"].startswith(LIMITED_PATHS):
            await self._app(scope, receive, send)
            return
        has_started = False

        async def send_counted(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            async with asyncio.timeout(self._request_s) as limit:
                await self._app(scope, _limited_receive(scope, receive), send_counted)
        except TimeoutError:
            if not limit.expired() or has_started:
                raise
            log_event(log, logging.ERROR, "request timed out", path=scope["path"], seconds=self._request_s)
            detail = f"There was no answer within {self._request_s:g} s: try again in a moment."
            await problem(503, detail, headers={"retry-after": "5"})(scope, receive, send)


def _limited_receive(scope: Scope, receive: Receive) -> Receive:
    """Return `receive` with the size limit of the path."""
    path, received = scope["path"], 0
    limit = next((size for prefix, size in LARGER_BODIES.items() if path.startswith(prefix)), MAX_BODY_BYTES)
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    too_large = HTTPException(413, f"The body is larger than {limit // MIB} MiB: send it in several requests.")

    async def receive_limited() -> Message:
        nonlocal received
        if length.isdigit() and int(length) > limit:
            raise too_large
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise too_large
        return message

    return receive_limited


class LimitedConnection(H11Protocol):
    """An HTTP connection that is closed when it waited for its client for a whole interval.

    It may wait for a request, for the rest of one, or for the client to take some of an answer. When connections are
    scarce, the oldest one that waits is closed: of the address that has the most of them, so that one client with many
    connections keeps no other out.
    """

    _next_check: TimerHandle
    _unsent = 0  #: Bytes of answers that the client had not taken at the last check.
    opened_s: float

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to check the connection."""
        super().connection_made(transport)
        self.opened_s = self.loop.time()
        if len(self.connections) > MAX_CONNECTIONS - ROOM:
            self._close_waiting()
        self._check_later(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the checks."""
        self._next_check.cancel()
        super().connection_lost(exc)

    @property
    def waits_for_client(self) -> bool:
        """Return whether the head or the body of a request has yet to come, or an answer has to be taken."""
        if self.transport.get_write_buffer_size() > 0:
            return True
        is_waiting = self.cycle is None or self.cycle.response_complete or self.cycle.more_body
        return is_waiting and not self.transport.is_closing()

    def _close_waiting(self) -> None:
        by_address: dict[str, list[LimitedConnection]] = {}
        for connection in self.connections - {self}:
            if isinstance(connection, LimitedConnection) and connection.waits_for_client:
                by_address.setdefault(connection.client[0] if connection.client else "", []).append(connection)
        if by_address:
            most = max(by_address.values(), key=len)
            min(most, key=lambda connection: connection.opened_s).transport.abort()

    def _check_later(self, idle_since: object) -> None:
        self._next_check = self.loop.call_later(IDLE_CHECK_S, self._check, idle_since)

    def _check(self, idle_since: object) -> None:
        unsent, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        # The request answered last, or the connection before the first; None while a request is answered.
        now = (self.cycle if self.cycle.response_complete else None) if self.cycle else self
        if self._unsent and self._unsent == unsent:
            self.transport.abort()  # `close` would wait for the client
        elif now is not None and now is idle_since and not self._unsent:
            self.transport.close()
        else:
            self._check_later(now)

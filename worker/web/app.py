"""The web application, and the server it runs on."""

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import uvicorn
from fastapi import FastAPI

import worker.bootstrap.late  # noqa: F401
from worker.bootstrap import Services, Stopping
from worker.domain.errors import Problem
from worker.store.api_tokens import ApiTokens
from worker.telemetry import say
from worker.web.access import Access
from worker.web.api.v1 import api
from worker.web.connection import Connection
from worker.web.document import Documented
from worker.web.health import health
from worker.web.limits import Limits
from worker.web.metrics import Reading, metrics
from worker.web.pages.console import console
from worker.web.problems import answered_as_problems
from worker.web.webhooks import read_labelled, webhooks

log = logging.getLogger("worker.web")

AT_ONCE = 256  # more are answered 503: a request costs memory
STOP_S = 5


def make_app(made: Services) -> FastAPI:
    """Every path; the OpenAPI document of those that are no pages is at `/api/openapi.json`."""
    app = Documented(
        title="infrakitchen-slack",
        version=version("infrakitchen-slack"),
        openapi_url="/api/openapi.json",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # see answered_as_problems
    )
    app.add_middleware(Limits)
    access = Access(made.settings, ApiTokens(made.server))
    answered_as_problems(app, app.allowed)
    app.include_router(api(made, access))
    app.include_router(webhooks(made, read_labelled(made.settings.alert_labels), access))
    app.include_router(health(made.upkeep, made.stream))
    reading = Reading(made.server, made.metrics, made.dead_letters, made.stream, made.upkeep)
    app.include_router(metrics(reading))
    app.router.routes.append(console(made))  # last: every path that is nobody else's
    return app


def listen(host: str, port: int) -> socket.socket:
    """Where requests will arrive; Problem when that address cannot be had."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address, family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Problem(f"Port {port} of {host} is in use: set WEB_PORT to another.") from None
        reason = error.strerror or str(error)
        raise Problem(
            f"{host} port {port} cannot be served ({reason}): correct WEB_HOST or WEB_PORT."
        ) from None
    # What is accepted inherits it; asyncio sets it only for sockets it makes itself. Without it the end of an
    # answer waits for the other side's acknowledgement, which many delay by 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def serve(app: FastAPI, listening: socket.socket, stopping: Stopping) -> None:
    """Answer requests until it is to stop; those under way are finished."""
    server = _Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off",
            http=Connection, ws="none", limit_concurrency=AT_ONCE, timeout_graceful_shutdown=STOP_S,
        )
    )  # fmt: skip
    host, port, *_ = listening.getsockname()
    say(log, logging.INFO, "web listens", host=host, port=port)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    asked = asyncio.create_task(stopping.wait())
    await asyncio.wait((serving, asked), return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    asked.cancel()
    await serving


class _Server(uvicorn.Server):
    """Ends when told; signals are our own business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

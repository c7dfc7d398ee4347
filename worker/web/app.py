"""The web application, and the server it runs on."""

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import uvicorn
from fastapi import Depends
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

import worker.slack.client  # noqa: F401  # loaded before the first post, not during it
from worker import __version__
from worker.bootstrap.context import AppContext, ShutdownSignal
from worker.domain.errors import UserError
from worker.services.publishing import load_label_mapping
from worker.store.api_tokens import ApiTokens
from worker.telemetry import log_event
from worker.web.api import api_router
from worker.web.auth import ApiAuth, authenticate_document
from worker.web.console import console
from worker.web.console.request import ConsoleAccess
from worker.web.observability import MetricsReader, monitoring_router
from worker.web.request_limits import MAX_CONNECTIONS, LimitedConnection, RequestLimits
from worker.web.requests import ApiApp
from worker.web.webhooks import webhooks_router

log = logging.getLogger("worker.web")

STOP_S = 5


@cache
def routes() -> ApiApp:
    """Return the application with every path; `/api/openapi.json` documents all but the console's pages.

    It belongs to no installation: `make_app` puts what its endpoints need into the state of each request.
    """
    application = ApiApp(
        title="infrakitchen-slack",
        version=__version__,
        openapi_url=None,  # a route of its own, with authentication
        docs_url=None,  # these pages load scripts from other sites
        redoc_url=None,
        redirect_slashes=False,  # ApiApp redirects, by path alone
    )
    application.add_middleware(RequestLimits)
    application.include_router(api_router())
    application.include_router(webhooks_router())
    application.include_router(monitoring_router())

    @application.get("/api/openapi.json", include_in_schema=False, dependencies=[Depends(authenticate_document)])
    async def show_document() -> JSONResponse:
        return JSONResponse(application.openapi())

    application.router.routes.append(console())  # last: it takes every other path
    return application


def make_app(app: AppContext, startup_key: str = "") -> ASGIApp:
    """Return the web application of an installation.

    The start-up key is the credential of an installation that has no other in its settings.
    """
    settings, application = app.settings, routes()
    state = {
        "context": app,
        "auth": ApiAuth(settings, startup_key, app.redis),
        "access": ConsoleAccess(settings.admin_password, startup_key, ApiTokens(app.redis), salt=settings.key_prefix),
        "alert_labels": load_label_mapping(settings.alert_labels),
        "metrics": MetricsReader(app),
    }

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = scope.get("state", {}) | state
        await application(scope, receive, send)

    return answer


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises UserError when the address cannot be used."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address, family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"Port {port} of {host} is in use: set WEB_PORT to another.") from None
        reason = error.strerror or str(error)
        raise UserError(f"{host} port {port} cannot be used ({reason}): correct WEB_HOST or WEB_PORT.") from None
    # Accepted connections inherit it; asyncio sets it only on sockets that it creates. Without it the end of an
    # answer waits for the client's acknowledgement, which many delay by 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def make_server(application: ASGIApp) -> uvicorn.Server:
    """Return the server of an application; `serve` runs it."""
    return _Server(
        uvicorn.Config(
            application, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off",
            http=LimitedConnection, ws="none", limit_concurrency=MAX_CONNECTIONS, timeout_graceful_shutdown=STOP_S,
        )
    )  # fmt: skip


async def serve(application: ASGIApp, listening: socket.socket, shutdown: ShutdownSignal) -> None:
    """Answer requests until shutdown; requests under way are finished."""
    server = make_server(application)
    host, port, *_ = listening.getsockname()
    log_event(log, logging.INFO, "web server listening", host=host, port=port)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(shutdown.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving


class _Server(uvicorn.Server):
    """A server that leaves signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

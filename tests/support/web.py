"""The web application and the console, served on a real port; a small browser; a sandbox Slack behind them."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from json import dumps, loads
from socket import socket
from typing import Any

from aiohttp import ClientSession, CookieJar
from fakeredis import FakeAsyncRedis, FakeServer
from starlette.types import ASGIApp
from yarl import URL

from config.settings import Settings
from support.events import failed_workflow
from support.pipeline import drain_all, ingest_stream
from worker.bootstrap.context import AppContext, open_context
from worker.domain.integration import Secret
from worker.local_machine import make_token
from worker.pipeline.integration_setup import add_integration
from worker.sandbox.slack.server import SlackSandbox
from worker.sandbox.slack.workspace import Workspace
from worker.services.subscription_schema import parse_spec
from worker.services.subscriptions import add_subscription
from worker.store.token_cipher import generate_key
from worker.web.app import listen, make_app, make_server
from worker.web.console.request import form_token


@dataclass
class Web:
    """A served web application, and the stores behind it."""

    app: AppContext
    redis: FakeServer
    client: ClientSession

    async def get(self, path: str) -> tuple[int, str]:
        """Return the status and the body of a page."""
        async with self.client.get(path) as answer:
            return answer.status, await answer.text()

    async def json(self, path: str) -> tuple[int, Any]:
        async with self.client.get(path) as answer:
            return answer.status, await answer.json()

    async def ask(self, method: str, path: str, body: object = None, **more: Any) -> "Answer":
        """Send a request; a body that is not text or bytes is sent as JSON."""
        if body is not None and not isinstance(body, str | bytes):
            body, more["headers"] = (
                dumps(body),
                {"content-type": "application/json"} | more.get("headers", {}),
            )
        async with self.client.request(method, path, data=body, **more) as answer:
            text = await answer.text()
            is_json = "json" in answer.headers.get("content-type", "")
            return Answer(answer.status, loads(text) if is_json else text, dict(answer.headers))

    async def entries(self) -> list[dict[str, Any]]:
        """Return the events in the stream."""
        entries = await self.app.redis.command("XRANGE", self.app.stream.stream, "-", "+")
        return [loads(fields[b"event"] if isinstance(fields, dict) else fields[1]) for _, fields in entries]


@dataclass
class Answer:
    """A response."""

    status: int
    body: Any
    headers: dict[str, str]


STARTUP_KEY = make_token()


@asynccontextmanager
async def serving(application: ASGIApp, listening: socket) -> AsyncIterator[None]:
    """Serve an application. At the end its connections are cut: a graceful stop waits 0.2 s, and has its own test."""
    server = make_server(application)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listening])
    await server.on_tick(0)
    try:
        yield
    finally:
        for acceptor in server.servers:
            acceptor.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        for request in list(server.server_state.tasks):
            request.cancel()
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the connections are closed in the next step of the event loop


@asynccontextmanager
async def serve_web(**overrides: object) -> AsyncIterator[Web]:
    """Serve the web application with these settings; without a credential the client sends the start-up key."""
    redis = FakeServer()
    client = FakeAsyncRedis(server=redis, protocol=2)
    settings = Settings.load(redis_url="redis://nowhere:1/0", **overrides)
    async with open_context(settings, redis=client) as app:
        startup_key = "" if settings.api_token or settings.admin_password else STARTUP_KEY
        with listen("127.0.0.1", 0) as listening:
            base = f"http://127.0.0.1:{listening.getsockname()[1]}"
            headers = {"authorization": f"Bearer {startup_key}"} if startup_key else {}
            async with (
                serving(make_app(app, startup_key), listening),
                ClientSession(base, headers=headers) as session,
            ):
                yield Web(app, redis, session)
        redis.connected = True


PASSWORD = "a correct horse"
FORM_TYPE = "application/x-www-form-urlencoded"


@dataclass
class Page:
    """A page after redirects."""

    status: int
    path: str
    html: str
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The visible text."""
        bare = re.sub(r"<(script|style|title).*?</\1>|<[^>]+>", " ", self.html, flags=re.DOTALL)
        return re.sub(r"\s+", " ", unescape(bare)).strip()

    @property
    def form_token(self) -> str:
        match = re.search(r'name="form_token" value="(\w*)"', self.html)
        return match[1] if match else ""


class Browser:
    """A small browser: it keeps cookies, sends forms with their token, and sends where they come from.

    `page` is the open page.
    """

    def __init__(self, web: Web) -> None:
        self.web = web
        self.base = f"{web.client._base_url}".rstrip("/")
        self.client = ClientSession(self.base, cookie_jar=CookieJar(unsafe=True))
        self.page = Page(0, "", "", {})

    async def open(self, path: str | URL, *, follow: bool = True, **headers: str) -> Page:
        """Open a page."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.get(path, headers=sent, allow_redirects=follow) as answer:
            self.page = Page(answer.status, answer.url.path_qs, await answer.text(), answer.headers)
        return self.page

    async def send(
        self, path: str, fields: Mapping[str, object] | None = None, *, follow: bool = True, **headers: str
    ) -> Page:
        """Send a form of the open page."""
        written = {"form_token": self.page.form_token, **(fields or {})}
        sent = {"Sec-Fetch-Site": "same-origin"} | {n.replace("_", "-"): v for n, v in headers.items()}
        async with self.client.post(path, data=written, headers=sent, allow_redirects=follow) as answer:
            self.page = Page(answer.status, answer.url.path_qs, await answer.text(), answer.headers)
        return self.page

    async def post(self, body: bytes, kind: str) -> int:
        """Send any body to the login page and return the status."""
        async with self.client.post("/login", data=body, headers={"Content-Type": kind}) as answer:
            return answer.status

    async def log_in(self, password: str = PASSWORD) -> Page:
        await self.open("/login")
        return await self.send("/login", {"password": password, "to": "/"})

    async def log_in_by_key(self) -> Page:
        """Open the link that `ik-slack web` prints."""
        return await self.open(f"/login?key={STARTUP_KEY}")

    def plant(self, session: str) -> None:
        """Replace all cookies by the cookie of a session."""
        self.client.cookie_jar.clear()
        self.client.cookie_jar.update_cookies({"ik_slack": session}, URL(self.base))

    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self.client.cookie_jar}


@asynccontextmanager
async def open_browser(**overrides: object) -> AsyncIterator[Browser]:
    """Serve a console with a password, and yield a browser that has not logged in; without one it has."""
    settings = {"admin_password": PASSWORD} | overrides
    async with serve_web(**settings) as web:
        browser = Browser(web)
        async with browser.client:
            if not settings["admin_password"] and not settings.get("api_token"):
                await browser.log_in_by_key()
            yield browser


HOSTILE_EVENT = b'{"specversion": "<script>'


@dataclass
class Console:
    """A served console with its browser, and a sandbox Slack."""

    browser: Browser
    sandbox: SlackSandbox
    acme: Workspace

    @property
    def app(self) -> AppContext:
        return self.browser.web.app

    async def connect(self, name: str = "acme") -> None:
        await add_integration(self.app.integrations, self.app.gateway, name, Secret(self.acme.token))

    async def subscribe(self, to: str = "#ops", **more: object) -> str:
        """Add a subscription and return its id."""
        rule, _, _ = await add_subscription(self.app, parse_spec({"destination": to, **more}), "acme")
        return rule.id

    async def publish(self, *events: str | bytes) -> list[str]:
        """Publish and ingest events; return the entries' ids."""
        await self.app.stream.create_group()
        ids = await self.app.stream.publish([event.encode() if isinstance(event, str) else event for event in events])
        await ingest_stream(self.app)
        return ids

    async def drain_lanes(self) -> None:
        """Drain every lane that has pending deliveries."""
        await drain_all(self.app)

    async def deliver(self, *events: str | bytes) -> None:
        """Publish, ingest and deliver events."""
        await self.publish(*events)
        await self.drain_lanes()

    async def create_dead_letters(self, *ids: str) -> list[str]:
        """Create a dead letter per event id; return the deliveries' ids."""
        for id_ in ids:
            self.sandbox.fault("invalid_blocks", times=2)
            await self.deliver(failed_workflow(id_))
        return await self.app.dead_letters.list_ids(limit=len(ids))

    async def open(self, path: str) -> Page:
        return await self.browser.open(path)

    async def send(self, path: str, **fields: Any) -> Page:
        """Send a form with this browser's token, whatever page is open."""
        cookies = self.browser.cookies()
        token = form_token(cookies.get("ik_slack") or cookies["ik_slack_visitor"])
        return await self.browser.send(path, {"form_token": token} | fields)


@asynccontextmanager
async def open_console(**overrides: object) -> AsyncIterator[Console]:
    """Serve a console, and a workspace with #ops, where the bot is a member, and #lobby, where it is not."""
    sandbox = SlackSandbox(rate_per_channel=0)
    acme = sandbox.add_workspace("Acme")
    acme.add_channel("ops")
    acme.add_channel("lobby", member=False)
    async with sandbox.serving(port=0) as url:
        settings = {"admin_password": None, "slack_api_url": url, "encryption_key": generate_key()}
        settings |= {"post_rate_per_channel": 1000, "post_burst_per_channel": 100}
        async with open_browser(**(settings | overrides)) as browser:
            yield Console(browser, sandbox, acme)

"""The web application on a real port, on a small Redis that a test can take away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from json import dumps, loads
from typing import Any

from aiohttp import ClientSession
from fakeredis import FakeAsyncRedis, FakeServer

from config.settings import Settings
from worker.bootstrap import Services, Stopping, services
from worker.web.app import listen, make_app, serve


@dataclass
class Web:
    """What is served, and the stores behind it."""

    made: Services
    redis: FakeServer
    client: ClientSession
    stopping: Stopping
    serving: "asyncio.Task[None]"

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        async with self.client.get(path) as answer:
            return answer.status, await answer.text()

    async def json(self, path: str) -> tuple[int, Any]:
        async with self.client.get(path) as answer:
            return answer.status, await answer.json()

    async def ask(self, method: str, path: str, body: object = None, **more: Any) -> "Answer":
        """Any request; a body that is no text or bytes goes out as JSON."""
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
        """The events in the stream."""
        found = await self.made.server.command("XRANGE", self.made.stream.stream, "-", "+")
        return [loads(fields[b"event"] if isinstance(fields, dict) else fields[1]) for _, fields in found]


@dataclass
class Answer:
    """What came back; header names as they came."""

    status: int
    body: Any
    headers: dict[str, str]


@asynccontextmanager
async def served(**given: object) -> AsyncIterator[Web]:
    """Until the test is over, with these settings."""
    redis, stopping = FakeServer(), Stopping()
    client = FakeAsyncRedis(server=redis, protocol=2)
    settings = Settings.load(redis_url="redis://nowhere:1/0", **given)
    with listen("127.0.0.1", 0) as listening:
        async with services(settings, redis=client, stopping=stopping) as made:
            serving = asyncio.create_task(serve(make_app(made), listening, stopping))
            base = f"http://127.0.0.1:{listening.getsockname()[1]}"
            async with ClientSession(base) as session:
                yield Web(made, redis, session, stopping, serving)
            redis.connected = True
            stopping.set()
            await serving

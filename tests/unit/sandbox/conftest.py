"""A served sandbox with one workspace and a manual clock."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from worker.sandbox.slack.server import SlackSandbox
from worker.sandbox.slack.workspace import Workspace


@dataclass
class ManualClock:
    """A manual clock."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Client:
    """Calls the sandbox as a Slack client does."""

    sandbox: SlackSandbox
    workspace: Workspace
    clock: ManualClock
    session: aiohttp.ClientSession
    url: str = ""
    responses: list[aiohttp.ClientResponse] = field(default_factory=list)

    async def __call__(self, method: str, *, token: str | None = None, **args: Any) -> dict[str, Any]:
        """Call a method and return its answer."""
        headers = {"Authorization": f"Bearer {self.workspace.token if token is None else token}"}
        form = method.startswith(("conversations", "users", "chat.get"))  # reads take no JSON
        sent = {"data": args} if form else {"json": args}
        async with self.session.post(f"{self.url}{method}", headers=headers, **sent) as response:
            self.responses.append(response)
            return await response.json()

    async def post(self, channel: str = "#ops", text: str = "hello", **args: Any) -> dict[str, Any]:
        """Post a message."""
        return await self("chat.postMessage", channel=channel, text=text, **args)


@pytest.fixture
async def slack() -> AsyncIterator[Client]:
    clock = ManualClock()
    sandbox = SlackSandbox(monotonic=clock)
    workspace = sandbox.add_workspace("Acme")
    workspace.add_channel("ops")
    async with sandbox.serving() as url, aiohttp.ClientSession() as session:
        yield Client(sandbox, workspace, clock, session, url)

"""A console with a workspace behind it; events are really published, read and told, in this process."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from browser import Browser, Page, browsing

from worker.asking.rules import read_rule
from worker.asking.subscribing import added
from worker.bootstrap import Services
from worker.domain.integration import Secret
from worker.pipeline.connect import add_integration
from worker.pipeline.drain import drain
from worker.sandbox.slack import SlackSandbox
from worker.sandbox.state import Workspace
from worker.store.ledger import take_census
from worker.store.vault import generate_key
from worker.web.pages.access import form_token

BROKEN = b'{"specversion": "<script>'


def event(id_: str = "deploy-1", source: str = "/ik", **data: object) -> bytes:
    """A failed workflow."""
    about = {"workflow_id": id_, "name": f"run {id_}", "status": "error", "project": "shop", **data}
    type_ = "io.infrakitchen.workflow.failed"
    return json.dumps(
        {"specversion": "1.0", "id": id_, "source": source, "type": type_, "data": about}
    ).encode()


@dataclass
class House:
    """What is served, who looks at it, and what happens meanwhile."""

    browser: Browser
    sandbox: SlackSandbox
    acme: Workspace

    @property
    def made(self) -> Services:
        return self.browser.web.made

    async def connect(self, name: str = "acme") -> None:
        await add_integration(self.made.integrations, self.made.gateway, name, Secret(self.acme.token))

    async def subscribe(self, to: str = "#ops", **more: object) -> str:
        """The id."""
        rule, _, _ = await added(self.made, read_rule({"destination": to, **more}), "acme")
        return rule.id

    async def publish(self, *raw: bytes) -> list[str]:
        """Into the stream, and read: their entries' ids."""
        await self.made.stream.join()
        ids = await self.made.stream.publish(raw)
        while entries := await self.made.stream.read(most=500, wait_ms=1):
            await self.made.ingest.accept(entries)
        return ids

    async def tell(self) -> None:
        """One drain of every lane that has something to say."""
        _, lanes = await take_census(self.made.server)
        tools = replace(self.made.drain, budget_s=5.0)
        await asyncio.gather(*(drain(one.lane, tools) for one in lanes))

    async def told(self, *raw: bytes) -> None:
        await self.publish(*raw)
        await self.tell()

    async def die(self, *ids: str) -> list[str]:
        """Dead letters of events that Slack refused, each alone: their deliveries' ids."""
        for id_ in ids:
            self.sandbox.fault("invalid_blocks", times=2)
            await self.told(event(id_))
        return await self.made.dead_letters.ids(most=len(ids))

    async def open(self, path: str) -> Page:
        return await self.browser.open(path)

    async def send(self, path: str, **fields: Any) -> Page:
        """A form with this browser's token, whatever page is open."""
        token = form_token(self.browser.cookies()["ik_slack_visitor"])
        return await self.browser.send(path, {"form_token": token} | fields)


@asynccontextmanager
async def house(**given: object) -> AsyncIterator[House]:
    """A workspace with #ops, which the bot is in, and #lobby, which it is not in."""
    sandbox = SlackSandbox(rate_per_channel=0)
    acme = sandbox.add_workspace("Acme")
    acme.add_channel("ops")
    acme.add_channel("lobby", member=False)
    async with sandbox.serving(port=0) as url:
        settings = {"admin_password": None, "slack_api_url": url, "encryption_key": generate_key()}
        settings |= {"post_rate_per_channel": 1000, "post_burst_per_channel": 100}
        async with browsing(**(settings | given)) as browser:
            yield House(browser, sandbox, acme)

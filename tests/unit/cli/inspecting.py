"""Real events and deliveries for what people inspect: published, read and told in this process."""

import asyncio
import json
from dataclasses import replace
from typing import Any

from cli_shell import Shell

from worker.bootstrap import Services
from worker.pipeline.drain import drain
from worker.store.ledger import take_census

BROKEN = '{"specversion": '


def event(id_: str = "deploy-1", *, source: str = "/ik", **data: Any) -> str:
    """A failed workflow."""
    about = {"workflow_id": id_, "name": f"run {id_}", "status": "error", "project": "shop", **data}
    type_ = "io.infrakitchen.workflow.failed"
    return json.dumps({"specversion": "1.0", "id": id_, "source": source, "type": type_, "data": about})


def publish(shell: Shell, *events: str) -> list[str]:
    """Into the stream, read by nobody yet: their entries' ids."""

    async def work(made: Services) -> list[str]:
        stream = made.settings.events_stream
        added = [await made.server.command("XADD", stream, "*", "event", one) for one in events]
        return [entry.decode() for entry in added]

    return shell.store(work)


def ingest(shell: Shell, *events: str) -> list[str]:
    """Published and read: their entries' ids."""
    ids = publish(shell, *events)

    async def work(made: Services) -> None:
        await made.stream.join()
        while entries := await made.stream.read(most=100, wait_ms=1):
            await made.ingest.accept(entries)

    shell.store(work)
    return ids


def tell(shell: Shell, *, budget_s: float = 5.0) -> None:
    """One drain of every lane that has something to say."""
    shell.env.setenv("POST_RATE_PER_CHANNEL", "1000")

    async def work(made: Services) -> None:
        tools = replace(made.drain, budget_s=budget_s)
        _, lanes = await take_census(made.server)
        await asyncio.gather(*(drain(one.lane, tools) for one in lanes))

    shell.store(work)


def told(shell: Shell, *events: str) -> list[str]:
    """Published, read and told: their entries' ids."""
    ids = ingest(shell, *events)
    tell(shell)
    return ids


def refuse_messages(shell: Shell, messages: int = 1) -> None:
    """Slack takes the next messages neither as blocks nor as plain text."""
    shell.slack.fault("invalid_blocks", times=2 * messages)


def dead(shell: Shell, id_: str = "deploy-1") -> str:
    """A dead letter of an event that Slack refused: the delivery's id."""
    refuse_messages(shell)
    told(shell, event(id_))
    [row] = shell("deliveries", "list", "--event", id_, "--json").json
    assert row["state"] == "dead"
    return str(row["id"])


def alive(shell: Shell, *roles: str) -> None:
    """Signs of life of these processes."""

    async def work(made: Services) -> None:
        for role in roles:
            await made.upkeep.beat(role, "me")

    shell.store(work)

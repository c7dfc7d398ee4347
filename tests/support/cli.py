"""Commands that run in this process, on a real Redis and a sandbox Slack served by a thread."""

import asyncio
import io
import json
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from config.settings import Settings
from support.events import failed_workflow
from support.pipeline import drain_all, ingest_stream
from worker.bootstrap.context import AppContext, open_context
from worker.cli import cli, run_cli
from worker.sandbox.slack.server import SlackSandbox
from worker.sandbox.slack.workspace import Workspace

Answer = TypeVar("Answer")
UNREACHABLE_URL = "http://127.0.0.1:9/api/"


class CommandResult(NamedTuple):
    """The output of a command and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The value of the printed JSON."""
        return json.loads(self.out)


@dataclass
class Shell:
    """Runs `ik-slack` commands and gives access to the stores."""

    slack: SlackSandbox
    acme: Workspace
    folder: Path
    env: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, stdin: str | bytes = b"") -> CommandResult:
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
            self.capture.readouterr()
            code = run_cli(cli, arguments)
        return CommandResult(code, *self.capture.readouterr())

    def connect(self, name: str = "acme") -> None:
        """Add the integration of the sandbox's workspace."""
        assert self("integrations", "add", name, "--token-stdin", stdin=self.acme.token).code == 0

    def subscribe(self, *arguments: str) -> str:
        """Add a subscription and return its id."""
        return str(self("subscriptions", "add", *arguments, "--json").json["id"])

    def file(self, text: str) -> str:
        """Write a file and return its path."""
        path = self.folder / "input"
        path.write_text(text)
        return str(path)

    def store(self, work: Callable[[AppContext], Coroutine[Any, Any, Answer]]) -> Answer:
        """Run a coroutine with an application context and return its result."""

        async def main() -> Answer:
            async with open_context(Settings.load()) as app:
                return await work(app)

        return asyncio.run(main())


@contextmanager
def serve_in_thread(sandbox: SlackSandbox) -> Iterator[str]:
    """Serve the sandbox in a thread; yield its base URL."""
    ready, address = threading.Event(), [""]
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with sandbox.serving() as address[0]:
            ready.set()
            await stop.wait()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    yield address[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


def publish(shell: Shell, *events: str) -> list[str]:
    """Add events to the stream and return the entries' ids."""

    async def work(app: AppContext) -> list[str]:
        stream = app.settings.events_stream
        return [(await app.redis.command("XADD", stream, "*", "event", body)).decode() for body in events]

    return shell.store(work)


def ingest(shell: Shell, *events: str) -> list[str]:
    """Publish and ingest events; return the entries' ids."""
    ids = publish(shell, *events)
    shell.store(ingest_stream)
    return ids


def drain_lanes(shell: Shell, *, budget_s: float = 5.0) -> None:
    """Drain every lane that has pending deliveries."""
    shell.env.setenv("POST_RATE_PER_CHANNEL", "1000")
    shell.store(lambda app: drain_all(app, budget_s=budget_s))


def deliver(shell: Shell, *events: str) -> list[str]:
    """Publish, ingest and deliver events; return the entries' ids."""
    ids = ingest(shell, *events)
    drain_lanes(shell)
    return ids


def reject_next_messages(shell: Shell, messages: int = 1) -> None:
    """Have Slack reject the next messages, as blocks and as plain text."""
    shell.slack.fault("invalid_blocks", times=2 * messages)


def create_dead_letter(shell: Shell, id_: str = "deploy-1") -> str:
    """Create a dead letter and return its id."""
    reject_next_messages(shell)
    deliver(shell, failed_workflow(id_))
    [row] = shell("deliveries", "list", "--event", id_, "--json").json
    assert row["state"] == "dead"
    return str(row["id"])


def record_heartbeats(shell: Shell, *roles: str) -> None:
    """Record a heartbeat of a process of each role."""

    async def work(app: AppContext) -> None:
        for role in roles:
            await app.processes.record_heartbeat(role, "me")

    shell.store(work)


def set_up(shell: Shell) -> Shell:
    """Give the installation an integration, a subscription to #ops and live processes; return the shell."""
    shell.connect()
    shell.subscribe("--to", "#ops")
    record_heartbeats(shell, "worker", "ingest")
    return shell

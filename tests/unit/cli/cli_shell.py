"""A shell for tests: commands in this process, on a real Redis and a sandbox Slack served by a thread."""

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
from worker.bootstrap import Services, services
from worker.cli import cli
from worker.cli.failing import told_in_one_line
from worker.sandbox.slack import SlackSandbox
from worker.sandbox.state import Workspace

Answer = TypeVar("Answer")
NOWHERE = "http://127.0.0.1:9/api/"


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as the value it is."""
        return json.loads(self.out)


@dataclass
class Shell:
    """Runs `ik-slack …` and looks at what became of it."""

    slack: SlackSandbox
    acme: Workspace
    folder: Path
    env: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: str, stdin: str | bytes = b"") -> Ended:
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
            self.capture.readouterr()
            code = told_in_one_line(cli, words)
        return Ended(code, *self.capture.readouterr())

    def connect(self, name: str = "acme") -> None:
        """Add the integration of the sandbox's workspace."""
        assert self("integrations", "add", name, "--token-stdin", stdin=self.acme.token).code == 0

    def subscribe(self, *words: str) -> str:
        """Add a subscription: its id."""
        return str(self("subscriptions", "add", *words, "--json").json["id"])

    def file(self, text: str) -> str:
        """A file with this text: its path."""
        path = self.folder / "given"
        path.write_text(text)
        return str(path)

    def store(self, work: Callable[[Services], Coroutine[Any, Any, Answer]]) -> Answer:
        """What is done or found with the services themselves."""

        async def main() -> Answer:
            async with services(Settings.load()) as made:
                return await work(made)

        return asyncio.run(main())


@contextmanager
def serving(sandbox: SlackSandbox) -> Iterator[str]:
    """The sandbox's base URL, served by a thread until the end."""
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

"""An installation on this machine, for tests that start everything: Redis, a sandbox Slack, ingest and worker.

Processes are started as a user would and stopped by their pid; their logs are files, printed when a test fails.
The state is read from outside: from Redis, the sandbox and the command line.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.settings import Settings
from support.events import marks_in, ref_of_mark
from worker.bootstrap.context import AppContext, open_context
from worker.bootstrap.redis_urls import connect_redis
from worker.domain.delivery import Delivery
from worker.sandbox.embedded_redis import EmbeddedRedis
from worker.sandbox.slack.server import SlackSandbox
from worker.sandbox.slack.workspace import Workspace
from worker.store.ledger import Balance, take_ledger_snapshot
from worker.store.pagination import DeliveryFilter, take_rows
from worker.store.redis_client import text
from worker.store.redis_errors import StoreUnavailable
from worker.store.token_cipher import generate_key

# A shell that runs the tests in the background ignores SIGINT, and so would every process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

STREAM = "infrakitchen:events"
WORKER = (
    "celery",
    "-q",
    "-A",
    "worker",
    "worker",
    "-Q",
    "lanes,upkeep",
    "--without-gossip",
    "--without-mingle",
)
INGEST = ("ik-slack", "ingest")
POLL_S = 0.05
SETTING_NAMES = {f"{name}{end}".upper() for name in Settings.model_fields for end in ("", "_file")}


async def until(
    condition: Callable[[], object], what: str, *, most_s: float = 30.0, told: Callable[[], object] = str
) -> Any:
    """Wait until a condition returns something true, and return that. Raises AssertionError after `most_s`.

    A Redis error counts as false. `told` returns details for the error.
    """
    deadline = time.monotonic() + most_s
    while True:
        with suppress(RedisError, StoreUnavailable):
            result = condition()
            if value := (await result if isawaitable(result) else result):
                return value
        assert time.monotonic() < deadline, f"not within {most_s:g} s: {what} {told()}"
        await asyncio.sleep(POLL_S)


@dataclass
class Program:
    """A process of the installation and its log."""

    name: str
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """The log so far."""
        return self.log_file.read_text(errors="replace")

    def lines(self, message: str) -> list[dict[str, Any]]:
        """Return the log lines with this message."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["message"] == message]

    async def ended(self, *, most_s: float = 30.0) -> int:
        """Wait for the exit and return the exit code."""
        await until(lambda: self.process.poll() is not None, f"{self.name} ends", most_s=most_s)
        return self.process.returncode

    async def stop(self, *, most_s: float = 30.0) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended(most_s=most_s)

    async def kill(self) -> None:
        """Send SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        await self.ended()


@dataclass
class CommandResult:
    """The output of a command and its exit code."""

    code: int
    out: str
    err: str


@dataclass
class Installation:
    """An installation in one directory."""

    directory: Path
    server: EmbeddedRedis
    sandbox: SlackSandbox
    workspace: Workspace
    environment: dict[str, str]
    programs: list[Program] = field(default_factory=list)
    _slack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _port: int = 0
    _client: Redis | None = None
    _app: AppContext | None = None

    @property
    def redis(self) -> Redis:
        assert self._client
        return self._client

    @property
    def app(self) -> AppContext:
        """An application context of the test's own process."""
        assert self._app
        return self._app

    # Processes

    def start(self, name: str, command: Sequence[str], **more: str) -> Program:
        """Start a program with the installation's settings."""
        log_file = self.directory / f"{len(self.programs):02}-{name}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [program(command[0]), *command[1:]],
                env={**self.environment, **more},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.programs.append(Program(name, process, log_file))
        return self.programs[-1]

    def ingest(self, **more: str) -> Program:
        return self.start("ingest", INGEST, **more)

    def worker(self, **more: str) -> Program:
        return self.start("worker", WORKER, **more)

    async def running(self, *programs: Program) -> None:
        """Wait for a heartbeat of each program."""

        async def have_heartbeats() -> bool:
            alive = await self.app.processes.list_alive("worker") + await self.app.processes.list_alive("ingest")
            return all(any(f"-{process.pid}-" in worker_id for worker_id in alive) for process in programs)

        await until(have_heartbeats, f"{', '.join(process.name for process in programs)} alive")

    async def cli(self, *arguments: str, given: str = "", **more: str) -> CommandResult:
        """Run an `ik-slack` command."""
        process = await asyncio.create_subprocess_exec(
            program("ik-slack"),
            *arguments,
            env={**self.environment, **more},
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate(given.encode())
        return CommandResult(process.returncode or 0, out.decode(), err.decode())

    async def asked(self, *arguments: str) -> Any:
        """Run a command with `--json` and return the value that it prints."""
        result = await self.cli(*arguments, "--json")
        assert result.code == 0, result
        return json.loads(result.out)

    async def connect(self, *destinations: str, rules: Sequence[Mapping[str, object]] = ()) -> None:
        """Add the integration and subscriptions: each destination gets the events of the project of its name."""
        saved = await self.cli("integrations", "add", "acme", "--token-stdin", given=self.workspace.token)
        assert saved.code == 0, saved
        specs = [*rules, *({"destination": name, "project": name.strip("#")} for name in destinations)]
        applied = await self.cli("subscriptions", "apply", "-", given=json.dumps(specs))
        assert applied.code == 0, applied

    # Events

    async def publish(self, *events: Mapping[str, object] | bytes) -> list[str]:
        """Add events to the stream, repeated until Redis confirms; return the entries' ids."""
        entries = []
        for event in events:
            body = event if isinstance(event, bytes) else json.dumps(event)
            add = partial(self.redis.xadd, STREAM, {"event": body})
            entries.append(text(await until(add, "an event is published")))
        return entries

    async def load(self, events: Sequence[Mapping[str, object]], over_s: float) -> None:
        """Publish events evenly over a time, whatever happens to Redis meanwhile."""
        began = time.monotonic()
        for number, event in enumerate(events):
            early_s = began + over_s * number / len(events) - time.monotonic()
            if early_s > 0:
                await asyncio.sleep(early_s)
            await self.publish(event)

    # Redis

    async def kill_redis(self) -> None:
        """Kill Redis; its files stay."""
        pid = (await until(partial(self.redis.info, "server"), "Redis answers"))["process_id"]
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(self.server.stop)

    async def start_redis(self) -> None:
        """Start Redis again, in the same directory and on the same port."""
        await asyncio.to_thread(self.server.start)

    # Slack

    async def slack_up(self) -> None:
        """Serve the sandbox, on the same port as before."""
        url = await self._slack.enter_async_context(self.sandbox.serving(port=self._port))
        self._port = int(url.split(":")[2].partition("/")[0])
        self.environment["SLACK_API_URL"] = url

    async def slack_down(self) -> None:
        """Stop serving the sandbox."""
        await self._slack.aclose()

    # Results

    async def balance(self) -> Balance:
        return (await take_ledger_snapshot(self.app.redis)).balance

    async def deliveries(self) -> list[Delivery]:
        """Return all deliveries, oldest first."""
        return (await take_rows(partial(self.app.deliveries.page, DeliveryFilter())))[::-1]

    async def settled(self, created: int, *, most_s: float = 60.0) -> Balance:
        """Wait until `created` deliveries exist and each is delivered; return the balance."""
        last: list[Balance] = []

        async def all_delivered() -> Balance | None:
            last[:] = [balance := await self.balance()]
            done = balance.delivered + balance.merged == balance.created == created
            return balance if done else None

        balance: Balance = await until(
            all_delivered, f"{created} deliveries delivered", most_s=most_s, told=lambda: last
        )
        assert balance.unaccounted == 0
        return balance

    def messages(self, channel: str) -> list[dict[str, Any]]:
        return self.sandbox.messages(channel)

    def marks(self, channel: str) -> list[str]:
        """Return the marks that a channel's messages show, message after message."""
        return [mark for message in self.messages(channel) for mark in marks_in(message)]

    async def assert_in_order(self, channel: str) -> None:
        """Assert that messages show events in the order of their lane."""
        seqs = {delivery.event_ref: delivery.seq for delivery in await self.deliveries()}
        assert_in_order(channel, self.messages(channel), seqs)

    def print_logs(self) -> None:
        """Print the end of every log, for the report of a failed test."""
        for process in self.programs:
            print(f"--- {process.log_file.name} (exit {process.process.returncode}), its last lines")
            print(*process.log.splitlines()[-40:], sep="\n")


@asynccontextmanager
async def run_installation(directory: Path, **settings: str) -> AsyncIterator[Installation]:
    """Run a Redis and a sandbox Slack with a workspace; the test starts the programs."""
    sandbox = SlackSandbox()
    server = EmbeddedRedis(directory / "redis")
    environment = {name: value for name, value in os.environ.items() if name not in SETTING_NAMES}
    environment |= {
        "REDIS_URL": await asyncio.to_thread(server.start),
        "ENCRYPTION_KEY": generate_key(),
        "DATA_DIR": str(directory / "var"),
        "LOG_FORMAT": "json",
        "PROBE_INTERVAL_S": "1",
        **settings,
    }
    installation = Installation(directory, server, sandbox, sandbox.add_workspace("Acme"), environment)
    try:
        await installation.slack_up()
        own = {name.lower(): installation.environment[name] for name in SETTING_NAMES & installation.environment.keys()}
        async with (
            connect_redis(installation.environment["REDIS_URL"]) as installation._client,
            open_context(Settings.load(**own)) as installation._app,
        ):
            yield installation
    finally:
        for process in installation.programs:
            if process.process.poll() is None:
                await process.kill()
        await installation.slack_down()
        await asyncio.to_thread(server.stop)
        installation.print_logs()


def program(name: str) -> str:
    """Return the path of a program of this virtual environment."""
    return str(Path(sys.executable).parent / name)


def assert_in_order(channel: str, messages: Sequence[Mapping[str, Any]], seqs: Mapping[str, int]) -> None:
    """Assert that events appear by their place in the lane; an event without a place may be anywhere."""
    highest = 0
    seen: set[str] = set()
    for message in messages:
        new = [seqs[ref_of_mark(mark)] for mark in marks_in(message) if mark not in seen and ref_of_mark(mark) in seqs]
        seen.update(marks_in(message))
        assert not new or min(new) > highest, f"{channel}: {min(new)} appears after {highest}"
        highest = max(new, default=highest)

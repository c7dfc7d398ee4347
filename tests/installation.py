"""An installation on this machine, for tests that start everything: Redis, a small Slack, ingest and worker.

Processes are started as a person would and ended by their pid; what they log lies in files and is printed
when a test fails. Everything is asked from outside: Redis, the sandbox, the command line.
"""

import asyncio
import json
import os
import re
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
from worker.bootstrap import Services, services
from worker.domain.delivery import Delivery, event_ref
from worker.sandbox.redis import EmbeddedRedis
from worker.sandbox.slack import SlackSandbox
from worker.sandbox.state import Workspace
from worker.store.ledger import Balance, take_census
from worker.store.server import text
from worker.store.vault import generate_key

# A shell that runs the tests in the background ignores SIGINT, and every program they start would.
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
LOOK_EVERY_S = 0.05
OUR_SETTINGS = {f"{name}{end}".upper() for name in Settings.model_fields for end in ("", "_file")}
MARK = re.compile(r"evt-\d+")


async def until(
    condition: Callable[[], object], what: str, *, most_s: float = 30.0, told: Callable[[], object] = str
) -> Any:
    """Ask until the answer is true, and give it; AssertionError says what did not come about in time.

    A Redis that is away has not answered yet.
    """
    deadline = time.monotonic() + most_s
    while True:
        with suppress(RedisError):
            found = condition()
            if answer := (await found if isawaitable(found) else found):
                return answer
        assert time.monotonic() < deadline, f"not within {most_s:g} s: {what} {told()}"
        await asyncio.sleep(LOOK_EVERY_S)


@dataclass
class Program:
    """A process of the installation, and its log."""

    name: str
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """Everything it has said so far."""
        return self.log_file.read_text(errors="replace")

    def lines(self, message: str) -> list[dict[str, Any]]:
        """Its log lines with this message."""
        found = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in found if line["message"] == message]

    async def ended(self, *, most_s: float = 30.0) -> int:
        """Its exit code, once it has one."""
        await until(lambda: self.process.poll() is not None, f"{self.name} ends", most_s=most_s)
        return self.process.returncode

    async def stop(self, *, most_s: float = 30.0) -> int:
        """Ask it to end: its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended(most_s=most_s)

    async def kill(self) -> None:
        """End it at whatever instruction it is."""
        self.process.send_signal(signal.SIGKILL)
        await self.ended()


@dataclass
class Told:
    """What a command of ours said, and its exit code."""

    code: int
    out: str
    err: str


@dataclass
class Installation:
    """Everything of one installation, in one directory."""

    directory: Path
    server: EmbeddedRedis
    sandbox: SlackSandbox
    workspace: Workspace
    environment: dict[str, str]
    programs: list[Program] = field(default_factory=list)
    _slack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _port: int = 0
    _client: Redis | None = None
    _made: Services | None = None

    @property
    def redis(self) -> Redis:
        assert self._client
        return self._client

    @property
    def made(self) -> Services:
        """The stores, to look at."""
        assert self._made
        return self._made

    # Processes

    def start(self, name: str, command: Sequence[str], **more: str) -> Program:
        """A program of this environment."""
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
        """Until each of them has been seen in Redis."""

        async def seen() -> bool:
            alive = await self.made.upkeep.alive("worker") + await self.made.upkeep.alive("ingest")
            return all(any(f"-{one.pid}-" in who for who in alive) for one in programs)

        await until(seen, f"{', '.join(one.name for one in programs)} alive")

    async def cli(self, *arguments: str, given: str = "", **more: str) -> Told:
        """A command of `ik-slack`."""
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
        return Told(process.returncode or 0, out.decode(), err.decode())

    async def asked(self, *arguments: str) -> Any:
        """What a command answers with `--json`."""
        said = await self.cli(*arguments, "--json")
        assert said.code == 0, said
        return json.loads(said.out)

    async def connect(self, *destinations: str, rules: Sequence[Mapping[str, object]] = ()) -> None:
        """Save the workspace's token, and subscribe: a destination gets what has its name as project."""
        saved = await self.cli("integrations", "add", "acme", "--token-stdin", given=self.workspace.token)
        assert saved.code == 0, saved
        wanted = [*rules, *({"destination": one, "project": one.strip("#")} for one in destinations)]
        applied = await self.cli("subscriptions", "apply", "-", given=json.dumps(wanted))
        assert applied.code == 0, applied

    # Events

    async def publish(self, *events: Mapping[str, object] | bytes) -> list[str]:
        """Plain XADDs, each tried until Redis has said it has it: the entries' ids."""
        entries = []
        for event in events:
            body = event if isinstance(event, bytes) else json.dumps(event)
            add = partial(self.redis.xadd, STREAM, {"event": body})
            entries.append(text(await until(add, "an event is published")))
        return entries

    async def load(self, events: Sequence[Mapping[str, object]], over_s: float) -> None:
        """Publish them evenly over a while, whatever happens to Redis meanwhile."""
        began = time.monotonic()
        for number, event in enumerate(events):
            early_s = began + over_s * number / len(events) - time.monotonic()
            if early_s > 0:
                await asyncio.sleep(early_s)
            await self.publish(event)

    # Redis

    async def kill_redis(self) -> None:
        """End it at whatever instruction it is; its files stay."""
        pid = (await until(partial(self.redis.info, "server"), "Redis answers"))["process_id"]
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(self.server.stop)

    async def start_redis(self) -> None:
        """Again, in the same directory and on the same port."""
        await asyncio.to_thread(self.server.start)

    # Slack

    async def slack_up(self) -> None:
        """Serve, on the port it had before."""
        url = await self._slack.enter_async_context(self.sandbox.serving(port=self._port))
        self._port = int(url.split(":")[2].partition("/")[0])
        self.environment["SLACK_API_URL"] = url

    async def slack_down(self) -> None:
        """From now on nobody listens there."""
        await self._slack.aclose()

    # What became of it all

    async def balance(self) -> Balance:
        return (await take_census(self.made.server))[0]

    async def deliveries(self) -> list[Delivery]:
        """All, oldest first."""
        return [one async for one in self.made.deliveries.newest()][::-1]

    async def settled(self, created: int, *, most_s: float = 60.0) -> Balance:
        """Until so many deliveries were made and every one of them is told: the balance."""
        last: list[Balance] = []

        async def told() -> Balance | None:
            last[:] = [balance := await self.balance()]
            done = balance.delivered + balance.merged == balance.created == created
            return balance if done else None

        balance: Balance = await until(told, f"{created} deliveries told", most_s=most_s, told=lambda: last)
        assert balance.unaccounted == 0
        return balance

    def messages(self, channel: str) -> list[dict[str, Any]]:
        return self.sandbox.messages(channel)

    def marks(self, channel: str) -> list[str]:
        """The marks of the events a channel's messages show, message after message."""
        return [mark for message in self.messages(channel) for mark in marks(message)]

    async def assert_in_order(self, channel: str) -> None:
        """What came into the lane first is first told, message by message."""
        seqs = {one.event_ref: one.seq for one in await self.deliveries()}
        assert_in_order(channel, self.messages(channel), seqs)

    def print_logs(self) -> None:
        """For the report of a test that failed."""
        for one in self.programs:
            print(f"--- {one.log_file.name} (exit {one.process.returncode}), its last lines")
            print(*one.log.splitlines()[-40:], sep="\n")


@asynccontextmanager
async def installed(directory: Path, **settings: str) -> AsyncIterator[Installation]:
    """A Redis and a Slack with a workspace; programs are started by the test."""
    sandbox = SlackSandbox()
    server = EmbeddedRedis(directory / "redis")
    environment = {name: value for name, value in os.environ.items() if name not in OUR_SETTINGS}
    environment |= {
        "REDIS_URL": await asyncio.to_thread(server.start),
        "ENCRYPTION_KEY": generate_key(),
        "DATA_DIR": str(directory / "var"),
        "LOG_FORMAT": "json",
        "PROBE_INTERVAL_S": "1",
        **settings,
    }
    one = Installation(directory, server, sandbox, sandbox.add_workspace("Acme"), environment)
    try:
        await one.slack_up()
        ours = {name.lower(): one.environment[name] for name in OUR_SETTINGS & one.environment.keys()}
        async with (
            Redis.from_url(one.environment["REDIS_URL"]) as one._client,
            services(Settings.load(**ours)) as one._made,
        ):
            yield one
    finally:
        for left in one.programs:
            if left.process.poll() is None:
                await left.kill()
        await one.slack_down()
        await asyncio.to_thread(server.stop)
        one.print_logs()


def program(name: str) -> str:
    """A program of this virtual environment."""
    return str(Path(sys.executable).parent / name)


def alert(number: int, project: str = "ops", **data: object) -> dict[str, object]:
    """A CloudEvent about an alert of its own; `evt-<number>` is what to look for in messages."""
    about = {"name": f"evt-{number}", "fingerprint": f"f{number}", "severity": "error", "project": project}
    return {
        "specversion": "1.0",
        "id": f"evt-{number}",
        "source": "/tests",
        "type": "io.infrakitchen.alert.firing",
        "data": {**about, **data},
    }


def own_body(number: int, **more: object) -> dict[str, object]:
    """InfraKitchen's own notification body."""
    return {
        "event_type": "update",
        "entity_type": "workflow",
        "entity_id": f"w{number}",
        "title": f"Workflow evt-{number}",
        "message": "all steps done",
        "status": "success",
        "metadata": None,
        **more,
    }


def marks(message: Mapping[str, Any]) -> list[str]:
    """Which events a message shows, in its order, each once."""
    shown = json.dumps([message.get("blocks"), message.get("attachments")])
    return list(dict.fromkeys(MARK.findall(shown)))


def ref(mark: str) -> str:
    """What our store calls the event with this mark."""
    return event_ref("/tests", mark)


def assert_in_order(channel: str, messages: Sequence[Mapping[str, Any]], seqs: Mapping[str, int]) -> None:
    """What has the lower place in the lane is first told; an event without one may stand anywhere."""
    highest = 0
    seen: set[str] = set()
    for message in messages:
        new = [seqs[ref(mark)] for mark in marks(message) if mark not in seen and ref(mark) in seqs]
        seen.update(marks(message))
        assert not new or min(new) > highest, f"{channel}: {min(new)} was told after {highest}"
        highest = max(new, default=highest)


def evts(*numbers: int) -> list[str]:
    return [f"evt-{number}" for number in numbers]

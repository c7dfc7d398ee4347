"""Random faults of an installation that `ik-slack up` runs: killed processes, a lost Redis, errors of Slack."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from redis.exceptions import RedisError

from support.installation import POLL_S, Installation, Program, until
from support.ledger_checks import CHANNELS
from support.processes import child_processes, processes_with_setting
from worker.sandbox.slack.server import STORED

ROOT = Path(__file__).parents[2]
CODES = (
    "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org",
    "message_limit_exceeded", "invalid_blocks", "msg_too_long", "restricted_action", "a_code_of_tomorrow",
)  # fmt: skip
#: Faults of HTTP and the network whose call takes no effect.
NOT_STORED = frozenset(
    {"http_500", "http_502_html", "http_503_text", "ratelimited", "rate_limited"}
    | {"reset_before", "close_before", "hang"}
)
FAULTS = (*sorted(NOT_STORED | STORED), *CODES)
METHODS = ("chat.postMessage", "chat.postMessage", "chat.postMessage", "conversations.info", "auth.test", "*")
TOKEN_FAULTS = ("token_revoked", "invalid_auth", "account_inactive", "token_expired")
PAUSES_S = {"worker": (31.0, 36.0), "ingest": (11.0, 16.0)}
"""Longer than a lane's lease, and than an ingest's claim on entries; other roles pause briefly."""


@dataclass
class SupervisedInstallation:
    """An `ik-slack up` with two workers and two ingests, which is restarted when it ends, as an init system does.

    `only` names the processes to start, without those that start slowly.
    """

    installation: Installation
    only: str = ""
    ups: list[Program] = field(default_factory=list)
    _keeping: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Start it, and wait until all processes run."""
        lines = (ROOT / "Procfile").read_text().splitlines()
        twice = [line.replace(":", "2:", 1) for line in lines if line.startswith(("ingest:", "worker:"))]
        (self.installation.directory / "Procfile").write_text("\n".join([*lines, *twice]) + "\n")
        self._start()
        self._keeping = asyncio.create_task(self._keep())

        async def running() -> bool:
            roles = Counter(self.roles().values())
            alive = [len(await self.installation.app.processes.list_alive(role)) for role in ("worker", "ingest")]
            return min(roles["worker"], roles["ingest"], *alive) >= 2

        await until(running, "two workers and two ingests run", most_s=60)

    async def end(self) -> None:
        """Stop it; assert that it ends with exit code 0 and that no process is left."""
        if self._keeping:
            self._keeping.cancel()
        assert await self.ups[-1].stop(most_s=60) == 0, self.ups[-1].log[-2000:]
        await until(lambda: not self._left(), "all it started has ended", told=self._left)

    @property
    def up(self) -> int:
        return self.ups[-1].pid

    def roles(self) -> dict[int, str]:
        """Return the role of each running process by its id."""
        return child_processes(self.up)

    def kill(self) -> None:
        """Kill every process that is left after a failed run."""
        if self._keeping:
            self._keeping.cancel()
        for pid in self._left():
            _signal(pid, signal.SIGKILL)

    def _start(self) -> None:
        only = ("--only", self.only) if self.only else ()
        self.ups.append(self.installation.start("up", ("ik-slack", "up", *only)))

    async def _keep(self) -> None:
        while True:
            while self.ups[-1].process.poll() is None:
                await asyncio.sleep(POLL_S)
            await asyncio.sleep(0.5)
            self._start()

    def _left(self) -> list[int]:
        return processes_with_setting(self.installation.environment["DATA_DIR"])


@dataclass
class FaultInjector:
    """Injects random faults; a fault that lasts is repaired in the background while others follow."""

    installation: Installation
    supervised: SupervisedInstallation
    random: Random
    count: Counter[str] = field(default_factory=Counter)
    last: str = "none yet"
    paused: set[str] = field(default_factory=set)
    _repairs: set[asyncio.Task[None]] = field(default_factory=set)

    async def inject(self) -> None:
        """Inject one random fault."""
        killing, pausing = [self.kill] * 4, [self.pause] * 2
        store = [self.kill_redis, self.cut, self.flush, self.silence_redis]
        slack = [self.fault] * 4 + [self.revoke, self.close_channel, self.close_channel, self.leave_slack]
        await self.random.choice([*killing, *pausing, *store, *slack])()

    async def repair(self) -> None:
        """Wait until every fault is repaired, and remove the faults of Slack."""
        await asyncio.gather(*self._repairs)
        self.installation.sandbox.faults.clear()

    def _note(self, fault: str) -> None:
        self.last = fault
        self.count[fault] += 1

    async def kill(self) -> None:
        """Kill a random process."""
        others = () if self.supervised.only else ("web", "flower")
        role = self.random.choice(("ingest", "ingest", "worker", "worker", "up", *others))
        if pid := self._one_of(role):
            self._note(f"{role} killed")
            _signal(pid, signal.SIGKILL)

    async def pause(self, role: str = "") -> None:
        """Pause a process for longer than its leases and claims last, then continue it."""
        role = role or self.random.choice(("ingest", "worker", "up"))
        pause_s = self.random.uniform(*PAUSES_S.get(role, (1.0, 8.0)))
        if role in self.paused or not (pid := self._one_of(role)):
            return
        self._note(f"{role} paused")
        self.paused.add(role)
        _signal(pid, signal.SIGSTOP)

        async def resume() -> None:
            _signal(pid, signal.SIGCONT)
            self.paused.discard(role)

        self._later(pause_s, resume)

    async def kill_redis(self) -> None:
        self._note("Redis killed")
        await self.installation.kill_redis()
        await asyncio.sleep(self.random.uniform(0, 1.5))
        await self.installation.start_redis()

    async def silence_redis(self) -> None:
        """Pause Redis; its connections stay open."""
        self._note("Redis paused")
        pid = (await until(lambda: self.installation.redis.info("server"), "Redis answers"))["process_id"]
        _signal(pid, signal.SIGSTOP)
        await asyncio.sleep(self.random.uniform(0.5, 4))
        _signal(pid, signal.SIGCONT)

    async def cut(self) -> None:
        """Close all connections to Redis but the test's own, or half of them."""
        everyone = self.random.random() < 0.5
        self._note("all connections cut" if everyone else "half of the connections cut")
        with suppress(RedisError):
            clients = await self.installation.redis.client_list()
            for client in clients:
                if everyone or self.random.random() < 0.5:
                    await self.installation.redis.client_kill_filter(_id=client["id"], skipme=True)

    async def flush(self) -> None:
        self._note("Celery's keys deleted")
        await flush_celery(self.installation)

    async def fault(self) -> None:
        """Add a random fault of the next calls of a random method."""
        name, method = self.random.choice(FAULTS), self.random.choice(METHODS)
        self._note(name)
        self.installation.sandbox.fault(name, method=method, times=self.random.randint(1, 5), delay_s=20)

    async def revoke(self) -> None:
        """Revoke the token, and reinstate the same token after a while."""
        fault, token = self.random.choice(TOKEN_FAULTS), self.installation.workspace.token
        self._note(fault)
        self.installation.workspace.revoke(token, fault)

        async def reinstate() -> None:
            self.installation.workspace.reinstate(token)

        self._later(self.random.uniform(1, 5), reinstate)

    async def close_channel(self) -> None:
        """Archive a channel or remove the bot from it, and undo that later."""
        workspace, name = self.installation.workspace, self.random.choice(CHANNELS)
        archived = self.random.random() < 0.5
        self._note("channel archived" if archived else "bot kicked")
        (workspace.archive if archived else workspace.kick)(name)

        async def open_again() -> None:
            (workspace.unarchive if archived else workspace.invite)(name)

        self._later(self.random.uniform(1, 8), open_again)

    async def leave_slack(self) -> None:
        """Stop the sandbox for a while."""
        away_s = self.random.uniform(0.5, 4)
        if "Slack" in self.paused:
            return
        self._note("Slack away")
        self.paused.add("Slack")
        await self.installation.slack_down()

        async def come_back() -> None:
            await self.installation.slack_up()
            self.paused.discard("Slack")

        self._later(away_s, come_back)

    def _one_of(self, role: str) -> int:
        """Return a random process id of a role; 0 while none runs."""
        pids = [self.supervised.up] if role == "up" else []
        pids += sorted(pid for pid, its_role in self.supervised.roles().items() if its_role == role)
        return self.random.choice(pids) if pids else 0

    def _later(self, in_s: float, repair: Callable[[], Coroutine[None, None, None]]) -> None:
        async def wait() -> None:
            await asyncio.sleep(in_s)
            await repair()

        task = asyncio.create_task(wait())
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)


Fault = Callable[[], Awaitable[None]]


async def flush_celery(installation: Installation) -> None:
    """Delete all keys of Celery in Redis: queues, unacknowledged messages and bindings."""

    async def flush() -> bool:
        keys = [key async for key in installation.redis.scan_iter("ik:celery:*")]
        return not keys or await installation.redis.delete(*keys) >= 0

    await until(flush, "Celery's keys are deleted")


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)

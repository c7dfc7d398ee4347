"""Everything that can befall an installation that `ik-slack up` runs, dealt out by a seed."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from accounts import CHANNELS
from installation import LOOK_EVERY_S, Installation, Program, until
from processes import kept_by, that_know
from redis.exceptions import RedisError

from worker.sandbox.faults import NOT_STORED, STORED

ROOT = Path(__file__).parents[1]
CODES = (
    "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org",
    "message_limit_exceeded", "invalid_blocks", "msg_too_long", "restricted_action", "a_code_of_tomorrow",
)  # fmt: skip
FAULTS = (*sorted(NOT_STORED | STORED), *CODES)
METHODS = ("chat.postMessage", "chat.postMessage", "chat.postMessage", "conversations.info", "auth.test", "*")
TOKEN_FAULTS = ("token_revoked", "invalid_auth", "account_inactive", "token_expired")
PAUSES_S = {"worker": (31.0, 36.0), "ingest": (11.0, 16.0)}
"""Longer than a lane's lease, and than an ingest is left what it has in hand; others for some seconds."""


@dataclass
class Kept:
    """An `ik-slack up` of two workers and two ingests, started again when it ends as a machine's init would.

    `only` leaves out those that take their time to start.
    """

    one: Installation
    only: str = ""
    ups: list[Program] = field(default_factory=list)
    _keeping: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Until all of them have been seen."""
        lines = (ROOT / "Procfile").read_text().splitlines()
        twice = [line.replace(":", "2:", 1) for line in lines if line.startswith(("ingest:", "worker:"))]
        (self.one.directory / "Procfile").write_text("\n".join([*lines, *twice]) + "\n")
        self._start()
        self._keeping = asyncio.create_task(self._keep())

        async def running() -> bool:
            roles = Counter(self.roles().values())
            alive = [len(await self.one.made.upkeep.alive(role)) for role in ("worker", "ingest")]
            return min(roles["worker"], roles["ingest"], *alive) >= 2

        await until(running, "two workers and two ingests run", most_s=60)

    async def end(self) -> None:
        """Asked to, it ends with exit code 0, and nothing it or one before it has started is left."""
        if self._keeping:
            self._keeping.cancel()
        assert await self.ups[-1].stop(most_s=60) == 0, self.ups[-1].log[-2000:]
        await until(lambda: not self._left(), "all it started has ended", told=self._left)

    @property
    def up(self) -> int:
        return self.ups[-1].pid

    def roles(self) -> dict[int, str]:
        """The processes that are there now."""
        return kept_by(self.up)

    def kill(self) -> None:
        """All that is left of it, after a run that failed."""
        if self._keeping:
            self._keeping.cancel()
        for pid in self._left():
            _signal(pid, signal.SIGKILL)

    def _start(self) -> None:
        only = ("--only", self.only) if self.only else ()
        self.ups.append(self.one.start("up", ("ik-slack", "up", *only)))

    async def _keep(self) -> None:
        while True:
            while self.ups[-1].process.poll() is None:
                await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.sleep(0.5)
            self._start()

    def _left(self) -> list[int]:
        return that_know(self.one.environment["DATA_DIR"])


@dataclass
class Blows:
    """Deals out blows; what lasts is healed in the background while others fall."""

    one: Installation
    kept: Kept
    chance: Random
    count: Counter[str] = field(default_factory=Counter)
    last: str = "none yet"
    paused: set[str] = field(default_factory=set)
    _healing: set[asyncio.Task[None]] = field(default_factory=set)

    async def one_more(self) -> None:
        """Any of them."""
        killing, pausing = [self.kill] * 4, [self.pause] * 2
        store = [self.kill_redis, self.cut, self.flush, self.silence_redis]
        slack = [self.fault] * 4 + [self.revoke, self.close_channel, self.close_channel, self.leave_slack]
        await self.chance.choice([*killing, *pausing, *store, *slack])()

    async def heal(self) -> None:
        """Everything is well again."""
        await asyncio.gather(*self._healing)
        self.one.sandbox.faults.clear()

    def strike(self, what: str) -> None:
        self.last = what
        self.count[what] += 1

    async def kill(self) -> None:
        """Any process, at whatever instruction it is."""
        others = () if self.kept.only else ("web", "flower")
        role = self.chance.choice(("ingest", "ingest", "worker", "worker", "up", *others))
        if pid := self._one_of(role):
            self.strike(f"{role} killed")
            _signal(pid, signal.SIGKILL)

    async def pause(self, role: str = "") -> None:
        """A process stands still for longer than it may keep what it holds, and then goes on."""
        role = role or self.chance.choice(("ingest", "worker", "up"))
        pause_s = self.chance.uniform(*PAUSES_S.get(role, (1.0, 8.0)))
        if role in self.paused or not (pid := self._one_of(role)):
            return
        self.strike(f"{role} paused")
        self.paused.add(role)
        _signal(pid, signal.SIGSTOP)

        async def go_on() -> None:
            _signal(pid, signal.SIGCONT)
            self.paused.discard(role)

        self._later(pause_s, go_on)

    async def kill_redis(self) -> None:
        self.strike("Redis killed")
        await self.one.kill_redis()
        await asyncio.sleep(self.chance.uniform(0, 1.5))
        await self.one.start_redis()

    async def silence_redis(self) -> None:
        """It stands still and its connections stay open."""
        self.strike("Redis paused")
        pid = (await until(lambda: self.one.redis.info("server"), "Redis answers"))["process_id"]
        _signal(pid, signal.SIGSTOP)
        await asyncio.sleep(self.chance.uniform(0.5, 4))
        _signal(pid, signal.SIGCONT)

    async def cut(self) -> None:
        """All connections but the one that says so, or half of them."""
        everyone = self.chance.random() < 0.5
        self.strike("all connections cut" if everyone else "half of the connections cut")
        with suppress(RedisError):
            clients = await self.one.redis.client_list()
            for client in clients:
                if everyone or self.chance.random() < 0.5:
                    await self.one.redis.client_kill_filter(_id=client["id"], skipme=True)

    async def flush(self) -> None:
        self.strike("Celery's keys deleted")
        await flush_celery(self.one)

    async def fault(self) -> None:
        """The next few calls of a method go wrong in one of all the ways there are."""
        name, method = self.chance.choice(FAULTS), self.chance.choice(METHODS)
        self.strike(name)
        self.one.sandbox.fault(name, method=method, times=self.chance.randint(1, 5), delay_s=20)

    async def revoke(self) -> None:
        """The token does not work; after a while the same string works again."""
        fault, token = self.chance.choice(TOKEN_FAULTS), self.one.workspace.token
        self.strike(fault)
        self.one.workspace.revoke(token, fault)

        async def reinstate() -> None:
            self.one.workspace.reinstate(token)

        self._later(self.chance.uniform(1, 5), reinstate)

    async def close_channel(self) -> None:
        """A channel is archived, or the bot leaves it; a person mends that later."""
        workspace, name = self.one.workspace, self.chance.choice(CHANNELS)
        archived = self.chance.random() < 0.5
        self.strike("channel archived" if archived else "bot kicked")
        (workspace.archive if archived else workspace.kick)(name)

        async def open_again() -> None:
            (workspace.unarchive if archived else workspace.invite)(name)

        self._later(self.chance.uniform(1, 8), open_again)

    async def leave_slack(self) -> None:
        """Nobody listens at Slack's address."""
        away_s = self.chance.uniform(0.5, 4)
        if "Slack" in self.paused:
            return
        self.strike("Slack away")
        self.paused.add("Slack")
        await self.one.slack_down()

        async def come_back() -> None:
            await self.one.slack_up()
            self.paused.discard("Slack")

        self._later(away_s, come_back)

    def _one_of(self, role: str) -> int:
        """One of the processes of a kind; none while it starts."""
        pids = [self.kept.up] if role == "up" else []
        pids += sorted(pid for pid, its in self.kept.roles().items() if its == role)
        return self.chance.choice(pids) if pids else 0

    def _later(self, in_s: float, heal: Callable[[], Coroutine[None, None, None]]) -> None:
        async def wait() -> None:
            await asyncio.sleep(in_s)
            await heal()

        task = asyncio.create_task(wait())
        self._healing.add(task)
        task.add_done_callback(self._healing.discard)


Blow = Callable[[], Awaitable[None]]


async def flush_celery(one: Installation) -> None:
    """Everything Celery keeps in Redis: its queues, what is unacknowledged, its bindings."""

    async def flush() -> bool:
        keys = [key async for key in one.redis.scan_iter("ik:celery:*")]
        return not keys or await one.redis.delete(*keys) >= 0

    await until(flush, "Celery's keys are deleted")


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)

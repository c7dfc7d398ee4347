"""A small Slack over HTTP, which behaves like Slack where it hurts.

Real: scopes, token states, membership, archived channels, paging, Block Kit's limits, one message a second
and channel, method tiers, and every broken answer seen in the wild (on demand). Not for production.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import web

from worker.domain.errors import Problem
from worker.sandbox import server
from worker.sandbox.calls import Answer, Call, Met, Refused
from worker.sandbox.faults import STORED, Fault, Faults
from worker.sandbox.ids import Clock
from worker.sandbox.journal import Journal
from worker.sandbox.methods import METHODS
from worker.sandbox.pace import Allowance, TooFast
from worker.sandbox.state import Channel, Json, Token, Workspace

KEPT_CALLS = 100_000
WRITES = ("chat.postMessage", "chat.update", "chat.delete")


class SlackSandbox:
    """Workspaces, the pace Slack keeps, the faults to come, and a record of every call.

    `burst` posts to a channel are taken at once, those beyond `rate_per_channel` a second flagged `hidden`;
    a rate of 0 is no limit. `tier_burst` is how much of a minute's allowance other methods take at once.
    With a `journal` file, channels that come back under their name have their messages again.
    """

    def __init__(
        self,
        rate_per_channel: float = 1.0,
        burst: float = 1,
        tiers: bool = True,
        latency_s: float = 0.0,
        *,
        tier_burst: float = 1.0,
        journal: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.workspaces: dict[str, Workspace] = {}
        self.tiers = tiers
        self.latency_s = latency_s
        self.outage: bool | str = False
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.call_log: deque[Met] = deque(maxlen=KEPT_CALLS)
        self.violations: Counter[str] = Counter()
        self.url = ""
        self._clock = Clock(now)
        self._journal = Journal(journal)
        self._monotonic = monotonic
        self.set_rate(rate_per_channel, burst)
        self._tiers = {
            name: Allowance(60 / method.per_minute, max(method.per_minute * tier_burst, 1))
            for name, method in METHODS.items()
        }
        self.closing = asyncio.Event()

    def add_workspace(self, name: str, bot_name: str = "InfraKitchen") -> Workspace:
        """A workspace with the app installed; its `token` has the five scopes."""
        workspace = Workspace(name, bot_name, self._clock, self._journal.read())
        self.workspaces[workspace.team_id] = workspace
        return workspace

    def set_rate(self, per_channel: float, burst: float = 1) -> None:
        """Another pace for posts from now on; 0 is no limit."""
        self._posts = Allowance(1 / per_channel if per_channel else 0, burst)

    def fault(
        self,
        name: str,
        *,
        method: str = "chat.postMessage",
        channel: str = "",
        times: int = 1,
        retry_after: float = 1,
        delay_s: float = 60.0,
        stored: bool | None = None,
    ) -> None:
        """Have the next `times` calls of a method (`*` for any) meet a fault; 0 is until `faults.clear()`.

        `name` is one of `faults.py`, or an error code of Slack's. `stored` overrides whether the call takes
        effect although its answer is spoilt.
        """
        effect = name in STORED if stored is None else stored
        self.faults.add(Fault(name, method, channel.removeprefix("#"), times, retry_after, delay_s, effect))

    def reset(self) -> None:
        """No messages, faults, outage, latency or counts; workspaces, channels and tokens stay."""
        for workspace in self.workspaces.values():
            for channel in workspace.channels.values():
                channel.posts.clear()
        for counts in (self.calls, self.outcomes, self.call_log, self.violations, self._posts.due_s):
            counts.clear()
        for allowance in self._tiers.values():
            allowance.due_s.clear()
        self.faults.clear()
        self._journal.clear()
        self.outage = False
        self.latency_s = 0.0

    def find(self, channel: str) -> Channel | None:
        """A channel of any workspace by id, name, or its person's user id or email."""
        return next((found for w in self.workspaces.values() if (found := w.find(channel))), None)

    def messages(self, channel: str | Channel) -> list[Json]:
        """A channel's messages, oldest first: as sent, with what became of each (`Post.told`)."""
        found = channel if isinstance(channel, Channel) else self.find(channel)
        return [post.told() for post in found.posts.values()] if found else []

    @contextlib.asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Serve on a port of its own, or on this one; gives the Web API's base URL."""
        self.closing = asyncio.Event()
        runner = web.AppRunner(server.application(self), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                raise Problem(f"the sandbox cannot serve on {host}:{port} ({error.strerror})") from error
            self.url = f"http://{host}:{runner.addresses[0][1]}/"
            yield f"{self.url}api/"
        finally:
            self.closing.set()
            await runner.cleanup()

    def answer(self, name: str, args: Json, token: str) -> Answer:
        """What Slack answers to a call, its limits and scopes kept; the call takes effect."""
        headers: dict[str, str] = {}
        try:
            if name == "api.test":
                return Answer(_echo(args), headers)
            if name not in METHODS:
                return Answer({"ok": False, "error": "unknown_method", "req_method": name}, headers)
            workspace, held = self._authenticate(token)
            method = METHODS[name]
            headers["x-oauth-scopes"] = ",".join(held.scopes)
            headers["x-accepted-oauth-scopes"] = ",".join(method.scopes)
            if self.tiers:
                self._tiers[name].take(workspace.team_id, self._monotonic())
            url = self.url or f"https://{workspace.domain}.slack.com/"
            call = Call(args, workspace, held, self._take_slot, url)
            call.needs(*method.scopes)
            body = method.answer(call)
            if name in WRITES:
                self._journal.write(workspace.channels[body["channel"]].posts[body["ts"]])
            return Answer(body, headers)
        except Refused as refused:
            return Answer(refused.answer, headers)
        except TooFast as too_fast:
            self.violations["refused"] += 1
            return Answer({"ok": False, "error": "ratelimited"}, headers, too_fast.retry_after_s)

    def next_fault(self, method: str, channel: str) -> Fault | None:
        """The fault a call meets, if any, whichever way it spells its channel."""
        if self.outage:
            name = self.outage if isinstance(self.outage, str) else "http_503_text"
            return Fault(name, method, "", 0, 30, 60.0, name in STORED)
        if not self.faults:
            return None
        found = self.find(channel) if channel else None
        spellings = {channel.removeprefix("#")} | ({found.id, found.name} if found else set())
        return self.faults.next(method, spellings)

    def record(self, method: str, channel: str, outcome: str) -> None:
        """Count and remember a call."""
        self.calls[method] += 1
        self.outcomes[method, outcome] += 1
        self.call_log.append(Met(self._monotonic(), method, channel, outcome))

    def _authenticate(self, token: str) -> tuple[Workspace, Token]:
        if not token:
            raise Refused("not_authed")
        for workspace in self.workspaces.values():
            if held := workspace.tokens.get(token):
                if held.fault:
                    raise Refused(held.fault)
                return workspace, held
        raise Refused("invalid_auth")

    def _take_slot(self, channel_id: str) -> bool:
        hidden = self._posts.take(channel_id, self._monotonic())
        self.violations["hidden"] += hidden
        return hidden


def _echo(args: Json) -> Json:
    """`api.test` answers what it was given, or the error it was asked for."""
    if error := args.get("error"):
        return {"ok": False, "error": error, "args": args}
    return {"ok": True, "args": args}

"""The Slack sandbox: workspaces, the Web API's methods with their rate limits, faults, and a record of every call.

Real: scopes, token states, membership, archived channels, paging, Block Kit's limits, one message a second and
channel, method tiers, and, on demand, every broken answer that was seen in the wild.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

from worker.sandbox.slack.call import Answer, ApiError, Call, CallRecord, RateLimit
from worker.sandbox.slack.http import Fault, create_application
from worker.sandbox.slack.methods import METHODS
from worker.sandbox.slack.workspace import Channel, Json, Token, Workspace


class SlackSandbox:
    """A small Slack. `rate_per_channel` is posts a second, 0 for no limit; `tiers` limits the other methods."""

    def __init__(
        self, rate_per_channel: float = 1.0, *, tiers: bool = True, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.workspaces: dict[str, Workspace] = {}
        self.tiers = tiers
        self.latency_s = 0.0  #: Delay of every answer.
        self.outage: bool | str = False  #: Every call fails; a text is the name of the fault.
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()  #: By method and outcome.
        self.call_log: deque[CallRecord] = deque(maxlen=100_000)
        #: Calls that were rejected with 429 (`refused`), and posts that only the burst allowed (`hidden`).
        self.violations: Counter[str] = Counter()
        self.url = ""  #: Address while it is served.
        self.closing = asyncio.Event()
        self._monotonic = monotonic
        self.set_rate(rate_per_channel)
        self._tiers = {name: RateLimit(60 / method.per_minute, method.per_minute) for name, method in METHODS.items()}

    def add_workspace(self, name: str, bot_name: str = "InfraKitchen") -> Workspace:
        """Add a workspace with the app installed; its `token` has the required scopes."""
        workspace = Workspace(name, bot_name)
        self.workspaces[workspace.team_id] = workspace
        return workspace

    def set_rate(self, per_channel: float, burst: float = 1) -> None:
        """Set the posts a second of a channel, 0 for no limit; `burst` at once, flagged `hidden` beyond the rate."""
        self._posts = RateLimit(1 / per_channel if per_channel else 0, burst)

    def fault(self, name: str, **options: Any) -> None:
        """Add a fault of the next calls of a method; `options` are fields of Fault."""
        self.faults.append(Fault(name, **options))

    def find(self, reference: str) -> Channel | None:
        """Return a channel of any workspace by id, name, or its person's user id or email, if it exists."""
        channels = (workspace.find(reference) for workspace in self.workspaces.values())
        return next(filter(None, channels), None)

    def messages(self, channel: str | Channel) -> list[Json]:
        """Return a channel's messages as `Post.to_json`, oldest first."""
        match = channel if isinstance(channel, Channel) else self.find(channel)
        return [post.to_json() for post in match.posts.values()] if match else []

    @contextlib.asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Serve the sandbox and yield the Web API's base URL; port 0 is any free one. Raises OSError."""
        self.closing = asyncio.Event()
        runner = web.AppRunner(create_application(self), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            self.url = f"http://{host}:{runner.addresses[0][1]}/"
            yield f"{self.url}api/"
        finally:
            self.closing.set()
            await runner.cleanup()

    def answer(self, name: str, args: Json, token: str) -> Answer:
        """Execute a call, within Slack's limits and scopes, and return the answer."""
        headers: dict[str, str] = {}
        try:
            if name not in METHODS:
                return Answer({"ok": False, "error": "unknown_method", "req_method": name}, headers)
            workspace, bot_token = self._authenticate(token)
            method = METHODS[name]
            headers["x-oauth-scopes"] = ",".join(bot_token.scopes)
            if self.tiers:
                self._tiers[name].take(workspace.team_id, self._monotonic())
            call = Call(args, workspace, bot_token, self._take_slot, self.url)
            call.require_scope(*method.scopes)
            return Answer(method.answer(call), headers)
        except ApiError as error:
            if error.retry_after_s:
                self.violations["refused"] += 1
                headers["Retry-After"] = str(error.retry_after_s)
            return Answer(error.body, headers)

    def take_fault(self, method: str, channel: str) -> Fault | None:
        """Return the fault of a call, if any, however the call spells its channel."""
        if self.outage:
            return Fault(self.outage if isinstance(self.outage, str) else "http_503_text", retry_after=30)
        if not self.faults:
            return None
        match = self.find(channel) if channel else None
        spellings = {"", channel.removeprefix("#")} | ({match.id, match.name} if match else set())
        for fault in self.faults:
            if fault.method in (method, "*") and fault.channel in spellings:
                if fault.times == 1:
                    self.faults.remove(fault)
                fault.times -= 1 if fault.times else 0
                return fault
        return None

    def record(self, method: str, channel: str, outcome: str) -> None:
        """Count a call and add it to the log."""
        self.calls[method] += 1
        self.outcomes[method, outcome] += 1
        self.call_log.append(CallRecord(self._monotonic(), method, channel, outcome))

    def _authenticate(self, token: str) -> tuple[Workspace, Token]:
        if not token:
            raise ApiError("not_authed")
        for workspace in self.workspaces.values():
            if bot_token := workspace.tokens.get(token):
                if bot_token.fault:
                    raise ApiError(bot_token.fault)
                return workspace, bot_token
        raise ApiError("invalid_auth")

    def _take_slot(self, channel_id: str) -> bool:
        hidden = self._posts.take(channel_id, self._monotonic())
        self.violations["hidden"] += hidden
        return hidden

"""The Slack sandbox: workspaces, the Web API's methods with their rate limits, faults, and a record of every call.

Real: scopes, token states, membership, archived channels, paging, Block Kit's limits, one message a second and
channel, method tiers, and, on demand, every broken answer that was seen in the wild. Other processes control it by
`GET /sandbox/state`, and `POST /sandbox/<action>` with JSON arguments.
"""

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from aiohttp import web

from worker.sandbox.slack.call import Answer, ApiError, Call, CallRecord, RateLimit
from worker.sandbox.slack.methods import METHODS
from worker.sandbox.slack.page import Page
from worker.sandbox.slack.workspace import Channel, Json, Token, Workspace

# Faults of HTTP and the network whose call takes effect. Those without effect are in RESPONSES and in `_spoil`; any
# other name is an error code, which the sandbox answers as Slack would.
STORED = frozenset({"reset_after", "close_after", "slow", "bad_json", "truncated_json", "empty_body", "json_list"})

GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
RESPONSES = {
    "http_500": (500, "text/plain", "Internal Server Error"),
    "http_502_html": (502, "text/html", GATEWAY_PAGE),
    "http_503_text": (503, "text/plain", "Service Unavailable"),
    "bad_json": (200, "application/json", "upstream connect error or disconnect/reset before headers"),
    "empty_body": (200, "application/json", ""),
    "json_list": (200, "application/json", "[]"),
}

#: Actions that are methods of the first workspace, with the same arguments.
WORKSPACE_ACTIONS = frozenset({"invite", "kick", "archive", "unarchive", "rename", "revoke", "reinstate"})


@dataclass(slots=True)
class Fault:
    """A fault of the next calls of a method."""

    name: str
    method: str = "chat.postMessage"  #: `*` is any method.
    channel: str = ""  #: Empty is any channel.
    times: int = 1  #: Calls that are left; 0 is until the faults are cleared.
    retry_after: float = 1
    delay_s: float = 60.0
    stored: bool | None = None  #: The call takes effect although its answer is spoilt; None is what the name says.

    def __post_init__(self) -> None:
        self.channel = self.channel.removeprefix("#")
        if self.stored is None:
            self.stored = self.name in STORED


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


def create_application(sandbox: SlackSandbox) -> web.Application:
    """Create the application that serves the sandbox."""
    application, page = web.Application(client_max_size=8 * 1024 * 1024), Page(sandbox.workspaces)
    application.add_routes((
        web.route("*", "/api/{method}", partial(_serve_call, sandbox)),
        web.get("/sandbox/state", partial(_show_state, sandbox)),
        web.post("/sandbox/{action}", partial(_act, sandbox)),
        web.get("/", page.open_busiest_channel),
        web.get("/workspace/{workspace}", page.open_busiest_channel),
        web.get("/channel/{channel}", page.show_channel),
        web.get("/archives/{channel}/{message}", page.follow_permalink),
    ))  # fmt: skip
    return application


async def _serve_call(sandbox: SlackSandbox, request: web.Request) -> web.Response:
    """Serve a call of the Web API, with its fault if there is one."""
    method = request.match_info["method"]
    token = request.headers.get("Authorization", "").removeprefix("Bearer").strip()
    args: Json = {}
    answer: Answer | None = None
    try:
        args = await _read_arguments(request, takes_json=method not in METHODS or METHODS[method].takes_json)
    except ApiError as error:
        answer = Answer(error.body)
    channel = str(args.get("channel", ""))
    fault = sandbox.take_fault(method, channel)
    if answer is None:
        answer = sandbox.answer(method, args, token) if fault is None or fault.stored else Answer({})
    sandbox.record(method, channel, fault.name if fault else answer.body.get("error", "ok"))
    await _pause(sandbox, sandbox.latency_s)
    status = 429 if "Retry-After" in answer.headers else 200
    response = _make_response(status, "application/json", json.dumps(answer.body), answer.headers)
    return await _spoil(sandbox, request, response, fault) if fault else response


async def _read_arguments(request: web.Request, *, takes_json: bool) -> Json:
    args: Json = dict(request.query)
    if request.method != "POST" or not request.can_read_body:
        return args
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.read())
        except ValueError:
            raise ApiError("invalid_json") from None
        if not isinstance(body, dict):
            raise ApiError("json_not_object")
        return args | body if takes_json else args
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return args | {name: str(value) for name, value in (await request.post()).items()}
    raise ApiError("invalid_post_type")


async def _spoil(sandbox: SlackSandbox, request: web.Request, response: web.Response, fault: Fault) -> web.Response:
    """Return the response that the caller gets because of a fault, or end the connection."""
    if fault.name in ("slow", "hang"):
        await _pause(sandbox, fault.delay_s)
    error = json.dumps({"ok": False, "error": fault.name})
    match fault.name:
        case "slow":
            return response
        case "ratelimited":
            return _make_response(429, "application/json", error, {"Retry-After": str(int(fault.retry_after))})
        case "truncated_json":
            text = response.text or ""
            return _make_response(200, "application/json", text[: len(text) // 2])
        case "hang" | "close_before" | "close_after" | "reset_before" | "reset_after":
            if (transport := request.transport) is not None:
                connection = transport.get_extra_info("socket")
                if fault.name.startswith("reset") and connection is not None:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()
            return response
    return _make_response(*RESPONSES.get(fault.name, (200, "application/json", error)))


async def _pause(sandbox: SlackSandbox, delay_s: float) -> None:
    """Wait, but no longer than the server runs."""
    if delay_s > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await sandbox.closing.wait()


def _make_response(status: int, content_type: str, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, content_type=content_type, charset="utf-8", text=text, headers=headers)


async def _act(sandbox: SlackSandbox, request: web.Request) -> web.Response:
    """Execute an action. Only JSON is accepted: a page of another site cannot send it without permission."""
    if request.content_type != "application/json":
        return _failure(415, "send application/json")
    action = request.match_info["action"]
    try:
        args = json.loads(await request.read() or b"{}")
        if action == "outage":
            sandbox.outage = args.get("on", True) and args.get("fault", True)
        elif action == "fault":
            sandbox.fault(**args)
        elif action in WORKSPACE_ACTIONS:
            getattr(next(iter(sandbox.workspaces.values())), action)(**args)
        else:
            return _failure(404, f"no action {action}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return _failure(400, f"{type(error).__name__}: {error}")
    return web.json_response({"ok": True})


def _failure(status: int, reason: str) -> web.Response:
    return web.json_response({"ok": False, "error": reason}, status=status)


async def _show_state(sandbox: SlackSandbox, _request: web.Request) -> web.Response:
    """Show the whole state but for the messages."""
    outcomes: dict[str, dict[str, int]] = {}
    for (method, outcome), count in sandbox.outcomes.items():
        outcomes.setdefault(method, {})[outcome] = count
    state = {name: getattr(sandbox, name) for name in ("url", "outage", "latency_s", "calls", "violations")}
    workspaces = [_workspace_json(workspace) for workspace in sandbox.workspaces.values()]
    faults = [asdict(fault) for fault in sandbox.faults]
    return web.json_response({**state, "workspaces": workspaces, "faults": faults, "outcomes": outcomes})


def _workspace_json(workspace: Workspace) -> Json:
    channel_fields = ("id", "name", "private", "member", "archived", "user_id")
    return {
        **{name: getattr(workspace, name) for name in ("team_id", "name", "bot_name", "bot_user_id", "token")},
        "tokens": [asdict(token) for token in workspace.tokens.values()],
        "channels": [
            {**{name: getattr(channel, name) for name in channel_fields}, "messages": len(channel.posts)}
            for channel in workspace.channels.values()
        ],
        "users": [asdict(user) for user in workspace.users.values()],
    }

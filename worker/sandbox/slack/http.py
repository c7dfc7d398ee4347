"""The sandbox over HTTP: the Web API with faults on demand, and controls for other processes.

The controls are `GET /sandbox/state`, and `POST /sandbox/<action>` with JSON arguments.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from worker.sandbox.slack.call import Answer, ApiError
from worker.sandbox.slack.methods import METHODS
from worker.sandbox.slack.page import Page
from worker.sandbox.slack.workspace import Json, Workspace

if TYPE_CHECKING:
    from worker.sandbox.slack.server import SlackSandbox

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


def create_application(sandbox: "SlackSandbox") -> web.Application:
    """Create the application that serves the sandbox."""
    application, page = web.Application(client_max_size=8 * 1024 * 1024), Page(sandbox)
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


async def _serve_call(sandbox: "SlackSandbox", request: web.Request) -> web.Response:
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


async def _spoil(sandbox: "SlackSandbox", request: web.Request, response: web.Response, fault: Fault) -> web.Response:
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


async def _pause(sandbox: "SlackSandbox", delay_s: float) -> None:
    """Wait, but no longer than the server runs."""
    if delay_s > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await sandbox.closing.wait()


def _make_response(status: int, content_type: str, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, content_type=content_type, charset="utf-8", text=text, headers=headers)


async def _act(sandbox: "SlackSandbox", request: web.Request) -> web.Response:
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


async def _show_state(sandbox: "SlackSandbox", _request: web.Request) -> web.Response:
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

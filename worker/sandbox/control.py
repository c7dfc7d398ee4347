"""The sandbox's controls for other processes: `POST /sandbox/<action>` with JSON, and what it holds."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web

from worker.sandbox.state import Channel, Json, Workspace

if TYPE_CHECKING:
    from worker.sandbox.slack import SlackSandbox


def routes(sandbox: "SlackSandbox") -> list[web.RouteDef]:
    """The routes under `/sandbox/`."""

    async def act(request: web.Request) -> web.Response:
        return await _act(sandbox, request)

    async def state(_request: web.Request) -> web.Response:
        return web.json_response(described(sandbox))

    async def messages(request: web.Request) -> web.Response:
        channel = request.query.get("channel", "")
        if sandbox.find(channel) is None:
            return web.json_response({"ok": False, "error": f"no channel {channel}"}, status=404)
        return web.json_response(sandbox.messages(channel))

    async def calls(request: web.Request) -> web.Response:
        return web.json_response(_calls(sandbox, int(request.query.get("limit", "1000"))))

    return [
        web.get("/sandbox/state", state),
        web.get("/sandbox/messages", messages),
        web.get("/sandbox/calls", calls),
        web.post("/sandbox/{action}", act),
    ]


def described(sandbox: "SlackSandbox") -> Json:
    """Everything the sandbox holds but the messages themselves."""
    return {
        "url": sandbox.url,
        "workspaces": [_workspace(workspace) for workspace in sandbox.workspaces.values()],
        "faults": sandbox.faults.told(),
        "outage": sandbox.outage,
        "latency_s": sandbox.latency_s,
        "calls": dict(sandbox.calls),
        "violations": dict(sandbox.violations),
    }


async def _act(sandbox: "SlackSandbox", request: web.Request) -> web.Response:
    """Do one action. Only JSON is taken: no page of another site can send that unasked."""
    if request.content_type != "application/json":
        return web.json_response({"ok": False, "error": "send application/json"}, status=415)
    name = request.match_info["action"]
    try:
        given = json.loads(await request.read() or b"{}")
        if name in _ON_SANDBOX:
            result = _ON_SANDBOX[name](sandbox, given)
        elif name in _ON_WORKSPACE:
            result = _ON_WORKSPACE[name](_workspace_of(sandbox, given), given)
        else:
            return web.json_response({"ok": False, "error": f"no action {name}"}, status=404)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return web.json_response({"ok": False, "error": f"{type(error).__name__}: {error}"}, status=400)
    return web.json_response({"ok": True, **(result or {})})


def _workspace_of(sandbox: "SlackSandbox", given: Json) -> Workspace:
    """The workspace named by name or id; without one, the first."""
    wanted = given.pop("workspace", "")
    for workspace in sandbox.workspaces.values():
        if not wanted or wanted in (workspace.name, workspace.team_id):
            return workspace
    raise KeyError(f"no workspace {wanted}")


def _set_outage(sandbox: "SlackSandbox", given: Json) -> None:
    sandbox.outage = given.get("on", True) and given.get("fault", True)


def _set_latency(sandbox: "SlackSandbox", given: Json) -> None:
    sandbox.latency_s = float(given["latency_s"])


_ON_SANDBOX: dict[str, Callable[["SlackSandbox", Json], Json | None]] = {
    "add_workspace": lambda sandbox, given: _workspace(sandbox.add_workspace(**given)),
    "fault": lambda sandbox, given: sandbox.fault(**given),
    "outage": _set_outage,
    "latency": _set_latency,
    "reset": lambda sandbox, _given: sandbox.reset(),
}
_ON_WORKSPACE: dict[str, Callable[[Workspace, Json], Json | None]] = {
    "add_channel": lambda workspace, given: _channel(workspace.add_channel(**given)),
    "add_user": lambda workspace, given: {"id": workspace.add_user(**given).id},
    "add_token": lambda workspace, given: {"token": workspace.add_token(**given)},
    "revoke": lambda workspace, given: workspace.revoke(given.pop("token", workspace.token), **given),
    "reinstate": lambda workspace, given: workspace.reinstate(given.get("token", workspace.token)),
    "invite": lambda workspace, given: workspace.invite(given["channel"]),
    "kick": lambda workspace, given: workspace.kick(given["channel"]),
    "archive": lambda workspace, given: workspace.archive(given["channel"]),
    "unarchive": lambda workspace, given: workspace.unarchive(given["channel"]),
    "rename": lambda workspace, given: workspace.rename(given["channel"], given["name"]),
    "make_private": lambda workspace, given: workspace.make_private(given["channel"]),
    "deactivate": lambda workspace, given: workspace.deactivate(given["user"]),
    "reactivate": lambda workspace, given: workspace.reactivate(given["user"]),
    "delete": lambda workspace, given: workspace.delete(given["channel"]),
}


def _workspace(workspace: Workspace) -> Json:
    tokens = workspace.tokens.values()
    return {
        "team_id": workspace.team_id,
        "name": workspace.name,
        "bot_name": workspace.bot_name,
        "bot_user_id": workspace.bot_user_id,
        "token": workspace.token,
        "tokens": [{"token": t.value, "scopes": list(t.scopes), "fault": t.fault} for t in tokens],
        "channels": [_channel(channel) for channel in workspace.channels.values()],
        "users": [{"id": u.id, "email": u.email, "deleted": u.deleted} for u in workspace.users.values()],
    }


def _channel(channel: Channel) -> Json:
    shown = ("id", "name", "private", "member", "archived", "user_id")
    return {**{name: getattr(channel, name) for name in shown}, "messages": len(channel.posts)}


def _calls(sandbox: "SlackSandbox", limit: int) -> Json:
    outcomes: dict[str, dict[str, int]] = {}
    for (method, outcome), count in sandbox.outcomes.items():
        outcomes.setdefault(method, {})[outcome] = count
    log = [met._asdict() for met in list(sandbox.call_log)[-limit:]] if limit else []
    counts = {"calls": dict(sandbox.calls), "violations": dict(sandbox.violations)}
    return {**counts, "outcomes": outcomes, "log": log}

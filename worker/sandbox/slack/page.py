"""Page of the sandbox: a channel's messages as Slack shows them, at `/channel/<id>`."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from aiohttp import web

from worker.message_preview.html import Renderer, ShownMessage, arrange_messages, render_template
from worker.sandbox.slack.workspace import Channel, Json, Workspace

SIDEBAR_LIMIT = 200
MESSAGE_LIMIT = 200  # the newest; older messages are shown at ?all=1


class Page:
    """The page; it remembers how many messages of each channel were seen, for one reader."""

    def __init__(self, workspaces: Mapping[str, Workspace]) -> None:
        self._workspaces = workspaces
        self._seen: dict[str, int] = {}

    async def open_busiest_channel(self, request: web.Request) -> web.Response:
        """Redirect to the channel with the most messages, of one workspace or of all."""
        team_id = request.match_info.get("workspace")
        workspaces = [it for it in self._workspaces.values() if team_id in (None, it.team_id)]
        channels = [channel for workspace in workspaces for channel in workspace.channels.values()]
        if not channels:
            return _html_response(nothing="There is no channel yet.", title="Sandbox", status=404)
        busiest = max(channels, key=lambda channel: len(channel.posts))
        raise web.HTTPFound(f"/channel/{busiest.id}")

    async def show_channel(self, request: web.Request) -> web.Response:
        """Show one channel's messages; `?all=1` shows the older messages too."""
        channel_id = request.match_info["channel"]
        workspaces = list(self._workspaces.values())
        workspace = next((workspace for workspace in workspaces if channel_id in workspace.channels), None)
        if workspace is None:
            reason = "There is no such channel, or it was deleted."
            return _html_response(nothing=reason, title="Sandbox", status=404)
        channel = workspace.channels[channel_id]
        self._seen[channel_id] = len(channel.posts)
        now = datetime.now(UTC).astimezone()
        shown = [ShownMessage(p.ts, p.sent, p.hidden, p.edited, p.deleted) for p in channel.posts.values()]
        messages, older = arrange_messages(shown, now, 0 if "all" in request.query else MESSAGE_LIMIT)
        return _html_response(
            live="X-Live" in request.headers, workspaces=workspaces, workspace=workspace, bot_name=workspace.bot_name,
            channel=channel, title=_title(workspace, channel), sidebar=self._sidebar(workspace, channel),
            messages=messages, older=older, draw=Renderer(now, workspace.find_name),
        )  # fmt: skip

    async def follow_permalink(self, request: web.Request) -> web.Response:
        """Redirect a message's permalink to the message on its channel's page."""
        raise web.HTTPFound("/channel/{channel}?all=1#{message}".format(**request.match_info))

    def _sidebar(self, workspace: Workspace, current: Channel) -> Json:
        """Return channels and people by name with their unread counts: the busiest when there are too many."""
        busiest = sorted(workspace.channels.values(), key=lambda channel: -len(channel.posts))[:SIDEBAR_LIMIT]
        entries: list[Json] = []
        for channel in busiest:
            unread = max(len(channel.posts) - self._seen.get(channel.id, 0), 0)
            title, is_current = _title(workspace, channel), channel is current
            entries.append({"channel": channel, "title": title, "unread": unread, "current": is_current})
        entries.sort(key=lambda entry: entry["title"])
        people = [entry for entry in entries if entry["channel"].user_id]
        channels = [entry for entry in entries if not entry["channel"].user_id]
        return {"channels": channels, "people": people, "hidden": len(workspace.channels) - len(entries)}


def _title(workspace: Workspace, channel: Channel) -> str:
    return workspace.users[channel.user_id].name if channel.user_id else channel.name


def _html_response(*, status: int = 200, **context: object) -> web.Response:
    nonce = secrets.token_urlsafe(12)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }  # fmt: skip
    text = render_template("sandbox.html", nonce=nonce, **context)
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=headers)

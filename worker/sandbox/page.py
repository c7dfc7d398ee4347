"""The page that shows the sandbox's messages as Slack would; `/channel/<id>` is a channel's address."""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import jinja2
from aiohttp import web
from markupsafe import Markup

from worker.sandbox import view
from worker.sandbox.ids import Clock
from worker.sandbox.state import Channel, Json, Post, Workspace

if TYPE_CHECKING:
    from worker.sandbox.slack import SlackSandbox

SIDEBAR_LIMIT = 200


def routes(sandbox: "SlackSandbox") -> list[web.RouteDef]:
    """The routes of the page."""
    page = Page(sandbox)
    return [
        web.get("/", page.first),
        web.get("/workspace/{workspace}", page.first),
        web.get("/channel/{channel}", page.channel),
        web.get("/archives/{channel}/{message}", page.permalink),
    ]


def picture(posts: Iterable[Post], now: datetime, bot_name: str = "InfraKitchen") -> str:
    """Messages and their threads alone, as a page of its own that loads nothing.

    It writes its height in CSS pixels into `data-height` of its root, for whoever takes a picture of it.
    """
    channel = Channel("C0PICTURE", "picture", posts={post.ts: post for post in posts})
    workspace = Workspace("", bot_name, Clock())
    shown, _ = view.messages(channel, now, 0)
    return _template().render(
        nonce=secrets.token_urlsafe(12),
        picture=True,
        workspace=workspace,
        messages=shown,
        draw=view.Drawn(workspace, now),
    )


def drawn(sent: Json, now: datetime, bot_name: str = "InfraKitchen") -> Markup:
    """What `chat.postMessage` is sent, as a part of another page, which brings the style."""
    draw = view.Drawn(Workspace("", bot_name, Clock()), now)
    return Markup(_template("blocks.html").render(sent=sent, draw=draw))  # noqa: S704  # escaped by itself


class Page:
    """The page; it remembers how far each channel was read, for one reader."""

    def __init__(self, sandbox: "SlackSandbox") -> None:
        self._sandbox = sandbox
        self._read: dict[str, int] = {}

    async def first(self, request: web.Request) -> web.Response:
        """The busiest channel of the workspace asked for, or of any."""
        workspaces = list(self._sandbox.workspaces.values())
        if wanted := request.match_info.get("workspace"):
            workspaces = [workspace for workspace in workspaces if workspace.team_id == wanted]
        busiest = [channel for workspace in workspaces if (channel := view.busiest(workspace))]
        if not busiest:
            return self._nothing("There is no channel yet.")
        channel = max(busiest, key=lambda each: len(each.posts))
        raise web.HTTPFound(f"/channel/{channel.id}")

    async def channel(self, request: web.Request) -> web.Response:
        """One channel's messages; `?all=1` for the older ones too."""
        found = self._find(request.match_info["channel"])
        if found is None:
            return self._nothing("There is no such channel, or it was deleted.")
        self._read[found[1].id] = len(found[1].posts)
        nonce = secrets.token_urlsafe(12)
        context = self._context(*found, everything="all" in request.query)
        text = _template().render(nonce=nonce, live="X-Live" in request.headers, **context)
        return _html(text, nonce)

    async def permalink(self, request: web.Request) -> web.Response:
        """A message's address leads to its place on its channel's page."""
        channel, message = request.match_info["channel"], request.match_info["message"]
        raise web.HTTPFound(f"/channel/{channel}?all=1#{message}")

    def _find(self, channel_id: str) -> tuple[Workspace, Channel] | None:
        for workspace in self._sandbox.workspaces.values():
            if channel := workspace.channels.get(channel_id):
                return workspace, channel
        return None

    def _context(self, workspace: Workspace, channel: Channel, *, everything: bool) -> Json:
        now = datetime.now(UTC).astimezone()
        shown, older = view.messages(channel, now, 0 if everything else view.SHOWN)
        return {
            "workspaces": list(self._sandbox.workspaces.values()),
            "workspace": workspace,
            "channel": channel,
            "title": self._title(workspace, channel),
            "sidebar": self._sidebar(workspace, channel),
            "messages": shown,
            "older": older,
            "draw": view.Drawn(workspace, now),
        }

    def _sidebar(self, workspace: Workspace, current: Channel) -> Json:
        """Channels and people by name, each with what was not read; of very many, the busiest."""
        busiest = sorted(workspace.channels.values(), key=lambda each: -len(each.posts))[:SIDEBAR_LIMIT]
        entries = [self._entry(workspace, each, current) for each in busiest]
        entries.sort(key=lambda entry: entry["title"])
        return {
            "channels": [entry for entry in entries if not entry["channel"].user_id],
            "people": [entry for entry in entries if entry["channel"].user_id],
            "hidden": len(workspace.channels) - len(entries),
        }

    def _entry(self, workspace: Workspace, channel: Channel, current: Channel) -> Json:
        unread = max(len(channel.posts) - self._read.get(channel.id, 0), 0)
        title = self._title(workspace, channel)
        return {"channel": channel, "title": title, "unread": unread, "current": channel is current}

    def _title(self, workspace: Workspace, channel: Channel) -> str:
        return workspace.users[channel.user_id].name if channel.user_id else channel.name

    def _nothing(self, reason: str) -> web.Response:
        nonce = secrets.token_urlsafe(12)
        return _html(_template().render(nonce=nonce, nothing=reason, title="Sandbox"), nonce, status=404)


@cache
def _template(name: str = "sandbox.html") -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("worker", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,
    )
    return environment.get_template(name)


def _html(text: str, nonce: str, status: int = 200) -> web.Response:
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=headers)

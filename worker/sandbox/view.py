"""What the page shows of a channel: days, messages and their threads, as the template wants them."""

import re
from dataclasses import dataclass, field
from datetime import datetime

from markupsafe import Markup

from worker.sandbox import emoji, markup, times
from worker.sandbox.state import Channel, Json, Post, Workspace

SHOWN = 200  # the newest messages; older ones at ?all=1
TOGETHER_S = 300.0  # messages closer than this stand under one name
COLOURS = {"good": "#2eb886", "warning": "#daa038", "danger": "#a30200"}


@dataclass(slots=True)
class Shown:
    """A message as the page shows it."""

    post: Post
    at: datetime
    day: str = ""
    compact: bool = False
    replies: list["Shown"] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """The message's name within the page, as in its permalink."""
        return "p" + self.post.ts.replace(".", "")

    @property
    def time(self) -> str:
        """When it was posted."""
        return times.time_of_day(self.at)

    @property
    def moment(self) -> str:
        """The same in full, for those who point at it."""
        return f"{self.at:%b} {self.at.day}, {self.at.year} at {times.time_of_day(self.at, seconds=True)}"


@dataclass(frozen=True, slots=True)
class Drawn:
    """Draws the texts and colours of one workspace's messages."""

    workspace: Workspace
    now: datetime

    def text(self, value: object) -> Markup | str:
        """A text object, or a text that is markup."""
        if not isinstance(value, dict):
            return markup.to_html(str(value), self.workspace, self.now)
        text = str(value.get("text", ""))
        if value.get("type") == "plain_text":
            return emoji.drawn(text)
        return markup.to_html(text, self.workspace, self.now)

    def colour(self, attachment: Json) -> str:
        """The colour of an attachment's bar."""
        given = str(attachment.get("color", ""))
        if given in COLOURS:
            return COLOURS[given]
        found = re.fullmatch(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})", given)
        return f"#{found[1]}" if found else "#dddddd"


def messages(channel: Channel, now: datetime, limit: int) -> tuple[list[Shown], int]:
    """A channel's messages under their days, replies under their parents, and how many are left out."""
    shown: list[Shown] = []
    by_ts: dict[str, Shown] = {}
    tops = [post for post in channel.posts.values() if not _is_reply(post) or _is_broadcast(post)]
    kept = tops[-limit:] if limit else tops
    for post in kept:
        one = Shown(post, times.local(float(post.ts)))
        by_ts[post.ts] = one
        shown.append(one)
    for post in channel.posts.values():
        if _is_reply(post) and not post.deleted and (parent := by_ts.get(post.sent["thread_ts"])):
            parent.replies.append(Shown(post, times.local(float(post.ts))))
    shown = [one for one in shown if one.replies or not one.post.deleted]
    _group(shown, now)
    return shown, len(tops) - len(kept)


def busiest(workspace: Workspace) -> Channel | None:
    """The channel to open first."""
    return max(workspace.channels.values(), key=lambda channel: len(channel.posts), default=None)


def _is_reply(post: Post) -> bool:
    return bool(post.sent.get("thread_ts", post.ts) != post.ts)


def _is_broadcast(post: Post) -> bool:
    """A reply that is shown in the channel too."""
    return bool(post.sent.get("reply_broadcast"))


def _group(shown: list[Shown], now: datetime) -> None:
    """Days where they begin; messages that follow closely share one heading."""
    last: Shown | None = None
    for one in shown:
        if last is None or last.at.date() != one.at.date():
            one.day = times.day(one.at, now)
        elif not last.replies and (one.at - last.at).total_seconds() < TOGETHER_S:
            one.compact = True
        last = one

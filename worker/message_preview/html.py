"""Slack messages as HTML: one message as a part of another page, or messages with their threads as a page."""

import html
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from worker.message_preview import mrkdwn_parser as mrkdwn

GROUP_S = 300.0  # messages closer than this share one heading
COLOURS = {"good": "#2eb886", "warning": "#daa038", "danger": "#a30200"}
_ATTRIBUTES = {
    mrkdwn.Tag.LINK: ' href="{}" target="_blank" rel="noopener noreferrer"',
    mrkdwn.Tag.MENTION: ' class="{}"',
    mrkdwn.Tag.TIME: ' title="{}"',
}


@dataclass(slots=True)
class ShownMessage:
    """A message on a page."""

    ts: str
    sent: Mapping[str, Any]  #: The arguments of `chat.postMessage`.
    is_hidden: bool = False  #: Slack might not display it, because it was posted too fast.
    is_edited: bool = False
    is_deleted: bool = False
    replies: list["ShownMessage"] = field(default_factory=list)
    day: str = ""  #: Label of the day, when this is the first message of a day.
    is_compact: bool = False  #: It shares the heading of the message before it.

    @property
    def at(self) -> datetime:
        """Return the time of the post in this machine's zone."""
        return mrkdwn.local_time(float(self.ts))

    @property
    def anchor(self) -> str:
        """Return the message's fragment of the page's address, as in its permalink."""
        return "p" + self.ts.replace(".", "")

    @property
    def time(self) -> str:
        """Return the time of day of the post."""
        return mrkdwn.time_of_day(self.at)

    @property
    def full_time(self) -> str:
        """Return the date and the time of the post, for a tooltip."""
        return f"{self.at:%b} {self.at.day}, {self.at.year} at {mrkdwn.time_of_day(self.at, with_seconds=True)}"

    @property
    def thread_ts(self) -> str:
        """Return the `ts` of the message whose thread this reply belongs to; empty for a message that is no reply."""
        parent_ts = str(self.sent.get("thread_ts", ""))
        return "" if parent_ts == self.ts else parent_ts


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders the texts and colours of messages; templates call it `draw`."""

    now: datetime
    find_name: Callable[[str], str] = str  #: Returns the name of a person or channel by its id.

    def text(self, value: object) -> Markup | str:
        """Render a text object of Block Kit, or a mrkdwn text."""
        text = str(value.get("text", "") if isinstance(value, dict) else value)
        if isinstance(value, dict) and value.get("type") == "plain_text":
            return mrkdwn.replace_emoji(text)
        return Markup(_html(mrkdwn.parse(text, self.now, self.find_name)))  # noqa: S704  # _html escapes every text

    def colour(self, attachment: Mapping[str, object]) -> str:
        """Return the colour of an attachment's bar."""
        colour = str(attachment.get("color", ""))
        match = re.fullmatch(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})", colour)
        return COLOURS.get(colour) or (f"#{match[1]}" if match else "#dddddd")


def _html(parts: mrkdwn.Parts, line_break: str = "<br>") -> str:
    return "".join(
        html.escape(part).replace("\n", line_break) if isinstance(part, str) else _element_html(part) for part in parts
    )


def _element_html(element: mrkdwn.Element) -> str:
    tag, detail = element.tag, element.detail
    if tag is mrkdwn.Tag.MENTION:
        detail = f"mention {detail}".rstrip()
    attributes = _ATTRIBUTES.get(tag, "").format(html.escape(detail))
    line_break = "\n" if tag in (mrkdwn.Tag.CODE, mrkdwn.Tag.CODE_BLOCK) else "<br>"
    return f"<{tag}{attributes}>{_html(element.inside, line_break)}</{tag}>"


def render_message(sent: Mapping[str, object], now: datetime) -> Markup:
    """Render the arguments of `chat.postMessage` as a part of another page, which brings the style."""
    return Markup(render_template("blocks.html", sent=sent, draw=Renderer(now)))  # noqa: S704  # Jinja escapes it


def render_messages(messages: Iterable[ShownMessage], now: datetime, bot_name: str = "InfraKitchen") -> str:
    """Render messages with their threads as a page that loads nothing, and writes its height into `data-height`."""
    arranged, _ = arrange_messages(list(messages), now)
    nonce = secrets.token_urlsafe(12)
    return render_template("picture.html", nonce=nonce, messages=arranged, bot_name=bot_name, draw=Renderer(now))


def arrange_messages(messages: Sequence[ShownMessage], now: datetime, limit: int = 0) -> tuple[list[ShownMessage], int]:
    """Put replies under parents, messages under days; return the newest `limit` (0: all) and the count of older."""
    in_channel = [message for message in messages if not message.thread_ts or message.sent.get("reply_broadcast")]
    newest = in_channel[-limit:] if limit else in_channel
    by_ts = {message.ts: message for message in newest}
    for message in messages:
        parent = by_ts.get(message.thread_ts)
        if parent and not message.is_deleted:
            # A copy: a reply that is shown in the channel too has a day and a heading there.
            parent.replies.append(replace(message))
    shown = [message for message in newest if message.replies or not message.is_deleted]
    previous: ShownMessage | None = None
    for message in shown:
        if previous is None or previous.at.date() != message.at.date():
            message.day = mrkdwn.day_label(message.at, now)
        elif not previous.replies and (message.at - previous.at).total_seconds() < GROUP_S:
            message.is_compact = True
        previous = message
    return shown, len(in_channel) - len(newest)


def render_template(name: str, /, **context: object) -> str:
    """Render one of the templates that draw messages."""
    return _environment().get_template(name).render(context)


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("worker", "templates")
    undefined = jinja2.ChainableUndefined
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=undefined)

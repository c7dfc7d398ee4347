"""Slack's markup as HTML, for the page; everything that is not markup is escaped.

https://docs.slack.dev/messaging/formatting-message-text
"""

import html
import re
from collections.abc import Callable
from datetime import datetime

from markupsafe import Markup

from worker.sandbox import emoji, times
from worker.sandbox.state import Workspace

_SPECIAL = re.compile(r"```(?P<block>.+?)```|`(?P<code>[^`\n]+)`|<(?P<angle>[^<>\n]+)>", re.DOTALL)
_RESERVED = re.compile(r"[\ue000-\ue002]")  # mark the places of finished HTML


def _style(sign: str, tag: str) -> tuple[re.Pattern[str], str]:
    """Between two signs at the edges of words, on one line."""
    inner = rf"(?=\S)([^\n{sign}]+?)(?<=\S)"
    return re.compile(rf"(?<![\w{sign}]){sign}{inner}{sign}(?![\w{sign}])"), rf"<{tag}>\1</{tag}>"


_STYLES = (_style(r"\*", "strong"), _style("_", "em"), _style("~", "del"))


def to_html(text: str, workspace: Workspace, now: datetime) -> Markup:
    """A mrkdwn text as HTML."""
    finished: list[str] = []

    def keep(fragment: str, *, alone: bool = False) -> str:
        finished.append(fragment)
        return f"{chr(0xE002 if alone else 0xE000)}{len(finished) - 1}\ue001"

    def replace(found: re.Match[str]) -> str:
        if (block := found["block"]) is not None:
            return keep(f"<pre>{_escape(block.removeprefix(chr(10)))}</pre>", alone=True)
        if (code := found["code"]) is not None:
            return keep(f"<code>{_escape(code)}</code>")
        return keep(_angle(found["angle"], workspace, now))

    marked = _SPECIAL.sub(replace, _RESERVED.sub("\ufffd", text))
    shown = _styled(emoji.drawn(_escape(marked)))
    shown = _lines(re.sub(r"\n?(\ue002\d+\ue001)\n?", r"\1", shown))
    filled = re.sub(r"[\ue000\ue002](\d+)\ue001", lambda found: finished[int(found[1])], shown)
    return Markup(filled)  # noqa: S704 - built from escaped text above


def _escape(text: str) -> str:
    """Slack's own three entities become characters, then HTML's take their place."""
    return html.escape(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def _styled(text: str) -> str:
    for pattern, replacement in _STYLES:
        text = pattern.sub(replacement, text)
    return text


def _lines(text: str) -> str:
    """Lines broken, and those that begin with `>` quoted."""
    parts: list[str] = []
    quoted: list[str] = []
    for line in [*text.split("\n"), None]:
        if line is not None and line.startswith("&gt;"):
            quoted.append(line.removeprefix("&gt;").strip())
            continue
        if quoted:
            parts.append(f"<blockquote>{'<br>'.join(quoted)}</blockquote>")
            quoted = []
        if line is not None:
            parts.append(line)
    joined = "<br>".join(parts)
    return (
        re.sub(r"(?:<br>)?(</?blockquote>)(?:<br>)?", r"\1", joined) if "<blockquote>" in joined else joined
    )


def _angle(inner: str, workspace: Workspace, now: datetime) -> str:
    """What stands in angle brackets: a link, a mention, a date."""
    target, _, label = inner.partition("|")
    sign, name = target[:1], target[1:]
    makers: dict[str, Callable[[], str]] = {
        "@": lambda: _mention("@" + (label or _person(name, workspace))),
        "#": lambda: _mention("#" + (label or _channel(name, workspace))),
        "!": lambda: _special(name, label, now),
    }
    if maker := makers.get(sign):
        return maker()
    shown = to_html(label, workspace, now) if label else _escape(target.removeprefix("mailto:"))
    if not re.match(r"(?:https?://|mailto:)", target):
        return _escape(f"<{inner}>")
    return f'<a href="{_escape(target)}" target="_blank" rel="noopener noreferrer">{shown}</a>'


def _special(name: str, label: str, now: datetime) -> str:
    if name.startswith("date^"):
        _, at_s, form, *link = name.split("^")
        try:
            shown = times.formatted(times.local(int(at_s)), form, now)
        except (ValueError, OverflowError, OSError):
            shown = label
        title = _escape(label)
        whole = f'<time title="{title}">{_escape(shown)}</time>'
        linked = link and re.match(r"https?://", link[0])
        return f'<a href="{_escape(link[0])}" rel="noopener noreferrer">{whole}</a>' if linked else whole
    if name.startswith("subteam^"):
        return _mention(label or "@group")
    return _mention(f"@{name}", everyone=True)


def _mention(name: str, *, everyone: bool = False) -> str:
    return f'<span class="mention{" everyone" if everyone else ""}">{_escape(name)}</span>'


def _person(user_id: str, workspace: Workspace) -> str:
    if user_id == workspace.bot_user_id:
        return workspace.bot_name
    return workspace.users[user_id].name if user_id in workspace.users else user_id


def _channel(channel_id: str, workspace: Workspace) -> str:
    channel = workspace.channels.get(channel_id)
    return channel.name if channel else channel_id

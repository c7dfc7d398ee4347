"""Slack's markup as HTML, for the page; everything that is not markup is escaped."""

import html
from datetime import datetime
from functools import partial

from markupsafe import Markup

from worker.sandbox.parts import Code, Link, Mention, Moment, Part, Parts, Style, Styled, parse
from worker.sandbox.state import Workspace

_TAGS = {Style.BOLD: "strong", Style.ITALIC: "em", Style.STRUCK: "del", Style.QUOTE: "blockquote"}


def to_html(text: str, workspace: Workspace, now: datetime) -> Markup:
    """A mrkdwn text as HTML."""
    parts = parse(text, now, partial(_named, workspace))
    return Markup(_html(parts))  # noqa: S704 - built from escaped text below


def _html(parts: Parts) -> str:
    return "".join(map(_part, parts))


def _part(part: Part) -> str:
    match part:
        case str():
            return html.escape(part).replace("\n", "<br>")
        case Styled(style, inside):
            tag = _TAGS[style]
            return f"<{tag}>{_html(inside)}</{tag}>"
        case Code(text, block):
            tag = "pre" if block else "code"
            return f"<{tag}>{html.escape(text)}</{tag}>"
        case Link(url, inside):
            address = html.escape(url)
            return f'<a href="{address}" target="_blank" rel="noopener noreferrer">{_html(inside)}</a>'
        case Mention(name, everyone):
            return f'<span class="mention{" everyone" if everyone else ""}">{html.escape(name)}</span>'
        case Moment(shown, fallback):
            return f'<time title="{html.escape(fallback)}">{html.escape(shown)}</time>'


def _named(workspace: Workspace, id_: str) -> str:
    if id_ == workspace.bot_user_id:
        return workspace.bot_name
    if id_ in workspace.users:
        return workspace.users[id_].name
    return workspace.channels[id_].name if id_ in workspace.channels else id_

"""Templates of the console: their filters, their assets, and how they show hints and pages of lists."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from urllib.parse import quote, urlencode

import jinja2
from fastapi import Request
from markupsafe import Markup, escape

from worker import __version__
from worker.domain.delivery import Attempt, HistoryStep, State
from worker.domain.hints import Action, Code, Hint, Part, Step
from worker.domain.mrkdwn import cut, duration
from worker.services.deliveries import DeliveryTrace
from worker.services.formatting import parse_time_ms, pluralize

MEDIA_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
MAX_BACK = 12  # an address has to stay short enough for every proxy


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load; its address changes with its content, so that a browser loads it once."""

    path: str
    media_type: str
    content: bytes


@cache
def assets() -> dict[str, Asset]:
    """Return all assets by file name."""
    by_name = {}
    for file in files("worker").joinpath("templates", "console", "assets").iterdir():
        content = file.read_bytes()
        stem, _, suffix = file.name.rpartition(".")
        path = f"/assets/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
        by_name[file.name] = Asset(path, MEDIA_TYPES[suffix], content)
    return by_name


@cache
def templates() -> jinja2.Environment:
    """Return the environment of all templates; an undefined name is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("worker", "templates/console"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    filters = (ago, clock, cut, duration, parse_time_ms, pluralize, sentence, utc)
    environment.filters |= {function.__name__: function for function in filters}
    environment.filters |= {"hint": render_hint, "inline_code": render_inline_code}
    environment.globals |= {
        "asset": lambda name: assets()[name].path,
        "timeline_steps": timeline_steps,
        "version": __version__,
    }
    return environment


#: The label and address of each action that has a page; other actions are shown as their commands.
PAGES = {
    Action.ADD_INTEGRATION: ("add the integration", "/integrations/slack/setup"),
    Action.ROTATE_TOKEN: ("rotate the token", "/integrations/{target}#rotate"),
    Action.ENABLE_INTEGRATION: ("enable the integration", "/integrations/{target}"),
    Action.SHOW_MANIFEST: ("open the setup page", "/integrations/slack/setup#manifest"),
    Action.ADD_SUBSCRIPTION: ("add a subscription", "/subscriptions/add"),
    Action.LIST_DELIVERIES: ("open Deliveries", "/deliveries"),
    Action.LIST_PARKED: ("open Parked", "/parked"),
    Action.LIST_DEAD_LETTERS: ("open Dead letters", "/dead-letters"),
    Action.MOVE_SUBSCRIPTION: ("change the subscription", "/subscriptions/{target}/edit"),
    Action.PREVIEW_SUBSCRIPTION: ("preview it", "/subscriptions/{target}/edit#preview"),
    Action.RESUME_LANE: ("open Parked", "/parked"),
    Action.REPLAY_DEAD_LETTER: ("replay it", "/dead-letters/replay?id={target}"),
}
_CODE = Markup(
    '<span class="copied"><code>{0}</code>'
    '<button type="button" class="copy" data-copy="{0}" aria-label="Copy" hidden>Copy</button></span>'
)


@jinja2.pass_context
def render_hint(context: jinja2.runtime.Context, hint: Hint) -> Markup:
    """Render a hint: actions link to their pages, code can be copied."""
    path = str(context["path"])
    return Markup("").join(_render_part(part, path, index == 0) for index, part in enumerate(hint.parts))


def _render_part(part: Part, path: str, is_first: bool) -> Markup:
    match part:
        case Code():
            return _render_code(part.code)
        case Step() if part.action in PAGES:
            label, address = PAGES[part.action]
            is_id_first = part.action is Action.MOVE_SUBSCRIPTION
            target = part.target.partition(" ")[0] if is_id_first else part.target
            to = address.format(target=quote(target, safe=""))
            label = label[:1].upper() + label[1:] if is_first else label
            # A link to the same page would clear its form.
            return escape(label) if to.partition("#")[0] == path else Markup('<a href="{}">{}</a>').format(to, label)
        case Step():
            return Markup("{} ").format("Run" if is_first else "run") + _CODE.format(part.command)
    return escape(part)


def _render_code(code: str) -> Markup:
    """Render code; a single word, such as the beginning of a token, is no command to copy."""
    return _CODE.format(code) if " " in code else Markup("<code>{}</code>").format(code)


def render_inline_code(text: str) -> Markup:
    """Render a text for the terminal, in which back-ticks enclose code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(_render_code(part) if index % 2 else escape(part) for index, part in enumerate(parts))


def sentence(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def utc(at_ms: int) -> Markup:
    """Render a time in UTC; nothing for 0."""
    return _time(at_ms, f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC")


def ago(at_ms: int, now_ms: int) -> Markup:
    """Render how long ago a time is, with the time as its tooltip; nothing for 0."""
    return _time(at_ms, f"{duration(max(now_ms - at_ms, 0) / 1000)} ago")


def _time(at_ms: int, text: str) -> Markup:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    tag = Markup('<time datetime="{:%Y-%m-%dT%H:%M:%SZ}" title="{:%Y-%m-%d %H:%M:%S} UTC">{}</time>')
    return tag.format(at, at, text) if at_ms else Markup("")


def clock(at_ms: int) -> str:
    """Return the time of day in UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%H:%M}"


def timeline_steps(trace: DeliveryTrace) -> list[tuple[int, HistoryStep | None, Attempt | None]]:
    """Return the steps of a delivery in order, each a change or an attempt, without the change to its state now."""
    delivery = trace.delivery
    is_last_shown = delivery.state in (State.DEAD, State.DISCARDED)
    changes = delivery.history[:-1] if is_last_shown else delivery.history
    steps: list[tuple[int, HistoryStep | None, Attempt | None]] = [(step.at_ms, step, None) for step in changes]
    steps += [(attempt.at_ms, None, attempt) for attempt in trace.attempts]
    return sorted(steps, key=lambda step: step[0])


@dataclass(frozen=True, slots=True)
class Paging:
    """The addresses of other pages of a list; empty where there is no such page."""

    first: str
    previous: str
    next: str


def page_cursor(request: Request) -> str | None:
    """Return the cursor of the requested page of a list; None for the first page."""
    return request.query_params.get("after") or None


def paging(request: Request, filters: Mapping[str, str], next_cursor: str | None) -> Paging:
    """Return the links to the other pages of a list, which keep its filters."""
    path, cursor, back = request.scope["path"], page_cursor(request), request.query_params.getlist("back")[-MAX_BACK:]

    def address(after: str | None, back: list[str]) -> str:
        fields = {name: value for name, value in {**filters, "after": after, "back": back}.items() if value}
        return f"{path}?{urlencode(fields, doseq=True)}" if fields else path

    first, previous, next_ = address(None, []), "", ""
    if cursor is not None:
        previous = address(back[-1], back[:-1]) if back else first
    if next_cursor is not None:
        next_ = address(next_cursor, [*back, cursor] if cursor is not None else [])
    return Paging(first if cursor is not None else "", previous, next_)

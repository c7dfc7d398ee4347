"""How pages look: the templates, and the files they load, whose addresses change with their content."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from worker.asking.moments import moment_ms
from worker.asking.story import Way
from worker.asking.wording import count
from worker.domain.delivery import Attempt
from worker.domain.markup import cut, duration
from worker.web.pages.clicks import on_pages
from worker.web.pages.words import here, step

NAVIGATION = (
    ("/", "Overview"),
    ("/integrations", "Integrations"),
    ("/subscriptions", "Subscriptions"),
    ("/deliveries", "Deliveries"),
    ("/parked", "Parked"),
    ("/dead-letters", "Dead letters"),
    ("/explain", "Explain"),
)
"""Shown are those that have a page."""

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load."""

    path: str
    media_type: str
    content: bytes


class Tab(NamedTuple):
    """A page of the navigation."""

    path: str
    name: str
    is_current: bool


@cache
def assets() -> dict[str, Asset]:
    """All of them, by the name of their file."""
    found = {}
    for file in files("worker").joinpath("templates", "pages", "assets").iterdir():
        content = file.read_bytes()
        stem, _, ending = file.name.rpartition(".")
        path = f"/assets/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{ending}"
        found[file.name] = Asset(path, _TYPES[ending], content)
    return found


def tabs(path: str, served: frozenset[str]) -> list[Tab]:
    """The navigation as of a page; the page of one integration belongs to Integrations."""
    return [
        Tab(to, name, path == to or (to != "/" and path.startswith(f"{to}/")))
        for to, name in NAVIGATION
        if to in served
    ]


@cache
def templates() -> jinja2.Environment:
    """A name that is not given is an error, never a gap."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("worker", "templates/pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "moment": moment,
        "ago": ago,
        "clock": clock,
        "length_of_time": duration,
        "cut": cut,
        "count": count,
        "here": here,
        "step": step,
        "moment_ms": moment_ms,
        "on_pages": on_pages,
    }
    environment.globals |= {
        "asset": lambda name: assets()[name].path,
        "steps": steps,
        "version": version("infrakitchen-slack"),
    }
    return environment


def moment(at_ms: int) -> Markup:
    """A moment in UTC, for people and for programs; nothing for 0."""
    if not at_ms:
        return Markup("")
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def clock(at_ms: int) -> str:
    """The time of day in UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%H:%M}"


def ago(at_ms: int, now_ms: int) -> Markup:
    """How long ago a moment is; pointing at it shows the moment."""
    if not at_ms:
        return Markup("")
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return Markup('<time datetime="{}" title="{}">{} ago</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        duration(max(now_ms - at_ms, 0) / 1000),
    )


def steps(way: Way) -> list[tuple[int, Attempt | None]]:
    """What happened to a delivery, in order: each call to Slack, and None for when it was queued."""
    found = [(way.delivery.created_at_ms, None), *((one.at_ms, one) for one in way.attempts)]
    return sorted(found, key=lambda step: step[0])

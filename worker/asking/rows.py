"""Deliveries, calls and times as rows that commands print; texts of events as a terminal may show them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from worker.domain.delivery import Attempt, Delivery
from worker.domain.integration import Conversation, Integration
from worker.domain.markup import clean, cut
from worker.pipeline.reading import event_id_of
from worker.store.pages import MOST, Page

if TYPE_CHECKING:
    from worker.bootstrap import Services

Row = dict[str, object]
AT_ONCE = 500
One = TypeVar("One")


def iso(ms: int) -> str | None:
    """A moment as ISO 8601 in UTC; nothing for 0."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if ms else None


async def first(turn: Callable[[str | None, int], Awaitable[Page[One]]], most: int) -> list[One]:
    """So many rows of a list that is read in pages; all of them for 0."""
    found: list[One] = []
    after: str | None = None
    while True:
        page = await turn(after, most - len(found) if most else MOST)
        found += page.rows
        after = page.next
        if after is None or (most and len(found) >= most):
            return found


def plain_delivery(delivery: Delivery, event_id: str) -> Row:
    """A delivery as JSON. A merged one has the channel and ts of the message that tells it."""
    named = ("subscription_id", "lane", "state", "channel", "ts", "attempts", "error", "detail")
    return {
        "id": delivery.id,
        "event_id": event_id,
        **{name: getattr(delivery, name) for name in named},
        "created_at": iso(delivery.created_at_ms),
        "finished_at": iso(delivery.finished_at_ms),
        **{name: getattr(delivery, name) for name in ("merged_into", "repeated", "replays")},
        "deaths": [{"at": iso(death.at_ms), "reason": death.reason} for death in delivery.deaths],
    }


def plain_integration(integration: Integration) -> Row:
    """An integration as JSON, without its token."""
    texts = ("id", "name", "description", "template", "team_id", "team", "url", "bot_user_id", "bot_name")
    lists = ("labels", "scopes", "missing_scopes")
    return {
        **{name: getattr(integration, name) for name in texts},
        **{name: list(getattr(integration, name)) for name in lists},
        **{name: getattr(integration, name) for name in ("state", "reason", "hint", "since_ms")},
    }


def plain_channel(integration: Integration, channel: Conversation) -> Row:
    """A channel as JSON."""
    flags = ("is_member", "is_archived", "is_private")
    named = {"id": channel.id, "name": channel.name, "integration": integration.name}
    return {**named, **{flag: getattr(channel, flag) for flag in flags}}


def plain_attempt(attempt: Attempt) -> Row:
    """A call to Slack as JSON."""
    plain = asdict(attempt)
    return {"at": iso(plain.pop("at_ms")), **plain}


def permalink(integration: Integration | None, channel: str, ts: str) -> str:
    """Where a message can be read; empty when it was not posted."""
    if integration is None or not integration.url or not ts:
        return ""
    return f"{integration.url}archives/{channel}/p{ts.replace('.', '')}"


async def event_ids(made: "Services", refs: Iterable[str]) -> dict[str, str]:
    """What InfraKitchen calls these events; empty for one that is no longer kept."""
    wanted = sorted(set(refs))
    found: dict[str, str] = {}
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        found |= zip(
            some, await asyncio.gather(*(event_id_of(made.events, ref) for ref in some)), strict=True
        )
    return found


def shown(text: str, limit: int = 300) -> str:
    """A text of an event on one line of a terminal, which it cannot steer."""
    line = " ".join(clean(text).split())
    return cut("".join(sign for sign in line if sign.isprintable()), limit)


def visible(raw: bytes, limit: int) -> str:
    """Bytes as text in which everything that cannot be printed is written out."""
    text = raw[: 4 * limit].decode("utf-8", "backslashreplace")
    signs = (sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    return cut("".join(signs), limit)

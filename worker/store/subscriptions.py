"""Subscriptions as stored: JSON by id; each process keeps them until their version changes."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from worker.domain.delivery import lane_parts
from worker.domain.errors import Missing
from worker.domain.event import Kind, Severity
from worker.domain.subscription import Filters, Subscription, operations_id
from worker.store.server import Server, fields, texts


class Subscriptions:
    """Find, save, remove; a change is seen by every process with its next batch.

    As of the last `all()`: `by_id` are all of them, `lanes_compared` the lanes in which what is told next
    depends on what was told before: of those that want cards, or no repeats; `lanes_of_inhibition` those of
    subscriptions that want workflows in place of their resources.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys = server.keys
        self._version: int | None = None
        self._known: tuple[Subscription, ...] = ()
        self.by_id: dict[str, Subscription] = {}
        self.lanes_compared: frozenset[str] = frozenset()
        self.lanes_of_inhibition: frozenset[str] = frozenset()
        self._reading = asyncio.Lock()

    async def all(self, version: int | None = None) -> tuple[Subscription, ...]:
        """All of them, oldest first; the same object until something changed.

        `version` is the one that counts now, for callers who know it already.
        """
        if version is None:
            version = int(await self._server.command("GET", self._keys.version("subscriptions")) or 0)
        async with self._reading:  # many lanes ask at once after a change; one reads
            if version != self._version:
                stored = fields(await self._server.command("HGETALL", self._keys.named("subscriptions")))
                found = (from_plain(json.loads(kept)) for kept in stored.values())
                self._known = tuple(sorted(found, key=lambda one: (one.created_at_ms, one.id)))
                self.by_id = {one.id: one for one in self._known}
                self.lanes_compared = frozenset(
                    one.lane for one in self._known if one.only_changes or one.style != "plain"
                )
                self.lanes_of_inhibition = frozenset(one.lane for one in self._known if one.inhibit_resources)
                self._version = version
            return self._known

    async def find(self, subscription_id: str) -> Subscription:
        """One by its id; Missing when there is none."""
        for subscription in await self.all():
            if subscription.id == subscription_id:
                return subscription
        raise Missing(f"There is no subscription {subscription_id!r}: see `ik-slack subscriptions list`.")

    async def ever(self) -> list[str]:
        """The ids of all that may have deliveries: the removed ones too, and those of our own warnings."""
        keys = self._keys
        known, removed, lanes = await self._server.each(
            [
                ("HKEYS", keys.named("subscriptions")),
                ("ZRANGE", keys.named("subscriptions:removed"), 0, -1),
                ("SMEMBERS", keys.named("lanes")),
            ]
        )
        ours = {operations_id(lane_parts(lane)[0]) for lane in texts(list(lanes))}
        return sorted({*texts(known), *texts(removed), *ours})

    async def change(self, *, save: Iterable[Subscription] = (), remove: Iterable[str] = ()) -> None:
        """Write and remove several in one step; what their templates failed at is forgotten."""
        name, faults = self._keys.named("subscriptions"), self._keys.named("template_faults")
        saved, removed = list(save), list(remove)
        now_ms = await self._server.now_ms()
        await self._server.together(
            *(("HSET", name, one.id, json.dumps(to_plain(one))) for one in saved),
            *(("HDEL", name, one) for one in removed),
            *(("ZADD", self._keys.named("subscriptions:removed"), now_ms, one) for one in removed),
            *(("HDEL", faults, one) for one in (*(one.id for one in saved), *removed)),
            ("INCR", self._keys.version("subscriptions")),
        )


def to_plain(subscription: Subscription) -> dict[str, Any]:
    """A subscription as JSON can hold it."""
    plain = asdict(subscription)
    lowest = subscription.filters.min_severity
    plain["filters"]["min_severity"] = None if lowest is None else lowest.name.lower()
    plain["mention_from"] = subscription.mention_from.name.lower()
    plain["quiet_below"] = subscription.quiet_below.name.lower()
    return plain


def from_plain(plain: Mapping[str, Any]) -> Subscription:
    """The subscription that `to_plain` wrote."""
    kept = dict(plain)
    filters = {name: tuple(value) for name, value in kept.pop("filters").items() if isinstance(value, list)}
    lowest = plain["filters"]["min_severity"]
    filters["kinds"] = tuple(Kind(kind) for kind in filters["kinds"])
    kept["mention_from"] = Severity.ranked(kept["mention_from"])
    kept["quiet_below"] = Severity.ranked(kept.get("quiet_below", "critical"))
    return Subscription(
        **kept,
        filters=Filters(**filters, min_severity=None if lowest is None else Severity.ranked(lowest)),
    )

"""Subscriptions as stored: JSON by id, cached by each process until their version changes; errors of templates."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from itertools import chain
from typing import Any

from worker.domain.delivery import lane_parts
from worker.domain.errors import NotFound, TemplateError
from worker.domain.event import Kind, Severity
from worker.domain.subscription import SEVERITY_OPTIONS, Filters, LaneSet, Subscription, operations_subscription_id
from worker.store.redis_client import RedisClient, RedisStore, Value, fields, texts

BATCH = 500  # subscriptions of one command
_FIELDS, _FILTERS = dataclass_fields(Subscription), dataclass_fields(Filters)


class Subscriptions(RedisStore):
    """The stored subscriptions; every process sees a change with its next batch."""

    def __init__(self, server: RedisClient) -> None:
        super().__init__(server)
        self._version: int | None = None
        self._cached: tuple[Subscription, ...] = ()
        self._parsed: dict[str, Subscription] = {}  # by what is stored, so that a change parses only what it changed
        self.by_id: dict[str, Subscription] = {}  #: All subscriptions by id, as of the last `list_all`.
        self.switched_off: dict[str, TemplateError] = {}  #: Why a template is not run, by subscription id, as of then.
        self._lanes: dict[str, LaneSet] = {}  # made when asked for: most processes need none
        self._loading = asyncio.Lock()

    async def list_all(self, version: int | None = None) -> tuple[Subscription, ...]:
        """Return all, oldest first, the same object until one changes; `version` is the current one if it is known."""
        if version is None:
            version = int(await self._server.command("GET", self._keys.version("subscriptions")) or 0)
        async with self._loading:  # after a change many lanes ask at once; one loads
            if version != self._version:
                names = ("subscriptions", "template_faults")
                stored, faults = await self._server.pipeline([("HGETALL", self._keys.named(name)) for name in names])
                known = self._parsed
                self._parsed = {
                    text: known.get(text) or from_stored(json.loads(text)) for text in fields(stored).values()
                }
                self._cached = tuple(sorted(self._parsed.values(), key=lambda sub: (sub.created_at_ms, sub.id)))
                self.by_id = {sub.id: sub for sub in self._cached}
                errors = _parse_errors(faults)
                self.switched_off = {id_: errors[id_] for id_ in errors if errors[id_].exceeds_limit}
                self._lanes = {}
                self._version = version
            return self._cached

    @property
    def lanes_used(self) -> LaneSet:
        """The lanes in which deliveries of subscriptions may be, as of the last `list_all`, like the other two."""
        return self._lanes_of("used", lambda _: True)

    @property
    def lanes_compared(self) -> LaneSet:
        """The lanes whose next message depends on the last one: those with cards or without repeats."""
        return self._lanes_of("compared", lambda sub: sub.only_changes or sub.style != "plain")

    @property
    def lanes_of_inhibition(self) -> LaneSet:
        """The lanes in which a live workflow card replaces updates of its resources."""
        return self._lanes_of("inhibition", lambda sub: sub.inhibit_resources)

    def _lanes_of(self, name: str, is_wanted: Callable[[Subscription], bool]) -> LaneSet:
        if name not in self._lanes:
            self._lanes[name] = LaneSet.of(filter(is_wanted, self._cached))
        return self._lanes[name]

    async def find(self, subscription_id: str) -> Subscription:
        """Return a subscription by its id. Raises `NotFound`."""
        await self.list_all()
        if subscription_id not in self.by_id:
            raise NotFound(f"There is no subscription {subscription_id!r}: see `ik-slack subscriptions list`.")
        return self.by_id[subscription_id]

    async def list_ids_ever_used(self) -> list[str]:
        """Return the ids of all that may have deliveries: also removed ones, and those of operations alerts."""
        keys = self._keys
        current, removed, lanes = await self._server.pipeline(
            [
                ("HKEYS", keys.named("subscriptions")),
                ("ZRANGE", keys.named("subscriptions:removed"), 0, -1),
                ("SMEMBERS", keys.named("lanes")),
            ]
        )
        operations = {operations_subscription_id(lane_parts(lane)[0]) for lane in texts(list(lanes))}
        return sorted({*texts(current), *texts(removed), *operations})

    async def save_and_remove(self, *, save: Iterable[Subscription] = (), remove: Iterable[str] = ()) -> None:
        """Save and remove subscriptions in one step, and forget their template errors."""
        name, template_errors = self._keys.named("subscriptions"), self._keys.named("template_faults")
        saved, removed = list(save), list(remove)
        now_ms = await self._server.now_ms()
        commands: list[tuple[Value, ...]] = []
        for start in range(0, len(saved), BATCH):
            batch = saved[start : start + BATCH]
            pairs = ((subscription.id, json.dumps(to_stored(subscription))) for subscription in batch)
            commands.append(("HSET", name, *chain.from_iterable(pairs)))
            commands.append(("HDEL", template_errors, *(subscription.id for subscription in batch)))
        for start in range(0, len(removed), BATCH):
            ids = removed[start : start + BATCH]
            scored = [word for id_ in ids for word in (now_ms, id_)]
            commands += ("HDEL", name, *ids), ("HDEL", template_errors, *ids)
            commands.append(("ZADD", self._keys.named("subscriptions:removed"), *scored))
        await self._server.transaction(*commands, ("INCR", self._keys.version("subscriptions")))

    async def switch_template_off(self, subscription: Subscription) -> None:
        """Let no process run a template again whose error exceeds a limit, and warn the operations channel."""
        now_ms = await self._server.now_ms()
        warning = f"template:{subscription.integration_id}/{subscription.id}"
        await self._server.transaction(
            ("ZADD", self._keys.named("warnings"), now_ms, warning), ("INCR", self._keys.version("subscriptions"))
        )
        await self.list_all()


class TemplateErrors:
    """The subscriptions whose template fails now, and the error of each delivery that has the default message."""

    def __init__(self, server: RedisClient, retention_s: float) -> None:
        self._server = server
        self._by_subscription = server.keys.named("template_faults")
        self._version = server.keys.version("subscriptions")
        self._retention_s = int(retention_s)

    async def record(self, subscription_id: str, delivery_id: str, error: TemplateError | None) -> None:
        """Record how the template did for a delivery: `None` is success."""
        key = self._server.keys.template_error(delivery_id)
        if error is None:
            await self._server.pipeline((("HDEL", self._by_subscription, subscription_id), ("DEL", key)))
        else:
            value = json.dumps([error.reason, error.line, error.exceeds_limit])
            by_subscription = ("HSET", self._by_subscription, subscription_id, value)
            await self._server.pipeline((by_subscription, ("SET", key, value, "EX", self._retention_s)))

    async def clear(self, subscription_ids: Sequence[str]) -> None:
        """Clear the errors of subscriptions whose template has changed, which is run again."""
        if subscription_ids:
            clear = ("HDEL", self._by_subscription, *subscription_ids)
            await self._server.transaction(clear, ("INCR", self._version))

    async def list_current(self) -> dict[str, TemplateError]:
        """Return the errors of templates that failed the last time, by subscription id."""
        return _parse_errors(await self._server.command("HGETALL", self._by_subscription))

    async def get(self, delivery_id: str) -> TemplateError | None:
        """Return the error of a delivery."""
        stored = await self._server.command("GET", self._server.keys.template_error(delivery_id))
        return TemplateError(*json.loads(stored)) if stored else None


def _parse_errors(stored: Any) -> dict[str, TemplateError]:
    return {id_: TemplateError(*json.loads(error)) for id_, error in fields(stored).items()}


def to_stored(subscription: Subscription) -> dict[str, Any]:
    """Return a subscription as JSON can hold it."""
    values = {field.name: getattr(subscription, field.name) for field in _FIELDS}
    filters = {field.name: getattr(subscription.filters, field.name) for field in _FILTERS}
    lowest = subscription.filters.min_severity
    filters["min_severity"] = None if lowest is None else lowest.name.lower()
    return values | {name: values[name].name.lower() for name in SEVERITY_OPTIONS} | {"filters": filters}


def from_stored(stored: Mapping[str, Any]) -> Subscription:
    """Return the subscription that `to_stored` wrote."""
    values = dict(stored)
    filters = {name: tuple(value) for name, value in values.pop("filters").items() if isinstance(value, list)}
    lowest = stored["filters"]["min_severity"]
    filters["kinds"] = tuple(Kind(kind) for kind in filters["kinds"])
    values |= {name: Severity[values[name].upper()] for name in SEVERITY_OPTIONS if name in values}
    min_severity = None if lowest is None else Severity[lowest.upper()]
    with_children = stored["filters"].get("with_children", False)
    return Subscription(**values, filters=Filters(**filters, min_severity=min_severity, with_children=with_children))

"""Subscriptions: list, add, replace, pause, mute, remove."""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from worker.bootstrap.context import AppContext
from worker.domain.delivery import Address
from worker.domain.subscription import Subscription
from worker.services.deliveries import discard_pending
from worker.services.destinations import find_warnings
from worker.services.formatting import format_time, parse_span_ms, parse_time_ms, pluralize
from worker.services.integrations import select_integration
from worker.services.lanes import lead_on, list_lanes_of
from worker.services.schemas import HintField
from worker.services.subscription_schema import SubscriptionSpec, spec_from_subscription, subscription_from_spec
from worker.store.ledger import take_ledger_snapshot
from worker.store.pagination import Page, decode_cursor, encode_cursor

MAX_COUNTED = 500
SEARCHED_TEXTS = 20_000  # kept by a process


class SubscriptionStatus(SubscriptionSpec):
    """A subscription and the state of its lane."""

    lane: str
    address: str  #: The conversation's id and name in Slack; empty until the first delivery.
    address_name: str
    lanes: int  #: How many lanes it uses: one, unless its destination is made from the event.
    waiting: int  #: The number of pending deliveries of its lanes, those of other subscriptions included.
    parked_lanes: int
    parked: str  #: Why the first of its parked lanes is parked: Slack's code, the reason and the fix.
    reason: str
    hint: HintField
    template_fault: str  #: Why the default message was posted instead of the template's.


class SavedSubscription(NamedTuple):
    """A subscription as it is stored now, whether it was added, and warnings for the user."""

    spec: SubscriptionSpec
    is_new: bool
    warnings: list[str]


async def change_subscriptions(
    app: AppContext, *, save: Sequence[Subscription] = (), remove: Sequence[Subscription] = ()
) -> int:
    """Save and remove subscriptions atomically. Returns the number of deliveries discarded with the removed ones."""
    if not save and not remove:
        return 0
    await app.subscriptions.save_and_remove(save=save, remove=[subscription.id for subscription in remove])
    return await discard_pending(app, remove)


def describe_discarded(number: int) -> str:
    """Return how many pending deliveries were discarded, as a further sentence; empty for none."""
    return f" Discarded {pluralize(number, 'pending delivery', 'pending deliveries')}." if number else ""


async def list_subscriptions(app: AppContext) -> list[SubscriptionSpec]:
    """Return all subscriptions, oldest first."""
    return await describe_subscriptions(app, await app.subscriptions.list_all())


async def describe_subscriptions(app: AppContext, subscriptions: Iterable[Subscription]) -> list[SubscriptionSpec]:
    """Return stored subscriptions with the names of their integrations."""
    names, now_ms = await _integration_names(app), await app.redis.now_ms()
    return [
        spec_from_subscription(sub, names.get(sub.integration_id, sub.integration_id), now_ms) for sub in subscriptions
    ]


async def get_subscriptions_page(
    app: AppContext, query: str = "", after: str | None = None, limit: int = 100
) -> tuple[Page[Subscription], int]:
    """Return a page of the subscriptions with `query` in a text of theirs, oldest first, and how many there are.

    Raises UsageError when `after` is no cursor of the list.
    """
    created_ms, id_ = decode_cursor(after, r"\d+", "(?s:.+)")
    stored, names = await app.subscriptions.list_all(), await _integration_names(app)
    wanted = query.lower()
    matching = [
        sub
        for sub in stored
        if not wanted or wanted in _searched_text(sub, names.get(sub.integration_id, sub.integration_id))
    ]
    first = int(created_ms or 0), id_
    rows = [sub for sub in matching if after is None or (sub.created_at_ms, sub.id) > first][: limit + 1]
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(tuple(rows[:limit]), encode_cursor((last.created_at_ms, last.id)) if last else None), len(matching)


async def _integration_names(app: AppContext) -> dict[str, str]:
    return {integration.id: integration.name for integration in await app.integrations.list_all()}


@lru_cache(maxsize=SEARCHED_TEXTS)
def _searched_text(subscription: Subscription, integration: str) -> str:
    """Return the text that a search looks in."""
    spec = spec_from_subscription(subscription, integration, 0)
    return f"{spec.id}\n{spec.destination}\n{integration}\n{spec.filters}\n{spec.options}".lower()


async def get_subscription(app: AppContext, subscription_id: str) -> SubscriptionSpec:
    """Return one subscription. Raises NotFound."""
    [spec] = await describe_subscriptions(app, [await app.subscriptions.find(subscription_id)])
    return spec


async def get_subscription_status(app: AppContext, subscription_id: str) -> SubscriptionStatus:
    """Return one subscription with the state of its lane. Raises NotFound."""
    subscription = await app.subscriptions.find(subscription_id)
    spec, lanes, snapshot, faults = await asyncio.gather(
        get_subscription(app, subscription_id),
        list_lanes_of(app, subscription),
        take_ledger_snapshot(app.redis),
        app.template_errors.list_current(),
    )
    own = set(lanes)
    counts = [count for count in snapshot.lanes if count.lane in own]
    parked = [count.lane for count in counts if count.parked]
    status = await app.lanes.get_status(parked[0] if parked else subscription.lane)
    address = status.address if status.address and subscription.is_fixed else Address("")
    hint = status.hint
    if parked and not subscription.is_fixed:
        hint = await lead_on(app, parked[0], status.parked, hint, [subscription])
    return SubscriptionStatus.model_construct(
        **spec.model_dump(), lane=subscription.lane, address=address.id, address_name=address.name, lanes=len(lanes),
        waiting=sum(count.pending for count in counts), parked_lanes=len(parked), parked=status.parked,
        reason=status.reason, hint=hint, template_fault=str(faults.get(subscription_id, "")),
    )  # fmt: skip


async def add_subscription(app: AppContext, spec: SubscriptionSpec, integration_name: str | None) -> SavedSubscription:
    """Add a subscription, or return the stored one that is identical."""
    integration = await select_integration(app, integration_name)
    spec = spec.model_copy(update={"integration": integration.name})
    same_place = (sub for sub in await app.subscriptions.list_all() if sub.destination == spec.destination)
    stored = await describe_subscriptions(app, same_place)
    twin = next((other for other in stored if not other.differences(spec.with_mute_of(other))), None)
    warnings = []
    if twin is None:
        warnings = [
            f"{other.id} already sends the same events there. Remove one of the two, unless you want both."
            for other in stored
            if other.routing_key == spec.routing_key
        ]
        spec = spec.model_copy(update={"id": f"sub-{secrets.token_hex(4)}"})
        now_ms = await app.redis.now_ms()
        subscription = subscription_from_spec(spec, spec.id, integration.id, now_ms)
        await change_subscriptions(app, save=[_with_mute_of(spec, subscription, now_ms)])
    # The directory may know another channel that had this name before.
    warnings += await find_warnings(app, integration, spec.fixed_destinations, bypass_cache=True)
    return SavedSubscription(twin or spec, twin is None, warnings)


async def replace_subscription(app: AppContext, subscription_id: str, spec: SubscriptionSpec) -> SavedSubscription:
    """Replace everything of a subscription but its id; an integration or a mute that `spec` omits is kept."""
    stored = await app.subscriptions.find(subscription_id)
    integration = await app.integrations.find(spec.integration or stored.integration_id)
    subscription = replace(
        subscription_from_spec(spec, stored.id, integration.id, stored.created_at_ms),
        muted_from_ms=stored.muted_from_ms,
        muted_until_ms=stored.muted_until_ms,
    )
    if "muted_until" in spec.model_fields_set:
        subscription = _with_mute_of(spec, subscription, await app.redis.now_ms())
    await change_subscriptions(app, save=[subscription])
    warnings = []
    if (subscription.integration_id, subscription.destinations) != (stored.integration_id, stored.destinations):
        warnings = await find_warnings(app, integration, spec.fixed_destinations, bypass_cache=True)
    return SavedSubscription(await get_subscription(app, stored.id), False, warnings)


async def set_paused(app: AppContext, ids: Sequence[str], paused: bool) -> None:
    """Pause subscriptions, or resume them. Deliveries that exist already are still sent."""
    subscriptions = [await app.subscriptions.find(id_) for id_ in ids]
    await change_subscriptions(app, save=[replace(subscription, paused=paused) for subscription in subscriptions])


async def set_muted(app: AppContext, ids: Sequence[str], until_ms: int) -> None:
    """Mute subscriptions until a time in Unix ms; 0 ends the mute now."""
    subscriptions, now_ms = [await app.subscriptions.find(id_) for id_ in ids], await app.redis.now_ms()
    await change_subscriptions(app, save=[subscription.with_mute(until_ms, now_ms) for subscription in subscriptions])


async def remove_subscriptions(app: AppContext, ids: Sequence[str]) -> int:
    """Remove subscriptions. Returns the number of discarded deliveries."""
    return await change_subscriptions(app, remove=[await app.subscriptions.find(id_) for id_ in dict.fromkeys(ids)])


async def count_pending(app: AppContext, subscription_id: str) -> tuple[int, bool]:
    """Return how many of its lanes' first MAX_COUNTED deliveries a removal discards, and whether there are more."""
    ids: list[str] = []
    for lane in await list_lanes_of(app, await app.subscriptions.find(subscription_id)):
        if len(ids) <= MAX_COUNTED:
            ids += await app.deliveries.list_pending_ids(lane, limit=MAX_COUNTED + 1 - len(ids))
    deliveries = await app.deliveries.find_many(ids[:MAX_COUNTED])
    number = sum(1 for delivery in deliveries if delivery.subscription_id == subscription_id)
    return number, len(ids) > MAX_COUNTED


def end_of_mute_ms(span: str | None, until: str | None, now_ms: int) -> int:
    """Return the end of a mute in Unix ms, in whole seconds. Raises ValueError unless it is in the future."""
    if (span is None) == (until is None):
        raise ValueError("give either a time span or an end time")
    end_ms = now_ms // 1000 * 1000 + parse_span_ms(span) if span is not None else parse_time_ms(str(until), now_ms)
    if end_ms <= now_ms:
        raise ValueError(f"{format_time(end_ms)} is in the past; now it is {format_time(now_ms)}")
    return end_ms


def _with_mute_of(spec: SubscriptionSpec, subscription: Subscription, now_ms: int) -> Subscription:
    return subscription.with_mute(parse_time_ms(spec.muted_until) if spec.muted_until else 0, now_ms)

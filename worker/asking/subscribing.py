"""Subscriptions: added once, shown with how their destination is, paused, removed."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker.asking.changing import change_subscriptions
from worker.asking.choosing import chosen_integration, every_rule, with_integration
from worker.asking.moments import moment_ms, span_ms
from worker.asking.reaching import warnings
from worker.asking.rows import Row
from worker.asking.rules import Rule, subscription_of
from worker.asking.wording import when
from worker.domain.subscription import Subscription

if TYPE_CHECKING:
    from worker.bootstrap import Services


LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class Placed:
    """A subscription, the lane it tells in, and how that is."""

    rule: Rule
    lane: str
    note: dict[str, str]
    waiting: int
    template_fault: str


async def added(made: "Services", rule: Rule, integration_name: str | None) -> tuple[Rule, bool, list[str]]:
    """The rule as it is stored now, whether it is new, and what people should know."""
    integration = await chosen_integration(made, integration_name)
    rule = with_integration(rule, integration)
    existing = await every_rule(made)
    found = next((one for one in existing if not one.differences(rule.beside(one))), None)
    said = [
        f"{one.id} sends the same events there too. Remove one of the two, unless both are wanted."
        for one in existing
        if found is None and one.told == rule.told
    ]
    if found is None:
        new = rule.model_copy(update={"id": f"sub-{secrets.token_hex(4)}"})
        now_ms = await made.server.now_ms()
        saved = _muted_as_said(subscription_of(new, new.id, integration.id, now_ms), new, now_ms)
        await change_subscriptions(made, save=[saved])
    # Asked anew: a channel made under the name that another one had is not to be taken for that one.
    said += await warnings(made, integration, [rule.destination], fresh=True)
    return found or new, found is None, said


async def placed(made: "Services", subscription_id: str) -> Placed:
    """One of them with its lane; Missing when there is none."""
    lane = (await made.subscriptions.find(subscription_id)).lane
    rules, note, waiting, faults = await asyncio.gather(
        every_rule(made),
        made.upkeep.lane_note(lane),
        made.deliveries.waiting(lane, most=10_000),
        made.drain.template_faults.all(),
    )
    rule = next(one for one in rules if one.id == subscription_id)
    return Placed(rule, lane, note, len(waiting), str(faults.get(subscription_id, "")))


async def waiting_for(made: "Services", subscription_id: str) -> tuple[int, bool]:
    """How many deliveries would be discarded with it, and whether there are more than were looked at."""
    lane = (await made.subscriptions.find(subscription_id)).lane
    ids = await made.deliveries.waiting(lane, most=LOOKED_AT + 1)
    found = await made.deliveries.some(ids[:LOOKED_AT])
    return sum(1 for one in found if one.subscription_id == subscription_id), len(ids) > LOOKED_AT


def plain_placed(found: Placed) -> Row:
    """The same as JSON."""
    where = {"lane": found.lane, "address": found.note["address"], "waiting": found.waiting}
    parked = {"parked": found.note["parked"], "reason": found.note["reason"], "hint": found.note["hint"]}
    return {**found.rule.model_dump(), **where, **parked, "template_fault": found.template_fault}


async def set_paused(made: "Services", ids: Sequence[str], paused: bool) -> None:
    """Deliver no more for them, or again."""
    found = [await made.subscriptions.find(one) for one in ids]
    await change_subscriptions(made, save=[replace(one, paused=paused) for one in found])


async def forget(made: "Services", ids: Sequence[str]) -> int:
    """Remove them: how many deliveries that waited were discarded."""
    gone = [await made.subscriptions.find(one) for one in dict.fromkeys(ids)]
    return await change_subscriptions(made, gone=gone)


async def replaced(made: "Services", subscription_id: str, rule: Rule) -> tuple[Rule, list[str]]:
    """It says what the rule says now, and what people should know of a new destination.

    Without an integration it keeps its own, and a mute that the rule does not speak of stays.
    """
    stored = await made.subscriptions.find(subscription_id)
    integration = await made.integrations.find(rule.integration or stored.integration_id)
    new = subscription_of(rule, stored.id, integration.id, stored.created_at_ms)
    kept = replace(new, muted_from_ms=stored.muted_from_ms, muted_until_ms=stored.muted_until_ms)
    if "muted_until" in rule.model_fields_set:
        kept = _muted_as_said(kept, rule, await made.server.now_ms())
    await change_subscriptions(made, save=[kept])
    is_new = kept.lane != stored.lane
    said = await warnings(made, integration, [rule.destination], fresh=True) if is_new else []
    return next(one for one in await every_rule(made) if one.id == stored.id), said


async def set_muted(made: "Services", ids: Sequence[str], until_ms: int, now_ms: int) -> None:
    """Tell nothing of what comes until then; from now on again, for 0."""
    found = [await made.subscriptions.find(one) for one in ids]
    await change_subscriptions(made, save=[one.muted(until_ms, now_ms) for one in found])


def end_of_mute_ms(span: str | None, until: str | None, now_ms: int) -> int:
    """Whole seconds, as files hold it; ValueError when it cannot be meant."""
    if (span is None) == (until is None):
        raise ValueError("say how long: either a span or a time")
    end_ms = now_ms // 1000 * 1000 + span_ms(span) if span is not None else moment_ms(str(until), now_ms)
    if end_ms <= now_ms:
        raise ValueError(f"{when(end_ms)} is over; now it is {when(now_ms)}")
    return end_ms


def _muted_as_said(subscription: Subscription, rule: Rule, now_ms: int) -> Subscription:
    return subscription.muted(moment_ms(rule.muted_until) if rule.muted_until else 0, now_ms)

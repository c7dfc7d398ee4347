"""Lanes: find them as users write them, list the parked ones with their fixes, try one now."""

import asyncio
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

from worker.bootstrap.stores import Stores
from worker.domain.delivery import (
    Address,
    Destination,
    canonical_destination,
    destination_form,
    id_in_capitals,
    lane_name,
    lane_parts,
)
from worker.domain.errors import NotFound, UserError
from worker.domain.hints import ELSE_CORRECT_DESTINATION, Action, Code, Hint, Step
from worker.domain.mrkdwn import cut
from worker.domain.subscription import Subscription
from worker.services.formatting import pluralize
from worker.store.lanes import ParkedLane
from worker.store.ledger import take_ledger_snapshot
from worker.store.pagination import Page

if TYPE_CHECKING:  # commands that only read lanes do without the pipeline
    from worker.bootstrap.context import AppContext

MANY_NAMES = 2_000  # of more names only those of a similar length are compared
MAX_SIMILAR = 30  # characters of one name, or of two together
MAX_SUBSCRIPTIONS, MAX_NAMED = 3, 10
NOT_FOUND = "channel_not_found"
INVITE = "not_in_channel"  # the one step that resolves it is in Slack


async def match_lanes(app: Stores, *, lane: str = "", channel: str = "") -> tuple[str, ...] | None:
    """Return the lanes that `lane` and `channel` mean, for a filter; None when neither is given.

    `lane` is a lane or a destination, `channel` a destination, or the id or the name of a conversation in Slack. A
    destination that is made from the event means all lanes of its subscriptions.
    """
    if not lane and not channel:
        return None
    names, integrations = await asyncio.gather(list_lane_names(app), app.integrations.list_all())
    if lane:
        by_name = {item.name: item.id for item in integrations}
        integration, slash, destination = lane.partition("/")
        exact = {lane, f"{by_name.get(integration, integration)}{slash}{destination}"}
        wanted = {*exact, *_spellings(lane)}
        patterned = [
            sub for sub in await app.subscriptions.list_all()
            if not sub.is_fixed and not wanted.isdisjoint((sub.lane, sub.destination))
        ]  # fmt: skip
        names = (
            [name for name in names if any(sub.uses_lane(name) for sub in patterned)]
            or [name for name in names if name in exact]
            or [name for name in names if lane_parts(name)[1] in wanted]
        )
    if channel:
        wanted, addresses = _spellings(channel), await app.lanes.find_addresses(names)
        names = [
            name
            for name in names
            if lane_parts(name)[1] in wanted or not wanted.isdisjoint(astuple(addresses.get(name, Address(""))))
        ]
    return tuple(names)


async def list_lane_names(app: Stores) -> list[str]:
    """Return the names of all lanes that had a delivery or belong to a subscription."""
    names, subscriptions = await asyncio.gather(app.lanes.list_names(), app.subscriptions.list_all())
    return sorted({*names, *(subscription.lane for subscription in subscriptions)})


def _spellings(written: str) -> set[str]:
    return {written, canonical_destination(written) or written, id_in_capitals(written) or written}


def find_similar(name: str, names: Sequence[str]) -> list[str]:
    """Return the two names most similar to one that does not exist, the best first; of long names only that one."""
    if len(names) > MANY_NAMES:
        names = [other for other in names if abs(len(other) - len(name)) <= 3]
    similar = difflib.get_close_matches(name, names, n=2, cutoff=0.7)
    return similar if sum(map(len, similar)) <= MAX_SIMILAR else similar[:1]


async def list_lanes_of(app: Stores, subscription: Subscription) -> list[str]:
    """Return the lanes in which deliveries for a subscription may be."""
    fixed = [lane_name(subscription.integration_id, written) for written in subscription.fixed_destinations]
    if subscription.is_fixed:
        return fixed
    return sorted({*fixed, *filter(subscription.uses_lane, await app.lanes.list_names())})


@dataclass(frozen=True, slots=True)
class SimilarChannel:
    """A channel that a destination may mean."""

    shown: str  #: Its name with #, a long one cut.
    written: str  #: The destination to write: the name, or the id where the name is long.


async def find_similar_channels(app: Stores, integration_id: str, destination: str) -> list[SimilarChannel]:
    """Return the channels whose names are similar to a destination that was not found, or whose id it is."""
    if destination_form(destination) is not Destination.CHANNEL_NAME:
        return []
    channels = await app.directory.list_channels(integration_id)
    if (id_ := id_in_capitals(destination)) in {channel.id for channel in channels}:
        return [SimilarChannel(id_, id_)]
    own_name = destination.removeprefix("#")  # still listed when it was deleted since the directory was read
    ids = {channel.name: channel.id for channel in channels if not channel.is_archived and channel.name != own_name}
    return [
        SimilarChannel(cut(f"#{name}", MAX_SIMILAR), f"#{name}" if len(name) < MAX_SIMILAR else ids[name])
        for name in find_similar(own_name, list(ids))
    ]


def did_you_mean(similar: Sequence[SimilarChannel]) -> Hint:
    """Return the question that names similar channels."""
    return Hint.of(f"Did you mean {' or '.join(channel.shown for channel in similar)}?")


async def lead_on(app: Stores, lane: str, code: str, hint: Hint, subscriptions: Iterable[Subscription]) -> Hint:
    """Return the hint of a parked lane, with the subscription to correct and the name that was perhaps meant."""
    integration_id, destination = lane_parts(lane)
    users = [subscription for subscription in subscriptions if subscription.uses_lane(lane)]
    makers = [subscription.id for subscription in users if destination not in subscription.destinations]
    if makers and code == NOT_FOUND and destination.startswith("#"):
        bots = [item.bot_name for item in await app.integrations.list_all() if item.id == integration_id]
        text = f"{makers[0]} made this name from an event. If Slack has no such channel, create it, then type "
        return Hint.of(text, Code(f"/invite @{bots[0] if bots else 'BOT'}"), " in it.")
    ids = [subscription.id for subscription in users if subscription.id not in makers][:MAX_SUBSCRIPTIONS]
    similar = await find_similar_channels(app, integration_id, destination) if code == NOT_FOUND else []
    if similar:
        hint += did_you_mean(similar)
    if ids and code != INVITE:
        step = Step(Action.MOVE_SUBSCRIPTION, f"{ids[0]} --to '{similar[0].written if similar else 'DEST'}'")
        also = f", and so for {' and '.join(ids[1:])}" if ids[1:] else ""
        purpose = "Then " if similar else "To move its events, "
        hint = hint.without(ELSE_CORRECT_DESTINATION) + Hint.of(purpose, step, f"{also}.")
    return hint


async def get_parked_page(app: Stores, after: str | None = None, limit: int = 50) -> Page[ParkedLane]:
    """Return a page of parked lanes, longest parked first, each with a hint that leads on."""
    page, subscriptions = await app.parked_lanes.page(after, limit), await app.subscriptions.list_all()
    rows = [
        lane
        if lane.whole_integration
        else replace(lane, hint=await lead_on(app, lane.lane, lane.reason, lane.hint, subscriptions))
        for lane in page.rows
    ]
    return Page(tuple(rows), page.next)


@dataclass(frozen=True, slots=True)
class ResumedLane:
    """Result of resuming a lane."""

    lane: str
    pending: int = 0
    was_parked: bool = True
    was_snoozed: bool = False  #: Whether it waited out a failure.

    @property
    def is_trying(self) -> bool:
        """Return whether there was something to resume."""
        return self.was_parked or self.was_snoozed

    def __str__(self) -> str:
        if not self.is_trying:
            return f"{self.lane} is not parked and waits out no failure: there is nothing to resume."
        verb = "resumed" if self.was_parked else "tries again now"
        return f"{self.lane} {verb} with {pluralize(self.pending, 'pending delivery', 'pending deliveries')}."


async def resume_lane(app: "AppContext", written: str) -> ResumedLane:
    """Let a lane that is parked, or waits out a failure, try once now.

    `written` is a lane, or its destination alone if that is unique. Raises NotFound without such a lane, UserError for
    an ambiguous destination or a lane parked with its integration.
    """
    counts = (await take_ledger_snapshot(app.redis)).lanes
    matches = await match_lanes(app, lane=written) or ()
    if len(matches) > 1:
        shown = ", ".join(matches[:MAX_NAMED]) + (" …" if len(matches) > MAX_NAMED else "")
        raise UserError(f"Several lanes lead to {written}. Name one of {shown}.")
    if not matches:
        raise await unknown_lane(app, written, Action.LIST_PARKED)
    lane = matches[0]
    parked = next((parked for parked in await app.parked_lanes.list_all() if parked.lane == lane), None)
    if parked and parked.whole_integration:
        raise UserError(f"{lane} is parked with its integration: {parked.detail}.", parked.hint)
    resumed = await app.lanes.resume(lane, permanently=False)
    if resumed.wake:
        await app.wake([lane])
    pending = next((count.pending for count in counts if count.lane == lane), 0)
    return ResumedLane(lane, pending, was_parked=resumed.was_parked, was_snoozed=resumed.was_snoozed and pending > 0)


async def unknown_lane(app: Stores, written: str, list_by: Action) -> NotFound:
    """Return the error for a lane or destination that there is not, with those of similar names."""
    lanes = await list_lane_names(app)
    if similar := find_similar(written, lanes) or find_similar(written, [lane_parts(lane)[1] for lane in lanes]):
        return NotFound(f"There is no lane {written[:100]!r}: did you mean {' or '.join(similar)}?")
    return NotFound(f"There is no lane {written[:100]!r}.", Hint.of("To see the lanes, ", Step(list_by), "."))

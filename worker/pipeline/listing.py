"""Listing: the channels of a workspace, page by page; and how Slack is asked for anything, at its pace."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import TypeVar

from worker.domain.errors import Blocked, NotYet, Throttled, Transient
from worker.domain.integration import Integration, Page, Place, Secret
from worker.pipeline.gateway import Gateway, Sleep
from worker.store.pace import Pace
from worker.telemetry import COUNTERS, say

log = logging.getLogger("worker.directory")

LONGEST_WAIT_S = 75.0
RESTARTS = 2  # a cursor goes bad when the list changes under it

Answer = TypeVar("Answer")
Found = Callable[[Page, Place], Awaitable[None]]
"""Told of each page, and of the place after it."""


class Which(Enum):
    """Which channels are listed: the method, and its tier's calls a minute."""

    ALL = ("conversations.list", 20)
    JOINED = ("users.conversations", 50)


async def ask(
    call: Callable[[], Awaitable[Answer]], allowances: Pace, integration: Integration, method: str,
    per_minute: int, *, longest_s: float, sleep: Sleep,
) -> Answer:  # fmt: skip
    """What Slack answers to a call made in a slot of its method's tier.

    NotYet when that is further away than `longest_s`, and when Slack asks to wait, which all workers then do.
    """
    slot = await allowances.slot_to_call(
        integration.workspace, method, per_minute, longest_s=max(longest_s, 0.0)
    )
    if not slot.booked:
        raise NotYet(slot.wait_s, f"waits to call {method}")
    if slot.wait_s:
        await sleep(slot.wait_s)
    try:
        return await call()
    except Throttled as error:
        COUNTERS.count("throttled", method)
        await allowances.close_method(integration.workspace, method, error.retry_after_s)
        raise NotYet(error.retry_after_s, f"Slack asks to wait before {method}") from None


async def list_channels(
    gateway: Gateway, allowances: Pace, integration: Integration, token: Secret, which: Which, *,
    start: Place, found: Found, sleep: Sleep, holding: Callable[[], Awaitable[None]],
) -> None:  # fmt: skip
    """From a place to the end: public channels, then the private ones the bot is in.

    `holding` is awaited before each call. The list begins again when Slack forgets its cursor: `found` is
    then told again of what it was told before.
    """

    async def one(place: Place) -> Page:
        call = partial(
            gateway.list_conversations, token,
            private=place.private, cursor=place.cursor, joined=which is Which.JOINED,
        )  # fmt: skip
        return await ask(call, allowances, integration, *which.value, longest_s=LONGEST_WAIT_S, sleep=sleep)

    place: Place | None = start
    restarts, met = 0, {(start.private, start.cursor)}
    while place:
        await holding()
        try:
            page = await one(place)
        except NotYet as error:
            if error.wait_s > LONGEST_WAIT_S:
                raise
            await sleep(error.wait_s)
        except Transient as error:
            restarts += 1
            if error.code != "invalid_cursor" or restarts > RESTARTS:
                raise
            place, met = replace(place, cursor=""), {(place.private, "")}
        except Blocked as error:
            if not place.private or error.code != "missing_scope":
                raise
            place = None  # without groups:read there are no private ones
        else:
            following = _following(place, page, met)
            await found(page, following or Place(private=True, pages=place.pages + 1))
            place = following


def _following(place: Place, page: Page, met: set[tuple[bool, str]]) -> Place | None:
    """Where it goes on; the private channels come after the public ones, then nothing."""
    pages, after = place.pages + 1, (place.private, page.cursor)
    if page.cursor and after in met:
        say(log, logging.WARNING, "Slack's list of channels goes round in a circle", pages=pages)
    elif page.cursor:
        met.add(after)
        return Place(place.private, page.cursor, pages)
    return None if place.private else Place(private=True, pages=pages)

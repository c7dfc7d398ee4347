"""Listing: every channel of a workspace, page by page at Slack's pace; and the wait before any such call."""

import logging
from collections.abc import Awaitable, Callable

from worker.domain.errors import Blocked, NotYet, Throttled, Transient
from worker.domain.integration import Conversation, Integration, Page, Secret
from worker.pipeline.gateway import Gateway, Sleep
from worker.store.pace import Pace
from worker.telemetry import COUNTERS, say

log = logging.getLogger("worker.directory")

METHOD, PER_MINUTE = "conversations.list", 20
LONGEST_WAIT_S = 75.0
RESTARTS = 2  # a cursor goes bad when the list changes under it

Progress = Callable[[Page], None]


async def wait_to_call(
    allowances: Pace, integration: Integration, method: str, per_minute: int, *,
    longest_s: float, sleep: Sleep,
) -> None:  # fmt: skip
    """Waits for the slot of a method's tier; NotYet when it is further away than `longest_s`."""
    slot = await allowances.slot_to_call(
        integration.workspace, method, per_minute, longest_s=max(longest_s, 0.0)
    )
    if not slot.booked:
        raise NotYet(slot.wait_s, f"waits to call {method}")
    if slot.wait_s:
        await sleep(slot.wait_s)


async def list_channels(
    gateway: Gateway, allowances: Pace, integration: Integration, token: Secret, *,
    sleep: Sleep, holding: Callable[[], Awaitable[None]], progress: Progress,
) -> list[Conversation]:  # fmt: skip
    """Public channels, then the private ones the bot is in; `holding` is awaited before each call."""

    async def page(cursor: str, *, private: bool) -> Page:
        while True:
            await holding()
            try:
                await wait_to_call(
                    allowances, integration, METHOD, PER_MINUTE, longest_s=LONGEST_WAIT_S, sleep=sleep
                )
                return await gateway.list_conversations(token, private=private, cursor=cursor)
            except Throttled as error:
                COUNTERS.count("throttled", METHOD)
                await allowances.close_method(integration.workspace, METHOD, error.retry_after_s)
                await _wait_out(error.retry_after_s, sleep)
            except NotYet as error:
                await _wait_out(error.wait_s, sleep)
            except Blocked as error:
                if private and error.code == "missing_scope":
                    return Page(())  # without groups:read there are no private ones
                raise

    return [
        *await _all_pages(lambda cursor: page(cursor, private=False), progress),
        *await _all_pages(lambda cursor: page(cursor, private=True), progress),
    ]


async def _wait_out(wait_s: float, sleep: Sleep) -> None:
    if wait_s > LONGEST_WAIT_S:
        raise NotYet(wait_s, f"Slack asks to wait before {METHOD}")
    await sleep(wait_s)


async def _all_pages(page: Callable[[str], Awaitable[Page]], progress: Progress) -> list[Conversation]:
    """To the last page; from the beginning again when Slack forgets the cursor."""
    restarts = 0
    while True:
        try:
            return await _from_the_beginning(page, progress)
        except Transient as error:
            restarts += 1
            if error.code != "invalid_cursor" or restarts > RESTARTS:
                raise


async def _from_the_beginning(
    page: Callable[[str], Awaitable[Page]], progress: Progress
) -> list[Conversation]:
    """Page after page until there is no cursor, or one that was met before."""
    found: list[Conversation] = []
    met: set[str] = set()
    cursor = ""
    while cursor not in met:
        met.add(cursor)
        one = await page(cursor)
        progress(one)
        found += one.conversations
        if not one.cursor:
            return found
        cursor = one.cursor
    say(log, logging.WARNING, "Slack's list of channels goes round in a circle", pages=len(met))
    return found

"""Refreshes of the directory: one worker lists a workspace's channels for all, page by page.

A large workspace takes minutes, so the bot's memberships are also listed alone, which often takes two calls.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from worker.domain.errors import Blocked, RetryLater, SlackError, Throttled, Transient, format_hint
from worker.domain.integration import ConversationPage, Integration, ListingCursor, Secret
from worker.pipeline.gateway import Gateway, Sleep
from worker.store.directory import CLAIM_MS, Directory
from worker.store.installation import Processes
from worker.store.rate_limiter import RateLimiter
from worker.telemetry import COUNTERS, LogValue, log_event

log = logging.getLogger("worker.directory")

MAX_WAIT_S = 75.0
MAX_RESTARTS = 2  # Slack rejects a cursor when the list changes
RETRY_S = 3.0
GRACE_S = 2.0  # enough for a workspace of few channels
MEMBERSHIPS_MAX_AGE_S = 15.0
MEMBERSHIPS_LOCK_MS = 30_000
CLAIM_RENEWAL_S = CLAIM_MS / 3000
LISTING_MEMBERSHIPS = "Slack is being asked which channels the bot is in"

Answer = TypeVar("Answer")
Progress = Callable[[int, int], None]
"""Called after each page with the number of pages and of channels so far."""


async def call_in_slot(
    call: Callable[[], Awaitable[Answer]], rate_limiter: RateLimiter, integration: Integration, method: str,
    per_minute: int, *, longest_s: float, sleep: Sleep,
) -> Answer:  # fmt: skip
    """Make a call in a slot of its method. Raises RetryLater for a slot too far away, and when Slack throttles."""
    slot = await rate_limiter.book_method_slot(
        integration.workspace_id, method, per_minute, max_wait_s=max(longest_s, 0.0)
    )
    if not slot.booked:
        raise RetryLater(slot.wait_s, f"waits to call {method}")
    if slot.wait_s:
        await sleep(slot.wait_s)
    try:
        return await call()
    except Throttled as error:
        COUNTERS.increment("throttled", method)
        await rate_limiter.close_method(integration.workspace_id, method, error.retry_after_s)
        raise RetryLater(error.retry_after_s, f"Slack asks to wait before {method}") from None


@dataclass(slots=True, kw_only=True)
class DirectoryRefresher:
    """Refreshes directories; a refresh that a lane started continues in the background until `stop`."""

    directory: Directory
    gateway: Gateway
    rate_limiter: RateLimiter
    processes: Processes
    worker_id: str
    stopping: Callable[[], bool]
    sleep: Sleep = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    #: By kind and integration, the listing that this worker runs, and until when by the loop's clock lanes wait for it.
    _listings: dict[tuple[str, str], tuple[asyncio.Task[object], float]] = field(default_factory=dict)

    async def refresh(
        self, integration: Integration, token: Secret, *,
        unless_younger_s: float | None = None, progress: Progress = lambda *_: None,
    ) -> int:  # fmt: skip
        """List every channel of the workspace, or the rest of a listing that was interrupted; return its pages.

        Returns 0 when the directory is younger than `unless_younger_s`. Raises RetryLater while another worker
        lists the channels. A listing that ends in a SlackError or RetryLater leaves the directory as it was.
        """
        reader_id = f"{self.worker_id}:{secrets.token_hex(4)}"
        start = await self.directory.claim_scan(integration.id, reader_id)
        if start is None:
            raise await self._claimed_by_another(integration.id)
        started_s, pages, channels = self.clock(), start.pages, 0
        details: dict[str, LogValue] = {"integration": integration.name, "continued_after": start.pages}
        renew_claim = partial(self.directory.renew_scan, integration.id, reader_id)
        try:
            age_s = (await self.directory.get_status(integration.id)).age_s
            if age_s is not None and unless_younger_s is not None and age_s <= unless_younger_s:
                return 0
            async for page, following in self._list(integration, token, start, renew_claim):
                saved = await self.directory.save_scanned_page(integration.id, reader_id, page.conversations, following)
                if saved is None:
                    raise await self._claimed_by_another(integration.id)
                pages, channels = following.pages, saved
                progress(pages, channels)
            if not await self.directory.finish_scan(integration.id, reader_id):
                raise await self._claimed_by_another(integration.id)
        except (SlackError, RetryLater) as error:
            reason = format_hint(error.reason, integration=integration.name, bot=integration.bot_name)
            log_event(log, logging.WARNING, "directory not refreshed", **details, pages=pages, reason=reason)
            raise
        finally:
            await self.directory.release_scan(integration.id, reader_id)
        took_s = self.clock() - started_s
        log_event(log, logging.INFO, "directory refreshed", **details, pages=pages, channels=channels, took_s=took_s)
        return pages

    async def ensure_refreshed(
        self, integration: Integration, token: Secret, *, unless_younger_s: float, budget_s: float
    ) -> RetryLater | None:
        """Start a refresh unless one runs; return None when it is done, else why it is not."""
        try:
            work = partial(self.refresh, integration, token, unless_younger_s=unless_younger_s)
            is_done = await self._share_listing(("all", integration.id), work, budget_s)
        except RetryLater as error:
            return error
        return None if is_done else await self._claimed_by_another(integration.id)

    async def refresh_memberships(self, integration: Integration, token: Secret, *, budget_s: float) -> None:
        """List the channels the bot is in, unless just done. Raises RetryLater while a worker lists them."""
        joined_age_s = (await self.directory.get_status(integration.id)).joined_age_s
        if joined_age_s is not None and joined_age_s <= MEMBERSHIPS_MAX_AGE_S:
            return
        work = partial(self._list_joined, integration, token)
        if not await self._share_listing(("joined", integration.id), work, budget_s):
            raise RetryLater(RETRY_S, LISTING_MEMBERSHIPS)

    async def stop(self) -> None:
        """Cancel the refreshes of this worker; another worker continues them."""
        tasks = [task for task, _ in self._listings.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _share_listing(
        self, key: tuple[str, str], work: Callable[[], Coroutine[Any, Any, object]], budget_s: float
    ) -> bool:
        """Start a listing unless this worker runs it, wait for it, raise its error, and return whether it is done.

        All lanes of this worker wait for it at most GRACE_S: a long one must not occupy the worker, whose other lanes
        can be delivered meanwhile.
        """
        now_s = asyncio.get_running_loop().time()
        task, grace_ends_s = self._listings.get(key, (None, 0.0))
        if task is None or task.done():
            task, grace_ends_s = asyncio.create_task(work()), now_s + GRACE_S
            # Its exception is retrieved here, because its callers may have stopped waiting.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._listings[key] = task, grace_ends_s
        await asyncio.wait({task}, timeout=max(min(budget_s, grace_ends_s - now_s), 0.0))
        if task.done():
            task.result()
        return task.done()

    async def _list_joined(self, integration: Integration, token: Secret) -> None:
        lock, holder_id = f"joined:{integration.id}", secrets.token_hex(4)
        claim = partial(self.processes.lock, lock, holder_id, MEMBERSHIPS_LOCK_MS)
        if not await claim():
            raise RetryLater(RETRY_S, LISTING_MEMBERSHIPS)
        try:
            async for page, _ in self._list(integration, token, ListingCursor(), claim, joined=True):
                await self.directory.save_channels(integration.id, *page.conversations)
            await self.directory.mark_memberships_read(integration.id)
        finally:
            await self.processes.unlock(lock, holder_id)

    async def _list(
        self, integration: Integration, token: Secret, cursor: ListingCursor, renew: Callable[[], Awaitable[bool]], *,
        joined: bool = False,
    ) -> AsyncIterator[tuple[ConversationPage, ListingCursor]]:  # fmt: skip
        """Yield each page, public channels first, with the cursor after it; start again when Slack forgets a cursor.

        `renew` renews the claim before each call and during waits. Raises RetryLater when the claim is lost.
        """
        keep_claim = partial(self._keep_claim, integration.id, renew)
        sleep = partial(self._sleep, keep_claim)
        # The calls a minute are those of the method's tier.
        method, per_minute = ("users.conversations", 50) if joined else ("conversations.list", 20)
        restarts, seen = 0, {(cursor.private, cursor.cursor)}
        while True:
            await keep_claim()
            get_page = partial(
                self.gateway.list_conversations, token, private=cursor.private, cursor=cursor.cursor, joined=joined
            )
            try:
                page = await call_in_slot(
                    get_page, self.rate_limiter, integration, method, per_minute, longest_s=MAX_WAIT_S, sleep=sleep
                )
            except RetryLater as error:
                if error.wait_s > MAX_WAIT_S:
                    raise
                await sleep(error.wait_s)
                continue
            except Transient as error:
                restarts += 1
                if error.code != "invalid_cursor" or restarts > MAX_RESTARTS:
                    raise
                cursor, seen = replace(cursor, cursor=""), {(cursor.private, "")}
                continue
            except Blocked as error:
                if not cursor.private or error.code != "missing_scope":
                    raise
                return  # without the scope groups:read, Slack lists no private channels
            following = ListingCursor(cursor.private, page.cursor, cursor.pages + 1)
            is_repeated = bool(page.cursor) and (cursor.private, page.cursor) in seen
            if is_repeated:
                log_event(
                    log, logging.WARNING, "listing of channels ended: Slack repeated a cursor", pages=following.pages
                )
            is_end = is_repeated or not page.cursor
            if is_end:
                following = ListingCursor(private=True, pages=following.pages)
            seen.add((following.private, following.cursor))
            yield page, following
            if is_end and cursor.private:
                return
            cursor = following

    async def _keep_claim(self, integration_id: str, renew: Callable[[], Awaitable[bool]]) -> None:
        if self.stopping():
            raise RetryLater(RETRY_S, "the worker that read the channels of the workspace stops")
        if not await renew():
            raise await self._claimed_by_another(integration_id)

    async def _sleep(self, keep_claim: Callable[[], Awaitable[None]], seconds: float) -> None:
        while seconds > 0:
            await self.sleep(min(seconds, CLAIM_RENEWAL_S))
            await keep_claim()
            seconds -= CLAIM_RENEWAL_S

    async def _claimed_by_another(self, integration_id: str) -> RetryLater:
        """Return the reason why a lane waits while the channels are listed."""
        so_far = (await self.directory.get_status(integration_id)).scanned_channels
        progress = f", {so_far:,} so far" if so_far else ""
        return RetryLater(RETRY_S, f"the channels of the workspace are being read{progress}")

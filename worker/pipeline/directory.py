"""Directory: read whole by one worker for all, page by page; Slack tells meanwhile where the bot is."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from worker.domain.errors import NotYet, Refusal, filled
from worker.domain.integration import Integration, Page, Place, Secret
from worker.pipeline.gateway import Gateway, Sleep
from worker.pipeline.listing import Which, list_channels
from worker.store.directory import Directory
from worker.store.pace import Pace
from worker.store.readings import CLAIM_MS, Readings
from worker.store.upkeep import Upkeep
from worker.telemetry import Told, say

log = logging.getLogger("worker.directory")

LOOK_AGAIN_S = 3.0
MOMENTS_S = 2.0  # in which a workspace of few channels is read
JOINED_ENOUGH_S = 15.0  # for all workers together
JOINED_LOCK_MS = 30_000
SIGN_OF_LIFE_S = CLAIM_MS / 3000
ASKING_JOINED = "Slack is being asked which channels the bot is in"
STOPS = "the worker that read the channels of the workspace stops"

Progress = Callable[[int, int], None]
"""Told of each page how many there are by now, and how many channels."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """A reading of this worker, and the moments in which lanes wait for it."""

    reading: asyncio.Task[int]
    moments: asyncio.Task[object]


@dataclass(slots=True)
class DirectoryReader:
    """Reads directories. What it has begun goes on by itself, until `leave`."""

    directory: Directory
    readings: Readings
    gateway: Gateway
    allowances: Pace
    upkeep: Upkeep
    who: str
    stopping: Callable[[], bool]
    sleep: Sleep = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    _begun: dict[str, _Begun] = field(default_factory=dict)
    _asking: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def read(
        self, integration: Integration, token: Secret, *,
        unless_younger_s: float | None = None, progress: Progress = lambda *_: None,
    ) -> int:  # fmt: skip
        """Read every channel of the workspace, or the rest of a reading that was broken off: how many pages.

        0 when it was read less than `unless_younger_s` ago. NotYet while another reads. What ends it in the
        middle, a Refusal or a NotYet, leaves the directory as it was.
        """
        reader = f"{self.who}:{secrets.token_hex(4)}"
        place = await self.readings.claim(integration.id, reader)
        if place is None:
            raise await self._another_reads(integration.id)
        try:
            age_s = (await self.directory.known(integration.id)).age_s
            if age_s is not None and unless_younger_s is not None and age_s <= unless_younger_s:
                return 0
            return await self._read_on(integration, token, reader, place, progress)
        finally:
            await self.readings.give_up(integration.id, reader)

    async def begin(
        self, integration: Integration, token: Secret, *, unless_younger_s: float, budget_s: float
    ) -> NotYet | None:
        """See that the directory is read: None when it is by now, else why it is not yet.

        One reading serves all lanes of this worker. They wait for it in its first moments only: a long one
        must not keep the permits from those who can be told without it.
        """
        begun = self._begun.get(integration.id)
        if begun is None or begun.reading.done():
            reading = _started(self.read(integration, token, unless_younger_s=unless_younger_s))
            begun = _Begun(reading, _started(asyncio.wait({reading}, timeout=MOMENTS_S)))
            self._begun[integration.id] = begun
        await asyncio.wait({begun.moments}, timeout=max(budget_s, 0.0))
        if not begun.reading.done():
            return await self._another_reads(integration.id)
        try:
            begun.reading.result()
        except NotYet as error:
            return error
        return None

    async def note_joined(self, integration: Integration, token: Secret, *, budget_s: float) -> None:
        """See that the directory has every channel the bot is in: often two calls, however large it is.

        NotYet while Slack is being asked, by this worker or another.
        """
        joined_age_s = (await self.directory.known(integration.id)).joined_age_s
        if joined_age_s is not None and joined_age_s <= JOINED_ENOUGH_S:
            return
        asking = self._asking.get(integration.id)
        if asking is None or asking.done():
            asking = self._asking[integration.id] = _started(self._ask_joined(integration, token))
        done, _ = await asyncio.wait({asking}, timeout=min(max(budget_s, 0.0), MOMENTS_S))
        if not done:
            raise NotYet(LOOK_AGAIN_S, ASKING_JOINED)
        asking.result()

    async def leave(self) -> None:
        """Give up what was begun; a worker that goes on reads on."""
        begun = [task for one in self._begun.values() for task in (one.reading, one.moments)]
        left = [task for task in (*begun, *self._asking.values()) if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _read_on(
        self, integration: Integration, token: Secret, reader: str, place: Place, progress: Progress
    ) -> int:
        began, pages, so_far = self.clock(), place.pages, 0
        told: dict[str, Told] = {"integration": integration.name, "went_on_after": place.pages}

        async def holding() -> None:
            if self.stopping():
                raise NotYet(LOOK_AGAIN_S, STOPS)
            if not await self.readings.keep(integration.id, reader):
                raise await self._another_reads(integration.id)

        async def found(page: Page, following: Place) -> None:
            nonlocal pages, so_far
            kept = await self.readings.page(integration.id, reader, page.conversations, following)
            if kept is None:
                raise await self._another_reads(integration.id)
            pages, so_far = following.pages, kept
            progress(pages, so_far)

        try:
            await list_channels(
                self.gateway, self.allowances, integration, token, Which.ALL,
                start=place, found=found, sleep=self._showing_life(holding), holding=holding,
            )  # fmt: skip
        except (Refusal, NotYet) as error:
            reason = filled(error.reason, integration=integration.name, bot=integration.bot_name)
            say(log, logging.WARNING, "directory not read", **told, pages=pages, reason=reason)
            raise
        if not await self.readings.whole(integration.id, reader):
            raise await self._another_reads(integration.id)
        took_s = self.clock() - began
        say(log, logging.INFO, "directory read", **told, pages=pages, channels=so_far, took_s=took_s)
        return pages

    async def _ask_joined(self, integration: Integration, token: Secret) -> None:
        lock, who = f"joined:{integration.id}", secrets.token_hex(4)
        if not await self.upkeep.lock(lock, who, JOINED_LOCK_MS):
            raise NotYet(LOOK_AGAIN_S, ASKING_JOINED)

        async def found(page: Page, _: Place) -> None:
            await self.directory.note(integration.id, *page.conversations)

        async def holding() -> None:
            if self.stopping():
                raise NotYet(LOOK_AGAIN_S, STOPS)

        try:
            await list_channels(
                self.gateway, self.allowances, integration, token, Which.JOINED,
                start=Place(), found=found, sleep=self._showing_life(holding), holding=holding,
            )  # fmt: skip
            await self.directory.note_joined_known(integration.id)
        finally:
            await self.upkeep.unlock(lock, who)

    def _showing_life(self, holding: Callable[[], Awaitable[None]]) -> Sleep:
        """A sleep in which the claim is kept, and which raises when there is nothing to wake up for."""

        async def sleep(seconds: float) -> None:
            while seconds > 0:
                await self.sleep(min(seconds, SIGN_OF_LIFE_S))
                await holding()
                seconds -= SIGN_OF_LIFE_S

        return sleep

    async def _another_reads(self, integration_id: str) -> NotYet:
        """Why a lane waits, for people to see."""
        so_far = (await self.directory.known(integration_id)).so_far
        found = f", {so_far:,} so far" if so_far else ""
        return NotYet(LOOK_AGAIN_S, f"the channels of the workspace are being read{found}")


def _started(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task whose failure is for those who ask, if anyone does."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task

"""Record: what Slack answered goes into the lane, and one canonical line into the log."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_fixed

from worker.domain.delivery import Outcome, Receipt
from worker.domain.errors import (
    Blocked,
    NotYet,
    Refusal,
    Scope,
    Throttled,
    Uncertain,
    Undeliverable,
    Unlisted,
    filled,
)
from worker.domain.integration import Integration
from worker.pipeline.gateway import Sleep
from worker.store.integrations import Integrations
from worker.store.lanes import Held, Lanes, Left, Taken
from worker.store.pace import Pace
from worker.store.server import Unavailable
from worker.telemetry import say

log = logging.getLogger("worker.attempt")

FIRST_SNOOZE_S, LONGEST_SNOOZE_S = 2.0, 300.0
TRIES_OF_UNLISTED = 5
FAULT = "fault"  # of this program: tried as often as a code nobody has listed
RECEIPT_KEPT_S = 25.0  # below the lease: as long as the lane is ours, its receipt can still be recorded
RECEIPT_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Ended:
    """How one round of a lane ended: what waits, whether it is still ours, and why it lies down.

    `split`: what was taken is told one by one from now on.
    """

    left: Left
    snoozed_s: float = 0.0
    reason: str = ""
    failed: bool = False
    told: bool = False
    split: bool = False


@dataclass(slots=True)
class Round:
    """One round of a lane: what was taken, to where, whether Slack was called."""

    held: Held
    integration: Integration | None = None
    channel: str = ""
    name: str = ""
    taken: tuple[Taken, ...] = ()
    called: bool = False
    pace_s: float = 0.0
    post_s: float = 0.0

    @property
    def workspace(self) -> str:
        """Whose pace it keeps."""
        return self.integration.workspace if self.integration else self.held.integration_id

    def filled(self, text: str) -> str:
        """A reason or hint with the names people know."""
        return filled(
            text,
            integration=self.integration.name if self.integration else self.held.integration_id,
            bot=self.integration.bot_name if self.integration else "",
            channel=self.name or self.held.destination,
        )


@dataclass(slots=True)
class Recorder:
    """Writes down how a round ended; the class of the error is the decision."""

    lanes: Lanes
    integrations: Integrations
    allowances: Pace
    probe_s: float
    sleep: Sleep
    jitter: Callable[[], float] = random.random

    async def delivered(self, one: Round, receipt: Receipt, lead: str, *, leave: bool) -> Ended:
        """Everything taken is told; a receipt is not given up because Redis is away for a moment."""
        say_attempt(one, logging.INFO, Outcome.DELIVERED, ts=receipt.ts)
        try:
            left = await self.lanes.settle(one.held, receipt, lead, leave=leave)
        except Unavailable:
            left = await self._settle_later(one, receipt, lead, leave=leave)
        return Ended(left, told=True)

    async def _settle_later(self, one: Round, receipt: Receipt, lead: str, *, leave: bool) -> Left:
        """Once Redis is back, as long as the lane is ours."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_fixed(RECEIPT_AGAIN_S),
            stop=stop_after_delay(RECEIPT_KEPT_S) | stop_after_attempt(int(RECEIPT_KEPT_S / RECEIPT_AGAIN_S)),
            sleep=self.sleep,
            reraise=True,
        ):
            with attempt:
                left = await self.lanes.settle(one.held, receipt, lead, leave=leave)
        return left

    async def refused(self, one: Round, error: Refusal | NotYet) -> Ended:
        """What happens next after a refusal; `Ended.left.held` when the lane goes on at once."""
        match error:
            case NotYet():
                left = await self.lanes.release(one.held, wait_s=error.wait_s, reason=error.reason)
                return Ended(left, error.wait_s, error.reason)
            case Throttled():
                return await self._throttled(one, error)
            case Blocked():
                return await self._blocked(one, error)
            case Undeliverable() if one.called:
                return await self._undeliverable(one, error)
            case Unlisted() if one.called and one.held.unlisted + 1 >= TRIES_OF_UNLISTED:
                return await self._undeliverable(one, error)
            case _:
                return await self._failed(one, error)

    async def _throttled(self, one: Round, error: Throttled) -> Ended:
        everyone = await self.allowances.close(one.workspace, one.channel, error.retry_after_s)
        say_attempt(one, logging.WARNING, Outcome.THROTTLED, error.code, error.retry_after_s, all=everyone)
        left = await self.lanes.release(
            one.held,
            outcome=Outcome.THROTTLED if one.called else "",
            code=error.code,
            wait_s=error.retry_after_s,
            reason=error.reason,
        )
        return Ended(left, error.retry_after_s, error.reason, failed=True)

    async def _failed(self, one: Round, error: Refusal) -> Ended:
        wait_s = snooze_s(one.held.failures, self.jitter())
        outcome = Outcome.UNKNOWN if isinstance(error, Uncertain) else Outcome.TRANSIENT
        if isinstance(error, Unlisted) and error.code != FAULT:
            say(log, logging.ERROR, "unlisted error code: add a row to slack/codes.py", code=error.code)
        say_attempt(one, logging.WARNING, outcome, error.code, wait_s, reason=error.reason)
        left = await self.lanes.release(
            one.held,
            outcome=outcome if one.called else "",
            code=error.code,
            wait_s=wait_s,
            failed=True,
            unlisted=isinstance(error, Unlisted),
            reason=one.filled(error.reason),
        )
        return Ended(left, wait_s, f"{error.code}: {one.filled(error.reason)}", failed=True)

    async def _blocked(self, one: Round, error: Blocked) -> Ended:
        reason, hint = one.filled(error.reason), one.filled(error.hint)
        if error.scope is Scope.INTEGRATION:
            name = one.held.integration_id
            version = one.held.integrations_version
            if await self.integrations.park(
                name, error.code, reason, hint, probe_s=self.probe_s, version=version
            ):
                say(log, logging.ERROR, "integration parked", integration=name, code=error.code,
                    reason=reason, hint=hint)  # fmt: skip
            left = await self.lanes.release(
                one.held, outcome=Outcome.BLOCKED if one.called else "", code=error.code
            )
            return Ended(left, reason=reason)
        say_attempt(one, logging.WARNING, Outcome.BLOCKED, error.code, reason=reason, hint=hint)
        await self.lanes.park(one.held, error.code, reason, hint, probe_s=self.probe_s, called=one.called)
        return Ended(Left(len(one.taken), held=False), reason=reason)

    async def _undeliverable(self, one: Round, error: Refusal) -> Ended:
        """Several together are told one by one; one alone becomes a dead letter."""
        say_attempt(one, logging.ERROR, Outcome.REFUSED, error.code, reason=error.reason)
        if len(one.taken) > 1:
            return Ended(await self.lanes.split(one.held, error.code), split=True)
        return Ended(await self.lanes.bury(one.held, error.code, one.filled(error.reason)))


def snooze_s(failures: int, jitter: float) -> float:
    """How long a lane lies down after its n-th failure in a row: 2 s, 4 s … 5 min, less up to a half."""
    longest = min(FIRST_SNOOZE_S * 2.0 ** min(failures, 20), LONGEST_SNOOZE_S)
    return longest * (1 - jitter / 2)


def say_attempt(
    one: Round, level: int, outcome: Outcome, code: str = "", wait_s: float = 0.0, **more: str | bool
) -> None:
    """The canonical line of one attempt."""
    say(
        log, level, "attempt" if one.called else "no attempt", lane=one.held.lane, channel=one.channel,
        outcome=outcome, code=code, told=len(one.taken), wait_s=wait_s, pace_s=one.pace_s, post_s=one.post_s,
        **more,
    )  # fmt: skip

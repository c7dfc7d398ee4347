"""Record: what Slack answered goes into the lane, and one canonical line into the log."""

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_fixed

from worker.domain.card import Card, has_card, new_card
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
)
from worker.domain.folding import Call, Choice
from worker.domain.runs import runs_by_resource
from worker.pipeline.attempt import EDITING, Ended, Round, end_attempt
from worker.pipeline.gateway import Sleep
from worker.store.held import Left
from worker.store.integrations import Integrations
from worker.store.lanes import Lanes
from worker.store.pace import Pace
from worker.store.server import Unavailable
from worker.telemetry import COUNTERS, say

log = logging.getLogger("worker.attempt")

FIRST_SNOOZE_S, LONGEST_SNOOZE_S = 2.0, 300.0
TRIES_OF_UNLISTED = 5
FAULT = "fault"  # of this program: tried as often as a code nobody has listed
RECEIPT_KEPT_S = 25.0  # below the lease: as long as the lane is ours, its receipt can still be recorded
RECEIPT_AGAIN_S = 0.5
EDITS_AGAIN_S = 1.0
THREAD_CLOSED = frozenset((
    "cannot_reply_to_message", "restricted_action_thread_locked", "restricted_action_non_threadable_channel",
))  # fmt: skip


@dataclass(slots=True)
class Recorder:
    """Writes down how a round ended; the class of the error is the decision."""

    lanes: Lanes
    integrations: Integrations
    allowances: Pace
    probe_s: float
    sleep: Sleep
    jitter: Callable[[], float] = random.random

    async def told(self, one: Round, choice: Choice, receipt: Receipt, *, leave: bool) -> Ended:
        """Everything taken is told; a receipt is not given up because Redis is away for a moment."""
        if choice.call is Call.NONE:
            merging = partial(self.lanes.merge, one.held, choice.already, leave=leave)
            return Ended(await self._recorded(merging), told=len(one.taken))
        end_attempt(one, logging.INFO, Outcome.DELIVERED, ts=receipt.ts)
        card = _card_after(choice, one.channel, receipt)
        if choice.call is Call.EDIT and card and card.owes_reply(choice.event):
            recording = partial(self.lanes.change_card, one.held, choice.about, card, Outcome.DELIVERED)
            return Ended(await self._recorded(recording))
        named = (choice.about, card) if card else None
        records = _records(choice, one.channel, receipt) if one.keeps_record else {}
        runs = runs_by_resource([choice.event]) if one.keeps_runs and named else {}
        recording = partial(
            self.lanes.settle, one.held, receipt, choice.lead,
            leave=leave, card=named, owed=choice.owed, records=records, runs=runs,
        )  # fmt: skip
        return Ended(await self._recorded(recording), told=len(one.taken) - len(choice.owed))

    async def _recorded(self, recording: Callable[[], Awaitable[Left]]) -> Left:
        """Once Redis is back, as long as the lane is ours."""
        try:
            return await recording()
        except Unavailable:
            return await self._recorded_later(recording)

    async def _recorded_later(self, recording: Callable[[], Awaitable[Left]]) -> Left:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_fixed(RECEIPT_AGAIN_S),
            stop=stop_after_delay(RECEIPT_KEPT_S) | stop_after_attempt(int(RECEIPT_KEPT_S / RECEIPT_AGAIN_S)),
            sleep=self.sleep,
            reraise=True,
        ):
            with attempt:
                left = await recording()
        return left

    async def refused(self, one: Round, error: Refusal | NotYet) -> Ended:
        """What happens next after a refusal; `Ended.left.held` when the lane goes on at once."""
        match error:
            case NotYet():
                left = await self.lanes.release(one.held, wait_s=error.wait_s, reason=error.reason)
                return Ended(left, error.wait_s, error.reason)
            case Throttled():
                return await self._throttled(one, error)
            case Blocked() if one.choice and one.call is Call.REPLY and error.code in THREAD_CLOSED:
                return await self._card_refused(one, one.choice, error)
            case Blocked():
                return await self._blocked(one, error)
            case Undeliverable() if one.called:
                return await self._undeliverable(one, error)
            case Unlisted() if one.called and one.held.unlisted + 1 >= TRIES_OF_UNLISTED:
                return await self._undeliverable(one, error)
            case _:
                return await self._failed(one, error)

    async def _card_refused(self, one: Round, choice: Choice, error: Refusal) -> Ended:
        """What cannot be edited any more is forgotten; a thread that is closed is told nothing more."""
        end_attempt(one, logging.WARNING, Outcome.REFUSED, error.code, reason=error.reason)
        card = choice.card.told(choice.event) if choice.card and choice.call is Call.REPLY else None
        left = await self.lanes.change_card(one.held, choice.about, card, Outcome.REFUSED, error.code)
        return Ended(left)

    async def _throttled(self, one: Round, error: Throttled) -> Ended:
        if one.call is Call.EDIT:
            return await self._edits_throttled(one, error)
        everyone = await self.allowances.close(one.workspace, one.channel, error.retry_after_s)
        end_attempt(one, logging.WARNING, Outcome.THROTTLED, error.code, error.retry_after_s, all=everyone)
        return await self._lie_down(one, error, error.retry_after_s)

    async def _edits_throttled(self, one: Round, error: Throttled) -> Ended:
        """Nobody edits until then; the lane goes on with what it has to post."""
        await self.allowances.close_method(one.workspace, EDITING, error.retry_after_s)
        end_attempt(one, logging.WARNING, Outcome.THROTTLED, error.code, error.retry_after_s)
        return await self._lie_down(one, error, EDITS_AGAIN_S)

    async def _lie_down(self, one: Round, error: Throttled, wait_s: float) -> Ended:
        left = await self.lanes.release(
            one.held,
            outcome=Outcome.THROTTLED if one.called else "",
            code=error.code,
            wait_s=wait_s,
            reason=error.reason,
        )
        return Ended(left, wait_s, error.reason, failed=True)

    async def _failed(self, one: Round, error: Refusal) -> Ended:
        wait_s = snooze_s(one.held.failures, self.jitter())
        outcome = Outcome.UNKNOWN if isinstance(error, Uncertain) else Outcome.TRANSIENT
        if isinstance(error, Unlisted) and error.code != FAULT:
            say(log, logging.ERROR, "unlisted error code: add a row to slack/codes.py", code=error.code)
        end_attempt(one, logging.WARNING, outcome, error.code, wait_s, reason=error.reason)
        left = await self.lanes.release(
            one.held,
            outcome=outcome if one.called else "",
            code=error.code,
            wait_s=wait_s,
            failed=True,
            unlisted=isinstance(error, Unlisted),
            reason=one.filled(error.reason),
        )
        return Ended(left, wait_s, one.filled(error.reason), failed=True)

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
                COUNTERS.count("parkings", Scope.INTEGRATION, error.code)
            if one.called:
                end_attempt(one, logging.WARNING, Outcome.BLOCKED, error.code, reason=reason)
            left = await self.lanes.release(
                one.held, outcome=Outcome.BLOCKED if one.called else "", code=error.code
            )
            return Ended(left, reason=reason)
        end_attempt(one, logging.WARNING, Outcome.BLOCKED, error.code, reason=reason, hint=hint)
        await self.lanes.park(one.held, error.code, reason, hint, probe_s=self.probe_s, called=one.called)
        COUNTERS.count("parkings", Scope.LANE, error.code)
        return Ended(Left(len(one.taken), held=False), reason=reason)

    async def _undeliverable(self, one: Round, error: Refusal) -> Ended:
        """Several things are told one by one; of one the state told is a dead letter; a card is made anew."""
        if one.choice and one.choice.card:
            return await self._card_refused(one, one.choice, error)
        end_attempt(one, logging.ERROR, Outcome.REFUSED, error.code, reason=error.reason)
        if len(one.taken) > 1:
            lines = one.choice.folding.lines if one.choice else ()
            if len(lines) != 1:
                return Ended(await self.lanes.split(one.held, error.code), split=True)
            await self.lanes.close_attempt(one.held, Outcome.REFUSED, error.code, 0)
            await self.lanes.keep(one.held, one.taken, [lines[0].delivery_id], method="")
        return Ended(await self.lanes.bury(one.held, error.code, one.filled(error.reason)))


def _card_after(choice: Choice, address: str, receipt: Receipt) -> Card | None:
    """What the card is once this was told; None when it tells of no card."""
    if not choice.about:
        return None
    match choice.call, choice.card:
        case Call.EDIT, Card() as card:
            return card.showing(choice.event)
        case Call.REPLY, Card() as card:
            return card.told(choice.event)
        case _:
            return new_card(choice.event, address, receipt, choice.lead)


def _records(choice: Choice, address: str, receipt: Receipt) -> dict[str, Card]:
    """What a message without a card told: no card is to show what is older, and some want no repeat."""
    if choice.about:
        return {}
    told = (line.event for line in choice.folding.lines if has_card(line.event))
    return {event.about: new_card(event, address, receipt, choice.lead) for event in told}


def snooze_s(failures: int, jitter: float) -> float:
    """How long a lane lies down after its n-th failure in a row: 2 s, 4 s … 5 min, less up to a half."""
    longest = min(FIRST_SNOOZE_S * 2.0 ** min(failures, 20), LONGEST_SNOOZE_S)
    return longest * (1 - jitter / 2)

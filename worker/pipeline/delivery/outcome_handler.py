"""The state of a delivery attempt, and the handler that records how it ended: the class of the error decides."""

import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_fixed

from worker.domain import errors
from worker.domain.card import Card, can_have_card, new_card
from worker.domain.delivery import Outcome, Receipt
from worker.domain.integration import POST_SCOPE, Integration, Secret
from worker.domain.message_plan import CallKind, PlannedCall
from worker.pipeline.gateway import Gateway, Sleep
from worker.store.integrations import Integrations
from worker.store.lanes import LaneRemainder, Lanes, Lease, TakenDelivery
from worker.store.rate_limiter import RateLimiter
from worker.store.redis_errors import StoreUnavailable
from worker.store.subscriptions import Subscriptions
from worker.telemetry import COUNTERS, LogValue, log_event

log = logging.getLogger("worker.attempt")

FIRST_SNOOZE_S, LONGEST_SNOOZE_S = 2.0, 300.0
UNLISTED_ATTEMPTS = 5
INTERNAL_ERROR = "fault"  # the code of an unexpected exception, retried as often as an unlisted error code of Slack's
RECORD_WITHIN_S = 25.0  # below the lease: as long as the lane is held, its receipt can still be recorded
RECORD_RETRY_S = 0.5
CLOSED_THREAD_CODES = frozenset((
    "cannot_reply_to_message", "restricted_action_thread_locked", "restricted_action_non_threadable_channel",
))  # fmt: skip
#: A reply was refused because its card's message is gone: the state gets a new card.
GONE_THREAD_CODES = frozenset(("thread_not_found", "message_not_found", "invalid_thread_ts"))


Result = TypeVar("Result")

#: A workspace that refuses an edit for one of these may still accept a new message.
CLOSED_CARD_CODES = frozenset(("restricted_action", "posting_to_channel_denied", "cant_broadcast_message"))


@dataclass(slots=True)
class AttemptState:
    """The facts of one attempt. The steps of `LaneSession.deliver_next` fill them in, in this order."""

    lease: Lease
    integration: Integration | None = None
    token: Secret | None = None
    channel: str = ""  #: Slack's id of the conversation or user to send to, and the name that people know it by.
    channel_name: str = ""
    pace_s: float = 0.0  #: Seconds waited for rate-limit slots.
    taken: tuple[TakenDelivery, ...] = ()  #: The deliveries taken, and once a call is planned those that it covers.
    #: Whether a call to Slack is open in the lane's attempt log: not if the plan makes no call, nor if a retry gives
    #: way to newer deliveries.
    is_open: bool = False
    call: PlannedCall | None = None
    failures: list[errors.Transient] = field(default_factory=list)  #: Of calls that surely posted nothing.
    post_s: float = 0.0  #: Seconds that the call took, with its retries.
    note: str = ""  #: What a person should know about the message that was sent.

    @property
    def kind(self) -> CallKind:
        """Return the kind of the planned call, POST before there is a plan."""
        return self.call.kind if self.call else CallKind.POST

    @property
    def unlisted(self) -> int:
        """Return how many calls in a row failed with an unlisted code; of edits, how many failed."""
        return self.lease.edit_failures if self.kind is CallKind.EDIT else self.lease.unlisted

    @property
    def workspace(self) -> str:
        """Return the workspace whose rate limits apply."""
        return self.integration.workspace_id if self.integration else self.lease.integration_id

    def format_hint(self, text: str) -> str:
        """Put the names of the integration, the bot and the channel into a reason or hint."""
        app, channel = self.integration, self.channel_name or self.lease.destination
        name, bot = (app.name, app.bot_name) if app else (self.lease.integration_id, "")
        return errors.format_hint(text, integration=name, bot=bot, channel=channel)

    def log(self, level: int, outcome: Outcome, code: str = "", wait_s: float = 0.0, **fields: LogValue) -> None:
        """Log the attempt in one line; where Slack was not called, why not."""
        log_event(
            log, level, "attempt" if self.is_open else "no attempt", lane=self.lease.lane, channel=self.channel,
            method=self.kind.method if self.is_open else "", outcome=outcome, code=code, deliveries=len(self.taken),
            wait_s=wait_s, pace_s=self.pace_s, post_s=self.post_s, **fields,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """Result of an attempt."""

    remainder: LaneRemainder
    reason: str = ""  #: Why the session ends; empty when it goes on, or nothing is pending.
    retry_s: float = 0.0  #: Seconds that the lane waits out a failure; 0 for none.
    finished: int = 0  #: Deliveries that are delivered or merged now.
    is_sent: bool = False  #: Whether a call to Slack finished them.
    is_split: bool = False  #: Slack rejected a digest: its deliveries are sent alone next.
    edits_wait_s: float = 0.0  #: Seconds that the cards of the lane are not edited, after an edit that failed.


@dataclass(slots=True)
class OutcomeHandler:
    """Records the outcome of an attempt in the lane, the log and the counters."""

    lanes: Lanes
    integrations: Integrations
    gateway: Gateway
    subscriptions: Subscriptions
    rate_limiter: RateLimiter
    probe_s: float  #: Seconds until the cause of a parked lane or integration is probed.
    sleep: Sleep
    jitter: Callable[[], float] = random.random
    now_s: Callable[[], float] = time.time  #: Unix seconds.

    async def record_success(
        self, attempt: AttemptState, call: PlannedCall, receipt: Receipt, *, leave: bool
    ) -> AttemptResult:
        """Record that the deliveries of `call` are sent, or covered by another message where it made no call.

        With `leave` the lane is released even if more deliveries are pending.
        """
        lanes, lease = self.lanes, attempt.lease
        if call.kind is CallKind.NONE:
            merge = partial(lanes.merge, lease, call.covered, release=leave)
            return AttemptResult(await self._record(merge), finished=len(attempt.taken))
        self._end(attempt, logging.INFO, Outcome.DELIVERED, ts=receipt.ts)
        card = card_after(call, attempt.channel, receipt)
        is_edit_due = call.kind is CallKind.REPLY and card and card.is_older_than(call.event)
        if is_edit_due or (call.kind is CallKind.EDIT and card and card.needs_reply(call.event)):
            change = partial(lanes.update_card, lease, call.subject_key, card, Outcome.DELIVERED)
            return AttemptResult(await self._record(change))
        keeps_records = lease.lane in self.subscriptions.lanes_compared
        keeps_runs = card and lease.lane in self.subscriptions.lanes_of_inhibition
        settle = partial(
            lanes.settle, lease, receipt, call.lead_id, release=leave, card_pending=call.card_pending,
            card=(call.subject_key, card) if card else None,
            records=records_after(call, attempt.channel, receipt) if keeps_records else {},
            runs=dict.fromkeys(call.event.resource_keys, call.event.subject_key) if keeps_runs else {},
            alert=(call.event.fingerprint, call.event.source) if card and call.event.fingerprint else ("", ""),
            replaced=call.replaced,
        )  # fmt: skip
        if attempt.note:
            await self._record(partial(lanes.add_note, call.lead_id, attempt.note))
        return AttemptResult(await self._record(settle), finished=len(attempt.taken), is_sent=True)

    async def _record(self, step: Callable[[], Awaitable[Result]]) -> Result:
        """Run a step of the store, again while Redis is away and the lease lasts: a receipt must not be lost."""
        try:
            return await step()
        except StoreUnavailable:
            stop = stop_after_delay(RECORD_WITHIN_S) | stop_after_attempt(int(RECORD_WITHIN_S / RECORD_RETRY_S))
            only = retry_if_exception_type(StoreUnavailable)
            retry = AsyncRetrying(self.sleep, stop, wait_fixed(RECORD_RETRY_S), only, reraise=True)
            return await retry(step)

    async def handle_failure(
        self, attempt: AttemptState, error: errors.SlackError | errors.RetryLater
    ) -> AttemptResult:
        """Do what the class of `error` decides; the session goes on if the lane is still held afterwards."""
        call = attempt.call
        match error:
            case errors.RetryLater():
                remainder = await self.lanes.release(
                    attempt.lease, wait_s=error.wait_s, reason="" if error.until_next else error.reason
                )
                return AttemptResult(remainder, error.reason)
            case errors.Throttled():
                return await self._handle_throttled(attempt, error)
            case errors.Blocked() if call and call.kind is CallKind.REPLY and error.code in CLOSED_THREAD_CODES:
                return await self._give_up_card(attempt, call, error)
            case errors.Blocked() if call and call.kind is CallKind.EDIT and error.code in CLOSED_CARD_CODES:
                return await self._give_up_card(attempt, call, error)  # a new card shows whether posts are refused too
            case errors.Blocked():
                return await self._park(attempt, error)
            case errors.Undeliverable() if attempt.is_open:
                return await self._handle_rejected(attempt, error)
            case errors.UnlistedCode() if attempt.is_open and attempt.unlisted + 1 >= UNLISTED_ATTEMPTS:
                return await self._handle_rejected(attempt, error)
            case _:
                failures = attempt.lease.edit_failures if attempt.kind is CallKind.EDIT else attempt.lease.failures
                wait_s = snooze_s(failures, self.jitter())
                outcome = Outcome.UNKNOWN if isinstance(error, errors.Uncertain) else Outcome.TRANSIENT
                if isinstance(error, errors.UnlistedCode) and error.code != INTERNAL_ERROR:
                    text = "unlisted error code: add a row to slack/error_codes.py"
                    log_event(log, logging.ERROR, text, code=error.code)
                self._end(attempt, logging.WARNING, outcome, error.code, wait_s, reason=error.reason)
                if attempt.kind is CallKind.EDIT:
                    return await self._put_off_edits(attempt, error, outcome, wait_s)
                return await self._release(attempt, error, outcome, wait_s)

    async def _handle_throttled(self, attempt: AttemptState, error: errors.Throttled) -> AttemptResult:
        """Close what Slack throttles for every worker, and release the lane until it opens again.

        Throttled edits stop all edits of the workspace, but the lane continues with its posts.
        """
        wait_s = error.retry_after_s
        if attempt.kind is CallKind.EDIT:
            await self.rate_limiter.close_method(attempt.workspace, CallKind.EDIT.method, wait_s)
            self._end(attempt, logging.WARNING, Outcome.THROTTLED, error.code, wait_s)
            return await self._put_off_edits(attempt, error, Outcome.THROTTLED, wait_s)
        is_workspace_closed = await self.rate_limiter.close_channel(attempt.workspace, attempt.channel, wait_s)
        self._end(attempt, logging.WARNING, Outcome.THROTTLED, error.code, wait_s, all=is_workspace_closed)
        return await self._release(attempt, error, Outcome.THROTTLED, wait_s)

    async def _put_off_edits(
        self, attempt: AttemptState, error: errors.SlackError, outcome: Outcome, wait_s: float
    ) -> AttemptResult:
        """Edit no card of the lane for `wait_s`, and keep the lease: posts do not wait for edits."""
        remainder = await self.lanes.put_off_edits(attempt.lease, outcome, error.code, wait_s)
        return AttemptResult(remainder, edits_wait_s=wait_s)

    async def _release(
        self, attempt: AttemptState, error: errors.SlackError, outcome: Outcome, wait_s: float = 0.0
    ) -> AttemptResult:
        """Release the lane and snooze it for `wait_s`; after a failure the next snooze is longer."""
        reason = attempt.format_hint(error.reason)
        remainder = await self.lanes.release(
            attempt.lease, outcome=outcome if attempt.is_open else "", code=error.code, wait_s=wait_s, reason=reason,
            failed=outcome in (Outcome.UNKNOWN, Outcome.TRANSIENT), unlisted=isinstance(error, errors.UnlistedCode),
        )  # fmt: skip
        return AttemptResult(remainder, reason, retry_s=wait_s)

    async def _park(self, attempt: AttemptState, error: errors.Blocked) -> AttemptResult:
        """Park the lane until a person acts, or all lanes of the integration: the first of them logs and counts it."""
        lease, reason, hint = attempt.lease, attempt.format_hint(error.reason), error.hint.map(attempt.format_hint)
        try:
            blocks_lane_only = error.scope is errors.Scope.LANE or await self._is_token_good(attempt, error)
        except errors.SlackError:  # it is not known yet
            return await self._release(attempt, error, Outcome.BLOCKED, snooze_s(lease.failures, self.jitter()))
        if blocks_lane_only:
            self._end(attempt, logging.WARNING, Outcome.BLOCKED, error.code, reason=reason, hint=str(hint))
            await self.lanes.park(lease, error.code, reason, hint, probe_s=self.probe_s, called=attempt.is_open)
            COUNTERS.increment("parkings", errors.Scope.LANE, error.code)
            return AttemptResult(LaneRemainder(pending=len(attempt.taken), holds_lease=False), reason)
        name, version = lease.integration_id, lease.integrations_version
        if await self.integrations.park(name, error.code, reason, hint, probe_s=self.probe_s, version=version):
            fields = {"integration": name, "code": error.code, "reason": reason, "hint": str(hint)}
            log_event(log, logging.ERROR, "integration parked", **fields)
            COUNTERS.increment("parkings", errors.Scope.INTEGRATION, error.code)
        if attempt.is_open:
            self._end(attempt, logging.WARNING, Outcome.BLOCKED, error.code, reason=reason)
        return await self._release(attempt, error, Outcome.BLOCKED)

    async def _is_token_good(self, attempt: AttemptState, error: errors.Blocked) -> bool:
        """Return whether `auth.test` accepts the token, although a call met an error of the whole integration.

        Slack answers such errors for one channel or one method too. Raises SlackError when Slack does not answer.
        """
        if attempt.token is None:
            return False
        try:
            identity = await self.gateway.identify(attempt.token)
        except errors.Blocked:
            return False
        return error.code != "missing_scope" or POST_SCOPE in identity.scopes

    async def _handle_rejected(self, attempt: AttemptState, error: errors.SlackError) -> AttemptResult:
        """Find the delivery at fault: give up a card, split a digest, dead-letter the state of a single subject."""
        lanes, lease, call = self.lanes, attempt.lease, attempt.call
        if call and call.card:
            return await self._give_up_card(attempt, call, error)
        self._end(attempt, logging.ERROR, Outcome.REFUSED, error.code, reason=error.reason)
        if len(attempt.taken) > 1:
            if call is None or len(call.content.lines) > 1:
                return AttemptResult(await lanes.split(lease, error.code), is_split=True)
            # Older states of the subject were not rejected: they go back, and may be sent.
            await lanes.close_attempt(lease, Outcome.REFUSED, error.code, 0)
            await lanes.select(lease, [call.lead_id], method="")
        return AttemptResult(await lanes.dead_letter(lease, error.code, attempt.format_hint(error.reason)))

    async def _give_up_card(self, attempt: AttemptState, call: PlannedCall, error: errors.SlackError) -> AttemptResult:
        """Forget a card that Slack cannot edit, so that a new one is posted; stop the replies in a closed thread."""
        self._end(attempt, logging.WARNING, Outcome.REFUSED, error.code, reason=error.reason)
        keeps_card = call.kind is CallKind.REPLY and error.code not in GONE_THREAD_CODES
        card = call.card.with_reply(call.event) if call.card and keeps_card else None
        remainder = await self.lanes.update_card(attempt.lease, call.subject_key, card, Outcome.REFUSED, error.code)
        return AttemptResult(remainder)

    def _end(
        self, attempt: AttemptState, level: int, outcome: Outcome, code: str = "", wait_s: float = 0.0,
        **fields: LogValue,
    ) -> None:  # fmt: skip
        """Log the last call of an attempt and measure how long it took."""
        attempt.log(level, outcome, code, wait_s, **fields)
        if not attempt.is_open:
            return
        COUNTERS.observe("post", (attempt.post_s,))
        COUNTERS.observe("pace_wait", (attempt.pace_s,))
        if outcome is Outcome.DELIVERED and attempt.kind is not CallKind.REPLY:  # a reply follows its card's edit
            now_s = self.now_s()
            COUNTERS.observe("event_to_post", (now_s - delivery.accepted_at_ms / 1000 for delivery in attempt.taken))


def card_after(call: PlannedCall, address: str, receipt: Receipt) -> Card | None:
    """Return the card after the call; None if the call has none."""
    match call.kind, call.card:
        case CallKind.EDIT, Card() as card:
            return card.with_state(call.event)
        case CallKind.REPLY, Card() as card:
            return card.with_reply(call.event)
        case _:
            return new_card(call.event, address, receipt, call.lead_id) if call.subject_key else None


def records_after(call: PlannedCall, address: str, receipt: Receipt) -> dict[str, Card]:
    """Return the states that a message without a card showed, by subject key."""
    events = [line.event for line in call.content.lines if can_have_card(line.event) and not call.subject_key]
    return {event.subject_key: new_card(event, address, receipt, call.lead_id) for event in events}


def is_restriction(code: str) -> bool:
    """Return whether Slack may have refused a message for what it does, not for the channel or thread it is for.

    https://github.com/slackhq/slack-api-docs/issues/85
    """
    is_of_place = code.endswith(("_channel", "_locked"))
    return code == "cant_broadcast_message" or (code.startswith("restricted_action") and not is_of_place)


def restriction_note(mentions: Sequence[str], code: str) -> str:
    """Return what a person should know about a message that Slack accepted only without its mentions."""
    refused = f"the mention {' '.join(mentions)}" if mentions else "showing a reply in the channel"
    fix = "ask an administrator to allow it for the app, or change the subscription's options"
    return f"Slack refused {refused} in {{channel}} ({code}), so the message was sent without it: {fix}"


def snooze_s(failures: int, jitter: float) -> float:
    """Return how long to snooze after the n-th failure in a row: 2 s, 4 s … 5 min, less up to half as jitter."""
    longest_s = min(FIRST_SNOOZE_S * 2.0 ** min(failures, 20), LONGEST_SNOOZE_S)
    return longest_s * (1 - jitter / 2)

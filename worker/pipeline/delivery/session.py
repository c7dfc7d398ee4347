"""Delivery: `drain` leases a lane, `LaneSession.deliver_next` makes one call to Slack after the other."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    retry_if_not_exception_type,
    retry_never,
    wait_random_exponential,
)  # fmt: skip

from worker.domain.delivery import Address, Outcome, Receipt
from worker.domain.errors import Blocked, LeaseLost, RetryLater, SlackError, Transient, Undeliverable, UnlistedCode
from worker.domain.integration import Secret
from worker.domain.message import Message
from worker.domain.message_plan import CallKind, PlannedCall
from worker.pipeline.delivery import outcome_handler
from worker.pipeline.delivery.event_loader import load_pending, match_resolved
from worker.pipeline.delivery.outcome_handler import AttemptResult, AttemptState, OutcomeHandler
from worker.pipeline.delivery.planner import Batch, plan_calls
from worker.pipeline.delivery.resolver import Resolver, require_connection
from worker.pipeline.gateway import Gateway, Sleep
from worker.rendering.message_builder import MessageBuilder
from worker.rendering.single import reply
from worker.store.events import Events
from worker.store.integrations import Connection, Integrations
from worker.store.keys import RECORD
from worker.store.lanes import BODIES_LIMIT, LEASE_MS, TAKE_LIMIT, Lanes, Lease, LeaseDenied, PaceClosed
from worker.store.rate_limiter import RateLimiter
from worker.store.redis_errors import StoreUnavailable, log_redis_error
from worker.store.subscriptions import Subscriptions, TemplateErrors
from worker.telemetry import log_event

log = logging.getLogger("worker.drain")

BUDGET_S = 10.0  # far below the lease
CALL_LIMIT_S = 16.0  # longer than the HTTP time-out of a call to Slack
CALL_WITHIN_S = LEASE_MS / 1000 - CALL_LIMIT_S  # of the step that renews the lease
SHORTEST_EDIT_WAIT_S = 0.1
REDIS_RETRY_S = 2.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.25, 4.0
RETRY_CAUSES = retry_if_exception_type(Transient) & retry_if_not_exception_type(UnlistedCode)
UNEXPECTED = "unexpected error ({}), see the worker's log"

Send = Callable[[], Awaitable[Receipt]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryDeps:
    """Dependencies of a delivery session; `bootstrap` builds them once per event loop."""

    lanes: Lanes
    events: Events
    integrations: Integrations
    subscriptions: Subscriptions
    rate_limiter: RateLimiter
    resolver: Resolver
    outcomes: OutcomeHandler
    gateway: Gateway
    permits: asyncio.Semaphore  #: Limits how many sessions work at once; waiting for a slot takes no permit.
    is_stopping: Callable[[], bool]
    message_builder: MessageBuilder
    template_errors: TemplateErrors
    edits_per_minute: float = 50.0  #: Slack's limit for `chat.update` in one workspace.
    sleep: Sleep = asyncio.sleep
    clock: Callable[[], float] = time.monotonic  #: Monotonic seconds.
    budget_s: float = BUDGET_S  #: How long a session lasts; a call that has begun may end later.
    plan: Callable[[Batch], list[PlannedCall]] = plan_calls


@dataclass(frozen=True, slots=True)
class DrainResult:
    """Result of a drain, for its one-line summary."""

    lane: str
    posts: int = 0  #: Calls to Slack that finished deliveries.
    finished: int = 0  #: Deliveries that are delivered or merged now.
    wake: bool = False  #: The lane has more to send now: the caller sends it a wake-up call.
    reason: str = ""  #: Why the drain ended; empty when nothing is pending.
    retry_s: float = 0.0  #: Seconds that the lane waits out a failure; 0 for none.


class LaneSession:
    """One lease of one lane."""

    def __init__(self, lease: Lease, connection: Connection | None, deps: DeliveryDeps) -> None:
        self.lease, self.connection, self.deps = lease, connection, deps
        self._ends_at = deps.clock() + deps.budget_s
        self._address: Address | None = None
        #: Whether the last attempt left its slot unused, and when a slot was acquired last.
        self._has_slot, self._slot_at = False, 0.0
        #: The clock time until which a call may begin, so that it ends before the lease does.
        self._may_call_until = 0.0
        #: Deliveries up to this one are sent alone, because Slack rejected a digest of them; 0 for none.
        self._isolate_until_seq = lease.isolate_until_seq
        #: The newest delivery taken, to notice newer ones before a retry; 0 while deliveries are sent alone.
        self._newest_seq = 0
        self._last_lines = 0  # how many subjects the last call showed
        #: The clock time until which no card of the lane is edited, because an edit failed.
        self._no_edits_until = deps.clock() + lease.edits_wait_s

    async def deliver_next(self) -> AttemptResult:
        """Make the next call to Slack, or find that none is needed. Raises LeaseLost and StoreUnavailable."""
        attempt, deps = AttemptState(self.lease), self.deps
        failure: SlackError | RetryLater
        try:
            async with deps.permits:
                token = await self._resolve_destination(attempt)
            await self._acquire_slot(attempt)
            async with deps.permits:
                await self._take_pending(attempt)
                if not attempt.taken:
                    return AttemptResult(await deps.lanes.release(self.lease))
                call = await self._plan(attempt)
                receipt = await self.send(attempt, call, token)
        except (SlackError, RetryLater) as error:
            failure = error
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception as error:  # a bug must not stop the lane for good, nor make it spin
            log.exception("unexpected error")
            failure = UnlistedCode(outcome_handler.INTERNAL_ERROR, UNEXPECTED.format(type(error).__name__))
        else:  # an error from here on is no failed call: once the lease expires, its outcome counts as unknown
            return await deps.outcomes.record_success(attempt, call, receipt, leave=self._left_s() <= 0)
        result = await deps.outcomes.handle_failure(attempt, failure)
        if attempt.kind is CallKind.EDIT:
            self._no_edits_until = deps.clock() + result.edits_wait_s
        if result.is_split:
            self._isolate_until_seq = attempt.taken[-1].seq
        return result

    async def _resolve_destination(self, attempt: AttemptState) -> Secret:
        """Find the integration and the address to send to, and return the token."""
        lease, resolve = self.lease, partial(self.deps.resolver.resolve, budget_s=self._left_s())
        attempt.integration, token = require_connection(self.connection, lease.integration_id)
        attempt.token = token
        if self._address is None:
            self._address = await resolve(lease.lane, lease.destination, lease.address, attempt.integration, token)
        attempt.channel, attempt.channel_name = self._address.id, self._address.name
        return token

    async def _acquire_slot(self, attempt: AttemptState) -> None:
        """Acquire the rate-limit slot of the next call, or keep an unused one. Raises RetryLater past the budget."""
        deps = self.deps
        if not self._has_slot:
            attempt.pace_s += await wait_for_slot(
                deps.rate_limiter, attempt.workspace, attempt.channel, longest_s=self._left_s(), sleep=deps.sleep
            )
            self._slot_at = deps.clock()
        self._has_slot = False
        if deps.is_stopping():
            raise RetryLater(0.0, "")

    async def _take_pending(self, attempt: AttemptState) -> None:
        """Take all pending deliveries, few or one while they are isolated. Raises RetryLater if Slack throttles."""
        limit = TAKE_LIMIT if not self._isolate_until_seq else 1 if self.lease.unlisted else BODIES_LIMIT
        closed = self.deps.rate_limiter.get_closed_keys(attempt.workspace, attempt.channel)
        self._may_call_until = self.deps.clock() + CALL_WITHIN_S
        taken = await self.deps.lanes.take(self.lease, closed, limit=limit)
        if isinstance(taken, PaceClosed):
            raise RetryLater(taken.wait_s, "Slack asked to wait")
        attempt.taken, attempt.is_open = taken, bool(taken)
        self._newest_seq = 0 if self._isolate_until_seq or not taken else taken[-1].seq
        if taken and taken[0].seq > self._isolate_until_seq:
            self._isolate_until_seq = 0

    async def _plan(self, attempt: AttemptState) -> PlannedCall:
        """Choose the next call; deliveries that it does not cover go back to the lane."""
        deps, lanes, lane = self.deps, self.deps.lanes, self.lease.lane
        template = attempt.integration.template if attempt.integration else ""
        deliveries = await load_pending(deps.events, attempt.taken, deps.subscriptions.by_id, template, deps.sleep)
        deliveries = await match_resolved(lanes, lane, deliveries)
        keys = sorted({delivery.event.subject_key for delivery in deliveries if delivery.needs_history})
        compared = keys if lane in deps.subscriptions.lanes_compared else []
        cards, records = await asyncio.gather(lanes.get_cards(lane, keys), lanes.get_cards(lane, compared, RECORD))
        suppressible = sorted({delivery.event.subject_key for delivery in deliveries if delivery.is_suppressible})
        runs = await lanes.get_run_cards(lane, suppressible) if suppressible else {}
        batch = Batch(
            deliveries=deliveries, address=attempt.channel, cards=cards, records=records, runs=runs,
            last_lines=self._last_lines, isolate=bool(self._isolate_until_seq),
        )  # fmt: skip
        attempt.call = call = await self._choose(attempt, deps.plan(batch))
        if len(call.delivery_ids) < len(attempt.taken) or call.kind.method != CallKind.POST.method:
            await lanes.select(self.lease, call.delivery_ids, method=call.kind.method)
            ids = set(call.delivery_ids)
            attempt.taken = tuple(delivery for delivery in attempt.taken if delivery.delivery_id in ids)
        attempt.is_open = call.kind is not CallKind.NONE
        self._has_slot = call.kind.method != CallKind.POST.method  # the slots of posts are not for edits
        self._last_lines = len(call.content.lines) if attempt.is_open else self._last_lines
        return call

    async def _choose(self, attempt: AttemptState, calls: Sequence[PlannedCall]) -> PlannedCall:
        """Return the first call that may be made now: posts never wait. Raises RetryLater if only edits are left."""
        wait_s = 0.0
        for call in calls:
            if call.kind is not CallKind.EDIT:
                return call
            wait_s = wait_s or await self._book_edit(attempt)
            if not wait_s:
                return call
            if call.card and call.card.needs_reply(call.event):
                return replace(call, kind=CallKind.REPLY)
        raise RetryLater(wait_s, "waiting to edit a card", until_next=True)

    async def _book_edit(self, attempt: AttemptState) -> float:
        """Book the slot of an edit; return the seconds until there may be one, 0 if it is booked."""
        wait_s = self._no_edits_until - self.deps.clock()
        if wait_s > 0:
            return wait_s
        slot = await self.deps.rate_limiter.book_method_slot(
            attempt.workspace, CallKind.EDIT.method, self.deps.edits_per_minute, max_wait_s=0.0
        )
        return 0.0 if slot.booked else max(slot.wait_s, SHORTEST_EDIT_WAIT_S)

    async def send(self, attempt: AttemptState, call: PlannedCall, token: Secret) -> Receipt:
        """Make the planned call and return Slack's receipt; an edit, a reply or no call returns the card's.

        A workspace may restrict mentions of everyone, and replies that are shown in the channel too. What Slack refuses
        for that reason is sent once more without them.
        https://slack.com/help/articles/115004855143-Manage-who-can-notify-a-channel-or-workspace
        """
        try:
            return await self._send(attempt, call, token)
        except Blocked as error:
            if not (outcome_handler.is_restriction(error.code) and (call.content.mentions or call.broadcast)):
                raise
            await self.deps.lanes.close_attempt(self.lease, Outcome.BLOCKED, error.code, 0)
            attempt.log(logging.WARNING, Outcome.BLOCKED, error.code, reason=error.reason, then="without mentions")
            restricted = error.code
        if call.kind is not CallKind.EDIT:
            await self._acquire_slot(attempt)
        await self._open_attempt(call.kind.method)
        content = replace(call.content, mentions=())
        receipt = await self._send(attempt, replace(call, content=content, broadcast=False), token)
        attempt.note = attempt.format_hint(outcome_handler.restriction_note(call.content.mentions, restricted))
        log_event(log, logging.WARNING, "message sent without mentions", lane=self.lease.lane, reason=attempt.note)
        return receipt

    async def _send(self, attempt: AttemptState, call: PlannedCall, token: Secret) -> Receipt:
        """Make the planned call; a post whose blocks Slack rejects is made once more as plain text."""
        gateway = self.deps.gateway
        of_card = call.card.receipt if call.card else Receipt("", "")
        may_repeat = any(delivery.doubt for delivery in attempt.taken)
        match call.kind:
            case CallKind.NONE:
                return of_card
            case CallKind.EDIT:
                message = await self._build_message(call)
                return await self._send_with_retries(attempt, partial(gateway.edit, token, of_card, message))
            case CallKind.REPLY:
                message = reply(call.content, may_repeat=may_repeat, is_recovery=call.is_recovery)
                post = partial(gateway.post, token, of_card.channel, message, thread_ts=of_card.ts)
                await self._send_with_retries(attempt, partial(post, broadcast=call.broadcast))
                return of_card
            case CallKind.POST:  # pragma: no branch  (mypy checks that every kind has a case)
                message = await self._build_message(call, may_repeat=may_repeat)
                post = partial(gateway.post, token, attempt.channel, message)
                try:
                    return await self._send_with_retries(attempt, post)
                except Undeliverable as error:
                    await self.deps.lanes.close_attempt(self.lease, Outcome.REFUSED, error.code, 0)
                    attempt.log(logging.ERROR, Outcome.REFUSED, error.code, reason=error.reason, then="as text")
                    await self._acquire_slot(attempt)
                    await self._open_attempt(CallKind.POST.method)
                    return await self._send_with_retries(attempt, partial(post, plain=True))

    async def _build_message(self, call: PlannedCall, *, may_repeat: bool = False) -> Message:
        """Build the message, and store whether the template worked."""
        subscriptions = self.deps.subscriptions
        built = await self.deps.message_builder.build(
            call.content, may_repeat=may_repeat, lane=self.lease.lane, switched_off=subscriptions.switched_off
        )
        if subscription := built.template_subscription:
            error, delivery_id = built.template_error, call.content.lines[0].delivery_id
            await self.deps.template_errors.record(subscription.id, delivery_id, error)
            if error:
                log_event(log, logging.WARNING, "template failed", subscription=subscription.id, reason=str(error))
            if error and error.exceeds_limit and subscription.id not in subscriptions.switched_off:
                await subscriptions.switch_template_off(subscription)
        return built.message

    async def _send_with_retries(self, attempt: AttemptState, send: Send) -> Receipt:
        """Make a call, and again after failures that surely posted nothing, each time after a longer wait.

        Not once the session's time is over or newer deliveries came, nor after an unlisted error, which a few snoozes
        give more time. Nor is an edit: the posts of the lane come before another try.
        """
        deps, started_at, is_edit = self.deps, self.deps.clock(), attempt.kind is CallKind.EDIT
        if not is_edit:
            await deps.rate_limiter.shift_late_slot(attempt.workspace, attempt.channel, started_at - self._slot_at)
        retries = AsyncRetrying(
            retry=retry_never if is_edit else RETRY_CAUSES,
            wait=wait_random_exponential(multiplier=FIRST_RETRY_S, max=LONGEST_RETRY_S),
            stop=lambda state: state.upcoming_sleep >= self._left_s(),
            sleep=partial(self._wait_to_retry, attempt),
            reraise=True,
        )
        try:
            return await retries(self._send_within_lease, attempt, send)
        finally:
            attempt.post_s = deps.clock() - started_at

    async def _wait_to_retry(self, attempt: AttemptState, wait_s: float) -> None:
        """Log and record the failed call, wait and record the next one. Raises the failure if newer deliveries came."""
        error = attempt.failures[-1]
        attempt.log(logging.WARNING, Outcome.TRANSIENT, error.code, wait_s, reason=error.reason)
        await self.deps.lanes.close_attempt(self.lease, Outcome.TRANSIENT, error.code, wait_s)
        await self.deps.sleep(wait_s)
        if not await self._open_attempt(attempt.kind.method, newest_seq=self._newest_seq):
            attempt.is_open = False
            raise error  # the next message includes the newer deliveries

    async def _send_within_lease(self, attempt: AttemptState, send: Send) -> Receipt:
        """Make a call; renew the lease before, if the process was suspended."""
        while self.deps.clock() >= self._may_call_until:
            await self._open_attempt(attempt.kind.method)
        try:
            return await send()
        except Transient as error:
            attempt.failures.append(error)
            raise

    async def _open_attempt(self, method: str, *, newest_seq: int = 0) -> bool:
        """Record that another call begins, and renew the lease; return False if deliveries newer than these came."""
        self._may_call_until = self.deps.clock() + CALL_WITHIN_S
        return await self.deps.lanes.open_attempt(self.lease, method, newest_seq=newest_seq)

    def _left_s(self) -> float:
        """Return how much of the budget is left; none if the process must end."""
        return 0.0 if self.deps.is_stopping() else max(self._ends_at - self.deps.clock(), 0.0)


async def drain(lane: str, deps: DeliveryDeps, session_type: type[LaneSession] = LaneSession) -> DrainResult:
    """Send the pending deliveries of a lane until none is left, the time is up or something prevents it."""
    posts = finished = 0
    try:
        lease = await deps.lanes.acquire(lane, secrets.token_hex(8))
        if isinstance(lease, LeaseDenied):
            retry_s = lease.wait_s if lease.failures else 0.0
            return DrainResult(lane, reason=lease.reason or lease.denial.value, retry_s=retry_s)
        connections = await deps.integrations.get_connections(lease.integrations_version)
        await deps.subscriptions.list_all(lease.subscriptions_version)  # updates `subscriptions.by_id`
        session = session_type(lease, connections.get(lease.integration_id), deps)
        while True:
            result = await session.deliver_next()
            posts += result.is_sent
            finished += result.finished
            if not result.remainder.holds_lease:
                return DrainResult(lane, posts, finished, result.remainder.wake, result.reason, result.retry_s)
    except LeaseLost:
        log_event(log, logging.WARNING, "lease lost to another worker", lane=lane)
        return DrainResult(lane, posts, finished, reason="another worker holds the lease now")
    except StoreUnavailable as error:
        log_redis_error(log, error, lane=lane)
        return DrainResult(lane, posts, finished, reason=error.failure.reason, retry_s=REDIS_RETRY_S)
    except Exception as error:  # a bug outside of an attempt, or after Slack's answer: the lease expires first
        log.exception("unexpected error", extra={"lane": lane})
        retry_s = LEASE_MS / 1000
        return DrainResult(lane, posts, finished, reason=UNEXPECTED.format(type(error).__name__), retry_s=retry_s)


async def wait_for_slot(
    rate_limiter: RateLimiter, workspace: str, channel: str, *, longest_s: float, sleep: Sleep
) -> float:
    """Wait for the slot of the next post, and return the seconds waited. Raises RetryLater if that takes too long."""
    slot = await rate_limiter.book_post_slot(workspace, channel, max_wait_s=max(longest_s, 0.0))
    if not slot.booked:
        raise RetryLater(slot.wait_s, "waiting for a rate-limit slot")
    if slot.wait_s:
        await sleep(slot.wait_s)
    return slot.wait_s

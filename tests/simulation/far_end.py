"""Slack as a machine reaches it: the small Slack of the pipeline's tests behind a wire that fails."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from machine import WHERE, Machine
from support.fake_slack import FakeSlack
from wire import AT_STAKE

from worker.domain.delivery import Receipt
from worker.domain.errors import SlackError, Throttled, Transient, Uncertain
from worker.domain.integration import Conversation, ConversationPage, Identity, Person, Secret
from worker.domain.message import Message
from worker.domain.message_plan import CallKind, PlannedCall
from worker.pipeline.delivery.outcome_handler import AttemptResult, AttemptState
from worker.pipeline.delivery.session import LaneSession
from worker.slack import error_codes as codes

SENDING: ContextVar[tuple[AttemptState, PlannedCall] | None] = ContextVar("SENDING", default=None)
"""The attempt and the plan of the call that is made now."""

BEGAN: ContextVar[int] = ContextVar("BEGAN", default=0)
"""The troubles of the machine when the round began."""

TIME_OUT_S = 15.0


class ObservedSession(LaneSession):
    """A session that says what the call it makes now covers, and in which trouble its machine was before."""

    async def deliver_next(self) -> AttemptResult:
        machine = WHERE.get()
        assert machine is not None
        BEGAN.set(machine.troubles)
        return await super().deliver_next()

    async def send(self, attempt: AttemptState, call: PlannedCall, token: Secret) -> Receipt:
        before = SENDING.set((attempt, call))
        try:
            return await super().send(attempt, call, token)
        finally:
            SENDING.reset(before)


@dataclass
class SlackCall:
    """A post or edit that Slack accepted: its content, its deliveries, and whether its answer was lost."""

    at_s: float
    machine: Machine
    lane: str
    token: str
    channel: str
    ts: str
    call: CallKind
    plan: PlannedCall
    ids: tuple[str, ...]
    began: int
    answer_lost: bool = False

    @property
    def in_trouble(self) -> bool:
        """Return whether the outcome may be unknown or the lease may be lost."""
        return self.answer_lost or self.machine.troubles > self.began

    @property
    def finished(self) -> tuple[str, ...]:
        """The deliveries that this call finishes: a reply announces one state."""
        return (self.plan.lead_id,) if self.call is CallKind.REPLY else self.ids


class FarEnd:
    """A Gateway for one machine; what Slack has taken is noted for all."""

    def __init__(self, slack: FakeSlack, machine: Machine, taken: Callable[[SlackCall], None]) -> None:
        self.slack, self.machine, self._taken = slack, machine, taken

    async def post(self, token: Secret, channel: str, message: Message, **how: Any) -> Receipt:
        return await self._send_call(lambda: self.slack.post(token, channel, message, **how))

    async def edit(self, token: Secret, at: Receipt, message: Message) -> Receipt:
        if SENDING.get() is None:  # the sweeper closes a replaced card
            return await self._ask(lambda: self.slack.edit(token, at, message))
        return await self._send_call(lambda: self.slack.edit(token, at, message))

    async def identify(self, token: Secret) -> Identity:
        return await self._ask(lambda: self.slack.identify(token))

    async def list_conversations(
        self, token: Secret, *, private: bool, cursor: str = "", joined: bool = False
    ) -> ConversationPage:
        said = self.slack.list_conversations
        return await self._ask(lambda: said(token, private=private, cursor=cursor, joined=joined))

    async def get_conversation(self, token: Secret, channel: str) -> Conversation:
        return await self._ask(lambda: self.slack.get_conversation(token, channel))

    async def find_person_by_email(self, token: Secret, email: str) -> Person:
        return await self._ask(lambda: self.slack.find_person_by_email(token, email))

    async def get_person(self, token: Secret, user_id: str) -> Person:
        return await self._ask(lambda: self.slack.get_person(token, user_id))

    def error_from_code(self, code: str) -> SlackError:
        return codes.error_from_code(code)

    async def _ask(self, said: Callable[[], Awaitable[Any]]) -> Any:
        await self.machine.reaches()
        self._refuse()
        answer = await said()
        await self.machine.reaches()
        return answer

    async def _send_call(self, said: Callable[[], Awaitable[Receipt]]) -> Receipt:
        machine, luck = self.machine, self.machine.luck
        sending = SENDING.get()
        assert sending is not None, "a call without a plan"
        attempt, plan = sending
        machine.alive()
        await asyncio.sleep(min(luck.latency_s(), TIME_OUT_S))  # once it has left, nothing of ours delays it
        self._refuse()
        if luck.hits(luck.rates.undeliverable):
            raise codes.error_from_code(luck.random.choice(("invalid_blocks", "msg_too_long", "not_listed_anywhere")))
        receipt = await said()
        ids = tuple(delivery.delivery_id for delivery in attempt.taken)
        slack_call = SlackCall(
            machine.loop.now_s, machine, attempt.lease.lane, attempt.lease.token, attempt.channel, receipt.ts,
            plan.kind, plan, ids, BEGAN.get(),
        )  # fmt: skip
        self._taken(slack_call)
        if luck.hits(luck.rates.uncertain):
            slack_call.answer_lost = True
            await machine.reaches(AT_STAKE)
            raise Uncertain("read_timeout", "Slack did not answer in time")
        await machine.reaches(AT_STAKE)
        return receipt

    def _refuse(self) -> None:
        """Before anything was done."""
        luck = self.machine.luck
        if luck.hits(luck.rates.throttled):
            raise Throttled(luck.random.choice((1.0, 5.0, 30.0)))
        if luck.hits(luck.rates.not_posted):
            raise luck.random.choice((Transient("connect_failed"), codes.error_from_code("service_unavailable")))
        if luck.hits(luck.rates.uncertain):
            raise Uncertain("http_500", "Slack had an internal error")

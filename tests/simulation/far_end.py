"""Slack as a machine reaches it: the small Slack of the pipeline's tests behind a wire that fails."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from fake_slack import FakeSlack
from machine import Machine
from wire import AT_STAKE

from worker.domain.delivery import Receipt
from worker.domain.errors import Refusal, Throttled, Transient, Uncertain
from worker.domain.folding import Call, Choice
from worker.domain.integration import Conversation, Identity, Page, Person, Secret
from worker.domain.message import Message
from worker.pipeline.attempt import Round
from worker.slack import codes

TELLING: ContextVar[tuple[Round, Choice] | None] = ContextVar("TELLING", default=None)
"""What the call that is made now is to tell."""

BEGAN: ContextVar[int] = ContextVar("BEGAN", default=0)
"""The troubles of the machine when the round began."""

TIME_OUT_S = 15.0


@dataclass
class Telling:
    """One message or edit that Slack has taken: what it tells, for whom, and what became of its answer."""

    at_s: float
    machine: Machine
    lane: str
    token: str
    channel: str
    ts: str
    call: Call
    choice: Choice
    ids: tuple[str, ...]
    began: int
    answer_lost: bool = False

    @property
    def in_trouble(self) -> bool:
        """Whether its outcome may be unknown, or its lane another's."""
        return self.answer_lost or self.machine.troubles > self.began

    @property
    def finished(self) -> tuple[str, ...]:
        """The deliveries that are told for good by it; an edit may owe a reply."""
        return tuple(one for one in self.ids if one not in self.choice.owed)


class FarEnd:
    """A Gateway for one machine; what Slack has taken is noted for all."""

    def __init__(self, slack: FakeSlack, machine: Machine, taken: Callable[[Telling], None]) -> None:
        self.slack, self.machine, self._taken = slack, machine, taken

    async def post(self, token: Secret, channel: str, message: Message, **how: Any) -> Receipt:
        return await self._tell(lambda: self.slack.post(token, channel, message, **how))

    async def edit(self, token: Secret, at: Receipt, message: Message) -> Receipt:
        return await self._tell(lambda: self.slack.edit(token, at, message))

    async def identify(self, token: Secret) -> Identity:
        return await self._ask(lambda: self.slack.identify(token))

    async def list_conversations(
        self, token: Secret, *, private: bool, cursor: str = "", joined: bool = False
    ) -> Page:
        said = self.slack.list_conversations
        return await self._ask(lambda: said(token, private=private, cursor=cursor, joined=joined))

    async def conversation(self, token: Secret, channel: str) -> Conversation:
        return await self._ask(lambda: self.slack.conversation(token, channel))

    async def person_by_email(self, token: Secret, email: str) -> Person:
        return await self._ask(lambda: self.slack.person_by_email(token, email))

    async def person(self, token: Secret, user_id: str) -> Person:
        return await self._ask(lambda: self.slack.person(token, user_id))

    def refusal(self, code: str) -> Refusal:
        return codes.refusal(code)

    async def _ask(self, said: Callable[[], Awaitable[Any]]) -> Any:
        await self.machine.reaches()
        self._refuse()
        answer = await said()
        await self.machine.reaches()
        return answer

    async def _tell(self, said: Callable[[], Awaitable[Receipt]]) -> Receipt:
        machine, luck = self.machine, self.machine.luck
        told = TELLING.get()
        assert told is not None, "a message that tells nothing"
        one, choice = told
        machine.alive()
        await asyncio.sleep(min(luck.latency_s(), TIME_OUT_S))  # once it has left, nothing of ours delays it
        self._refuse()
        if luck.hits(luck.rates.undeliverable):
            raise codes.refusal(luck.random.choice(("invalid_blocks", "msg_too_long", "nobody_listed_this")))
        receipt = await said()
        ids = tuple(each.delivery_id for each in one.taken)
        telling = Telling(
            machine.loop.now_s, machine, one.held.lane, one.held.token, one.channel, receipt.ts,
            choice.call, choice, ids, BEGAN.get(),
        )  # fmt: skip
        self._taken(telling)
        if luck.hits(luck.rates.uncertain):
            telling.answer_lost = True
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
            raise luck.random.choice((Transient("connect_failed"), codes.refusal("service_unavailable")))
        if luck.hits(luck.rates.uncertain):
            raise Uncertain("http_500", "Slack had an error of its own")

"""Telling: one call after the other in a lane that is held; the stages meet here, in `Teller.tell_once`."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from worker.domain.delivery import Address, Outcome, Receipt
from worker.domain.errors import Fenced, NotYet, Refusal, Transient, Undeliverable, Unlisted
from worker.domain.folding import Call, Choice
from worker.domain.integration import Integration, Secret
from worker.domain.message import Message
from worker.pipeline.attempt import EDITING, METHODS, POSTING, Ended, Round, say_attempt
from worker.pipeline.connection import connected
from worker.pipeline.fold import choose
from worker.pipeline.gateway import Gateway, Sleep
from worker.pipeline.pace import pace
from worker.pipeline.post import Send, post
from worker.pipeline.reading import read_told
from worker.pipeline.record import FAULT, Recorder
from worker.pipeline.render import reply
from worker.pipeline.resolve import Resolver
from worker.pipeline.template import Writer
from worker.store.events import Events
from worker.store.held import Closed, Held
from worker.store.integrations import Connection, Integrations
from worker.store.lanes import FEW, LEASE_MS, MOST_TAKEN, RECORD, Lanes
from worker.store.pace import Pace
from worker.store.server import Unavailable
from worker.store.subscriptions import Subscriptions
from worker.store.template_faults import TemplateFaults
from worker.telemetry import say

log = logging.getLogger("worker.drain")

BUDGET_S = 10.0  # far below the lease
CALL_MOST_S = 16.0  # Slack's answer is waited for a little less long
EDIT_WAIT_MOST_S = 5.0  # a lane that waits to edit looks now and then whether it has more to say


@dataclass(frozen=True, slots=True)
class Tools:
    """What a drain works with; made once per event loop by `bootstrap`."""

    lanes: Lanes
    events: Events
    integrations: Integrations
    subscriptions: Subscriptions
    allowances: Pace
    resolver: Resolver
    recorder: Recorder
    gateway: Gateway
    permits: asyncio.Semaphore
    stopping: Callable[[], bool]
    writer: Writer
    template_faults: TemplateFaults
    edits_per_minute: float = 50.0
    sleep: Sleep = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    budget_s: float = BUDGET_S


class Teller:
    """One hold of one lane."""

    def __init__(self, held: Held, connection: Connection | None, tools: Tools) -> None:
        self.held, self.connection, self.tools = held, connection, tools
        self.address: Address | None = None
        self.singly = held.singly
        self.until = tools.clock() + tools.budget_s
        self.has_slot = self.after_digest = False
        self.newest_seq = 0  # of all that was taken last; 0 while it is told one by one
        self.slot_at = self.ours_until = 0.0

    async def tell_once(self) -> tuple[Round, Ended]:
        """One call: resolve, pace, take, fold, render, post, record."""
        one, tools = Round(self.held), self.tools
        try:
            one.integration, token = connected(self.connection, self.held.integration_id)
            async with tools.permits:
                address = await self._resolved(one.integration, token)
            one.channel, one.name = address.id, address.name
            await self._slot(one)
            async with tools.permits:
                await self._take(one)
                if not one.taken:
                    return one, Ended(await tools.lanes.release(self.held))
                choice = await self._chosen(one, address, one.integration.template)
                receipt = await self._told(token, one, choice)
                return one, await tools.recorder.told(one, choice, receipt, leave=self._left_s() <= 0)
        except (Refusal, NotYet) as error:
            return one, await tools.recorder.refused(one, error)
        except (Fenced, Unavailable):
            raise
        except Exception as fault:  # a fault of ours must not stop the lane for good, nor spin
            log.exception("a fault of this program")
            refusal = Unlisted(FAULT, f"a fault of this program ({type(fault).__name__})")
            return one, await tools.recorder.refused(one, refusal)

    async def _resolved(self, integration: Integration, token: Secret) -> Address:
        """Where to; asked once in a hold."""
        if self.address is None:
            held = self.held
            self.address = await self.tools.resolver.resolve(
                held.lane, held.destination, held.address, integration, token, budget_s=self._left_s()
            )
        return self.address

    async def _slot(self, one: Round) -> None:
        """One for each call, of whatever kind: a conversation is left in peace; kept when none was made."""
        tools = self.tools
        if not self.has_slot:
            one.pace_s += await pace(
                tools.allowances, one.workspace, one.channel, longest_s=self._left_s(), sleep=tools.sleep
            )
            self.slot_at = tools.clock()
        self.has_slot = False
        if tools.stopping():
            raise NotYet(0.0, "")

    async def _take(self, one: Round) -> None:
        closed = self.tools.allowances.closed(one.workspace, one.channel)
        ours_until = self._renewed_until()
        taken = await self.tools.lanes.take(self.held, closed, most=self._most())
        if isinstance(taken, Closed):
            raise NotYet(taken.wait_s, "Slack asked to wait")
        one.taken, one.called, self.ours_until = taken, bool(taken), ours_until
        self.newest_seq = 0 if self.singly or not taken else taken[-1].seq
        if taken and taken[0].seq > self.singly:
            self.singly = 0

    def _most(self) -> int:
        """How many are looked at. One, where we know no better which of those told singly is at fault."""
        if not self.singly:
            return MOST_TAKEN
        return 1 if self.held.unlisted else FEW

    async def _chosen(self, one: Round, address: Address, template: str) -> Choice:
        """What the next call tells; the rest goes back."""
        tools, lanes = self.tools, self.tools.lanes
        told = await read_told(tools.events, one.taken, tools.subscriptions.by_id, template, tools.sleep)
        abouts = sorted({each.event.about for each in told if each.is_compared})
        one.keeps_record = self.held.lane in tools.subscriptions.lanes_compared
        one.keeps_runs = self.held.lane in tools.subscriptions.lanes_of_inhibition
        cards, records = await asyncio.gather(
            lanes.cards(self.held.lane, abouts), lanes.cards(self.held.lane, abouts, RECORD)
        )
        inhibited = sorted({each.event.about for each in told if each.is_inhibited})
        runs = await lanes.runs(self.held.lane, inhibited) if inhibited else {}
        choices = choose(
            told, cards, address.id,
            records=records, runs=runs, after_digest=self.after_digest, singly=bool(self.singly),
        )  # fmt: skip
        one.choice = choice = await self._allowed(one, choices)
        method = METHODS[choice.call]
        if len(choice.ids) < len(one.taken) or method != POSTING:
            await lanes.keep(self.held, one.taken, choice.ids, method=method)
            ids = set(choice.ids)
            one.taken = tuple(each for each in one.taken if each.delivery_id in ids)
        one.called, self.has_slot = choice.call is not Call.NONE, choice.call is Call.NONE
        self.after_digest = len(choice.folding.lines) > 1
        return choice

    async def _allowed(self, one: Round, choices: Sequence[Choice]) -> Choice:
        """The best one that may be done now: edits have a tier of their own. NotYet when none may."""
        wait_s = 0.0
        for choice in choices:
            if choice.call is not Call.EDIT:
                return choice
            slot = await self.tools.allowances.slot_to_call(
                one.workspace, EDITING, self.tools.edits_per_minute, longest_s=0.0
            )
            if slot.booked:
                return choice
            wait_s = slot.wait_s
        raise NotYet(min(wait_s, EDIT_WAIT_MOST_S), "waits to edit a card")

    async def _told(self, token: Secret, one: Round, choice: Choice) -> Receipt:
        """Slack's proof that it is told; none where no call is made."""
        gateway = self.tools.gateway
        at = choice.card.at if choice.card else Receipt("", "")
        may_repeat = any(each.doubt for each in one.taken)
        match choice.call:
            case Call.NONE:
                return at
            case Call.EDIT:
                message = await self._written(one, choice)
                return await self._post(one, partial(gateway.edit, token, at, message))
            case Call.REPLY:
                message = reply(choice.folding, may_repeat=may_repeat)
                send = partial(gateway.post, token, at.channel, message, thread_ts=at.ts)
                await self._post(one, partial(send, broadcast=choice.broadcast))
                return at
            case Call.POST:  # pragma: no branch  (mypy sees to it that no call is left out)
                return await self._posted(token, one, await self._written(one, choice, may_repeat=may_repeat))

    async def _written(self, one: Round, choice: Choice, *, may_repeat: bool = False) -> Message:
        """The message; how a template went is noted before it is told."""
        written = self.tools.writer.write(choice.folding, may_repeat=may_repeat, lane=one.held.lane)
        if by := written.templated:
            delivery_id = choice.folding.lines[0].delivery_id
            await self.tools.template_faults.note(by.id, delivery_id, written.fault)
            if written.fault:
                say(log, logging.WARNING, "template failed", subscription=by.id, reason=str(written.fault))
        return written.message

    async def _posted(self, token: Secret, one: Round, message: Message) -> Receipt:
        """Posted as blocks; if Slack refuses the blocks, once more as plain text, in a slot of its own."""
        send = partial(self.tools.gateway.post, token, one.channel, message)
        try:
            return await self._post(one, send)
        except Undeliverable as error:
            lanes = self.tools.lanes
            await lanes.close_attempt(self.held, Outcome.REFUSED, error.code, 0)
            say_attempt(one, logging.ERROR, Outcome.REFUSED, error.code, reason=error.reason, then="as text")
            await self._slot(one)
            await self._opened(POSTING)
            return await self._post(one, partial(send, plain=True))

    async def _post(self, one: Round, send: Send) -> Receipt:
        tools, lanes = self.tools, self.tools.lanes

        async def closing(error: Transient, wait_s: float) -> None:
            say_attempt(one, logging.WARNING, Outcome.TRANSIENT, error.code, wait_s, reason=error.reason)
            await lanes.close_attempt(self.held, Outcome.TRANSIENT, error.code, wait_s)

        async def opening() -> bool:
            one.called = await self._opened(METHODS[one.call], newest_seq=self.newest_seq)
            return one.called  # else the last call has had its line in the log

        async def sending() -> Receipt:
            while tools.clock() >= self.ours_until:  # we stood still: another may tell what is newer by now
                await self._opened(METHODS[one.call])
            return await send()

        started = tools.clock()
        await tools.allowances.used_late(one.workspace, one.channel, started - self.slot_at)
        try:
            return await post(
                sending, left_s=self._left_s, sleep=tools.sleep, closing=closing, opening=opening
            )
        finally:
            one.post_s = tools.clock() - started

    async def _opened(self, method: str, *, newest_seq: int = 0) -> bool:
        """Another call is made; the lane is still ours, and stays so for it. Fenced when it is not.

        Not when something newer came: the next message tells that too, and the worst of all first.
        """
        ours_until = self._renewed_until()
        opened = await self.tools.lanes.open_attempt(self.held, method, newest_seq=newest_seq)
        self.ours_until = ours_until
        return opened

    def _renewed_until(self) -> float:
        """Until when a call may begin that is to end under a lease renewed after this."""
        return self.tools.clock() + LEASE_MS / 1000 - CALL_MOST_S

    def _left_s(self) -> float:
        """What is left of the budget; nothing once the worker stops."""
        return 0.0 if self.tools.stopping() else max(self.until - self.tools.clock(), 0.0)

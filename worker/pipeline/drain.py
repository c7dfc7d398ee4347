"""Drain: holds a lane and tells what waits in it; the stages meet here, in `_Drainer.tell_once`."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from worker.domain.delivery import Address, Outcome, Receipt
from worker.domain.errors import Fenced, NotYet, Refusal, Transient, Undeliverable, Unlisted
from worker.domain.folding import Folding
from worker.domain.integration import Integration, Secret
from worker.domain.message import Message
from worker.pipeline.connection import connected
from worker.pipeline.fold import fold
from worker.pipeline.gateway import Gateway, Sleep
from worker.pipeline.pace import pace
from worker.pipeline.post import post
from worker.pipeline.reading import read_told
from worker.pipeline.record import FAULT, Ended, Recorder, Round
from worker.pipeline.render import message_of
from worker.pipeline.resolve import Resolver
from worker.store.events import Events
from worker.store.integrations import Connection, Integrations
from worker.store.lanes import MOST_TAKEN, Closed, Held, Lanes, NotHeld
from worker.store.pace import Pace
from worker.store.server import Unavailable
from worker.store.subscriptions import Subscriptions
from worker.telemetry import say

log = logging.getLogger("worker.drain")

BUDGET_S = 10.0  # far below the lease
REDIS_AWAY_S = 2.0


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
    infrakitchen_url: str = ""
    sleep: Sleep = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    budget_s: float = BUDGET_S


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain did, for its one-line summary; `retry_s` is set when the lane waits out a failure."""

    lane: str
    posts: int = 0
    told: int = 0
    wake: bool = False
    reason: str = ""
    retry_s: float = 0.0


async def drain(lane: str, tools: Tools) -> Drained:
    """Tell what waits in a lane, until nothing does, time is up or something stands against it."""
    posts = told = 0
    try:
        held = await tools.lanes.acquire(lane, secrets.token_hex(8))
        if isinstance(held, NotHeld):
            waits_s = held.wait_s if held.failures else 0.0  # a failure is waited out: still to be seen
            return Drained(lane, reason=held.reason or held.why, retry_s=waits_s)
        connections = await tools.integrations.connections(held.integrations_version)
        await tools.subscriptions.all(held.subscriptions_version)
        drainer = _Drainer(held, connections.get(held.integration_id), tools)
        while True:
            one, ended = await drainer.tell_once()
            if ended.told:
                posts, told = posts + 1, told + len(one.taken)
            if ended.split:
                drainer.singly = one.taken[-1].seq
            if not ended.left.held:
                retry_s = ended.snoozed_s if ended.failed else 0.0
                return Drained(lane, posts, told, ended.left.wake, ended.reason, retry_s)
    except Fenced:
        say(log, logging.WARNING, "lane lost to another worker", lane=lane)
        return Drained(lane, posts, told, reason="held by another worker by now")
    except Unavailable as error:
        say(log, logging.ERROR, "Redis does not answer", lane=lane, error=str(error))
        return Drained(lane, posts, told, reason="Redis does not answer", retry_s=REDIS_AWAY_S)


class _Drainer:
    """One hold of one lane."""

    def __init__(self, held: Held, connection: Connection | None, tools: Tools) -> None:
        self.held, self.connection, self.tools = held, connection, tools
        self.address: Address | None = None
        self.singly = held.singly
        self.until = tools.clock() + tools.budget_s

    async def tell_once(self) -> tuple[Round, Ended]:
        """One message: resolve, pace, take, fold, render, post, record."""
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
                folding, message = await self._message(one)
                receipt = await self._posted(token, one, message)
                leave = self._left_s() <= 0
                return one, await tools.recorder.delivered(one, receipt, folding.lead, leave=leave)
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
        tools = self.tools
        one.pace_s += await pace(
            tools.allowances, one.workspace, one.channel, longest_s=self._left_s(), sleep=tools.sleep
        )
        if tools.stopping():
            raise NotYet(0.0, "")

    async def _take(self, one: Round) -> None:
        closed = self.tools.allowances.closed(one.workspace, one.channel)
        taken = await self.tools.lanes.take(self.held, closed, most=1 if self.singly else MOST_TAKEN)
        if isinstance(taken, Closed):
            raise NotYet(taken.wait_s, "Slack asked to wait")
        one.taken, one.called = taken, bool(taken)
        if taken and taken[-1].seq >= self.singly:
            self.singly = 0

    async def _message(self, one: Round) -> tuple[Folding, Message]:
        """Everything taken, folded into one message."""
        tools = self.tools
        folding = fold(await read_told(tools.events, one.taken, tools.subscriptions.mentioning, tools.sleep))
        may_repeat = one.taken[0].seq <= self.held.doubt
        return folding, message_of(folding, tools.infrakitchen_url, may_repeat=may_repeat)

    async def _posted(self, token: Secret, one: Round, message: Message) -> Receipt:
        """Posted as blocks; if Slack refuses the blocks, once more as plain text, in a slot of its own."""
        try:
            return await self._post(token, one, message, plain=False)
        except Undeliverable as error:
            lanes = self.tools.lanes
            await lanes.close_attempt(self.held, Outcome.REFUSED, error.code, 0)
            say(log, logging.ERROR, "blocks refused, posting plain text", lane=one.held.lane,
                code=error.code, reason=error.reason)  # fmt: skip
            await self._slot(one)
            await lanes.open_attempt(self.held)
            return await self._post(token, one, message, plain=True)

    async def _post(self, token: Secret, one: Round, message: Message, *, plain: bool) -> Receipt:
        tools, lanes = self.tools, self.tools.lanes

        async def closing(error: Transient, wait_s: float) -> None:
            await lanes.close_attempt(self.held, Outcome.TRANSIENT, error.code, wait_s)

        started = tools.clock()
        try:
            return await post(
                tools.gateway, token, one.channel, message, plain=plain,
                left_s=self._left_s, sleep=tools.sleep, closing=closing,
                opening=partial(lanes.open_attempt, self.held),
            )  # fmt: skip
        finally:
            one.post_s = tools.clock() - started

    def _left_s(self) -> float:
        """What is left of the budget; nothing once the worker stops."""
        return 0.0 if self.tools.stopping() else max(self.until - self.tools.clock(), 0.0)

"""RabbitMQ's queue as one bridge sees it, and a crash at any step of the bridge."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from worker.store.bridge import BridgeStore


class Crash(BaseException):
    """The process was killed."""


@dataclass
class Steps:
    """Counts the steps of a run; the process is killed at step `crash_at`."""

    crash_at: int = 0  #: 0 for never.
    count: int = 0

    def step(self) -> None:
        self.count += 1
        if self.count == self.crash_at:
            raise Crash


@dataclass(eq=False)
class Message:
    """A message in the queue; the bridge acknowledges those before it with it."""

    body: bytes
    broker: "Broker"
    redelivered: bool = False
    is_taken: bool = False

    async def ack(self, *, multiple: bool) -> None:
        assert multiple
        broker = self.broker
        broker.steps.step()  # the acknowledgement is lost
        place = broker.unacked.index(self) + 1
        broker.unwritten += broker.unacked[:place]
        del broker.unacked[:place]
        broker.steps.step()
        broker.end_if_empty()


@dataclass(eq=False)
class Broker:
    """A queue: it delivers in order, and redelivers what was delivered without being acknowledged first.

    The messages come in parts, each while the part before is written but not acknowledged yet.
    """

    parts: list[Sequence[bytes]]
    steps: Steps = field(default_factory=Steps)
    ready: list[Message] = field(default_factory=list)
    unacked: list[Message] = field(default_factory=list)
    unwritten: list[Message] = field(default_factory=list)  #: Acknowledged, but not in RabbitMQ's files.
    deliveries: Any = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)  #: Set when the queue is empty.
    _answered: int = 0

    def deliver(self, *, next_part: bool) -> None:
        """Deliver all messages, with those of the next part."""
        if next_part and self.parts:
            self.ready += [Message(body, self) for body in self.parts.pop(0)]
        while self.ready:
            self.unacked.append(self.ready.pop(0))
            self.deliveries.put_nowait(self.unacked[-1])

    def requeue(self, *, is_killed: bool = False) -> None:
        """Take back what was not acknowledged; a killed RabbitMQ has not written its newest acknowledgements either."""
        back = [*(self.unwritten if is_killed else ()), *self.unacked]
        self.ready = [Message(message.body, self, redelivered=True) for message in back] + self.ready
        self.unacked, self.unwritten, self._answered = [], [], 0

    def end_if_empty(self) -> None:
        """Stop the bridge when it has read everything."""
        if not (self.parts or self.ready or self.unacked):
            self.stop.set()
            self.deliveries.put_nowait(None)

    @asynccontextmanager
    async def connect(self, _url: str) -> AsyncIterator["Broker"]:
        yield self

    async def consume(self, deliveries: Any) -> None:
        self.deliveries = deliveries
        self.deliver(next_part=not self.ready)
        self.end_if_empty()

    async def count_messages(self) -> int:
        """Answer; what was acknowledged before the last answer is in RabbitMQ's files by now."""
        self.steps.step()
        del self.unwritten[: self._answered]
        self._answered = len(self.unwritten)
        return len(self.ready)


class StepwiseStore(BridgeStore):
    """The store with a step before and after each of its calls."""

    broker: Broker

    async def begin_session(self, session: str) -> None:
        self.broker.steps.step()
        await super().begin_session(session)
        self.broker.steps.step()

    async def take(self, *arguments: Any) -> Any:
        self.broker.steps.step()
        taken = await super().take(*arguments)
        for message in self.broker.unacked:
            message.is_taken = True
        self.broker.deliver(next_part=True)
        self.broker.steps.step()
        return taken

    async def forget(self, session: str, *, but_newest: int) -> None:
        self.broker.steps.step()
        await super().forget(session, but_newest=but_newest)
        self.broker.steps.step()

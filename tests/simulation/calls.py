"""Wake-up calls, as Celery carries them to a worker; they may be lost."""

import asyncio
from collections.abc import Callable, Sequence

from far_end import ObservedSession
from luck import Luck
from machine import Machine
from virtual_loop import VirtualLoop

from worker.pipeline.delivery.session import drain
from worker.tasks import COUNTDOWN_MAX_S

AGAIN_S = 0.5


class Calls:
    """A broker that keeps nothing: the truth is in the store."""

    def __init__(self, loop: VirtualLoop, luck: Luck, ready: Callable[[], Sequence[Machine]]) -> None:
        self._loop, self._luck, self._ready = loop, luck, ready
        self.over = False

    async def wake(self, machine: Machine, lanes: Sequence[str]) -> None:
        """Send a wake-up call as `wake_by` does."""
        machine.alive()
        self._send(lanes)

    def _send(self, lanes: Sequence[str], in_s: float = 0.0) -> None:
        if self._luck.hits(self._luck.rates.wake_lost):
            return
        for _ in range(1 + self._luck.hits(self._luck.rates.wake_twice)):
            self._loop.call_later(in_s + self._luck.latency_s(), self._deliver, list(lanes))

    def _deliver(self, lanes: Sequence[str]) -> None:
        ready = self._ready()
        if ready:
            machine = self._luck.random.choice(list(ready))
            machine.work.append(machine.start(self._drain(machine, lanes)))
        elif not self.over:
            self._loop.call_later(AGAIN_S, self._deliver, lanes)

    async def _drain(self, machine: Machine, lanes: Sequence[str]) -> None:
        """Do what the task `slack.drain` does."""
        done = await asyncio.gather(*(drain(lane, machine.app.delivery, ObservedSession) for lane in lanes))
        if awake := [one.lane for one in done if one.wake]:
            await self.wake(machine, awake)
        if waiting := [one for one in done if one.retry_s]:
            machine.alive()
            in_s = min([COUNTDOWN_MAX_S, *(one.retry_s for one in waiting)])
            self._send([one.lane for one in waiting], in_s)

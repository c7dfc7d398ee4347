"""A machine: one process, which may crash or pause between any two calls."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

from luck import Luck
from virtual_loop import VirtualLoop

from worker.bootstrap.context import AppContext, ShutdownSignal

WHERE: contextvars.ContextVar["Machine | None"] = contextvars.ContextVar("WHERE", default=None)
"""The machine the code that runs now belongs to."""


class Machine:
    """Everything that runs in it is a task of it; once it is dead, nothing it does reaches anyone."""

    def __init__(self, name: str, loop: VirtualLoop, luck: Luck, died: Callable[["Machine"], None]) -> None:
        self.name, self.loop, self.luck, self._died = name, loop, luck, died
        self.dead = False
        self.paused_until_s = 0.0
        self.troubles = 0
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.sort = ""
        self.stopping = ShutdownSignal()
        self.app: AppContext | None = None
        self.work: list[asyncio.Task[Any]] = []
        self.main: asyncio.Task[Any] | None = None

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run this in it."""
        context = contextvars.copy_context()
        context.run(WHERE.set, self)
        return self.loop.create_task(work, context=context)

    def crash(self) -> None:
        """Crash: abandon its coroutines, whose later calls reach no server."""
        if self.dead:
            return
        self.dead = True
        self.troubles += 1
        for task in list(self.tasks):
            if not task.done():
                task.cancel()
        self._died(self)

    async def reaches(self, weight: int = 1) -> None:
        """A step of a call to the outside: it takes time, and the machine may end or stand still in it.

        More often where there is more at stake: `weight`.
        """
        self.alive()
        if self.luck.crashes_here(weight):
            self.crash()
            raise asyncio.CancelledError
        if pause_s := self.luck.pause_s(weight):
            self.troubles += 1
            self.paused_until_s = self.loop.now_s + pause_s
        latency_s = self.luck.latency_s()
        self.troubles += latency_s > 1.0
        await asyncio.sleep(latency_s)
        while (left_s := self.paused_until_s - self.loop.now_s) > 0:
            await asyncio.sleep(left_s)
        self.alive()

    def alive(self) -> None:
        """Raises where a dead machine would go on."""
        if self.dead:
            raise asyncio.CancelledError


def tasks_of_machines(loop: VirtualLoop) -> None:
    """Every task of this loop is known to the machine that began it."""

    def make(on: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **more: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=on, **more)
        context = more.get("context")
        machine = context.get(WHERE) if context else WHERE.get()
        if machine is not None:
            machine.tasks[task] = None
            task.add_done_callback(lambda done: machine.tasks.pop(done, None))
        return task

    loop.set_task_factory(make)

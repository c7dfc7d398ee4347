"""One event loop in a thread of its own: where a Celery worker's drains and its sweep run."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from celery import Celery

import worker.bootstrap.late  # noqa: F401
from config.settings import Settings
from worker.bootstrap import Services, Stopping, services
from worker.domain.errors import Problem, Refusal
from worker.domain.integration import Secret
from worker.pipeline.connect import ensure_default
from worker.store.outage import say_outage
from worker.store.server import Unavailable
from worker.telemetry import say

log = logging.getLogger("worker")

Answer = TypeVar("Answer")
DRAIN_MOST_S = 60.0  # no drain takes that long: its budget and Slack's time-out are far below
CLOSE_MOST_S = 20.0
DEFAULT_AGAIN_S = 10.0


class Runtime:
    """Started with the worker, stopped with it."""

    def __init__(self, settings: Settings, celery: Celery) -> None:
        self._settings, self._celery = settings, celery
        self._thread = threading.Thread(target=self._run, name="event-loop", daemon=True)
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: Stopping | None = None
        self._services: Services | None = None
        self._ended: asyncio.Event | None = None

    def start(self) -> None:
        """Returns when the loop runs; raises what kept it from that."""
        self._thread.start()
        self._ready.wait()
        if self._failed:
            raise self._failed

    def run(
        self, work: Callable[[Services], Coroutine[Any, Any, Answer]], *, most_s: float = DRAIN_MOST_S
    ) -> Answer:
        """From a task's thread: do this on the loop and wait for it."""
        if self._loop is None or self._services is None:
            raise Problem("the worker has not started")
        future = asyncio.run_coroutine_threadsafe(work(self._services), self._loop)
        return future.result(most_s)

    def stop(self) -> None:
        """Posts in flight are finished, lanes given back; nothing new is begun."""
        if self._loop and self._stopping and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    def close(self) -> None:
        """After the last task: close connections and end the thread."""
        self.stop()
        if self._loop and self._ended and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(CLOSE_MOST_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001  # told to the thread that waits in `start`
            self._failed = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping, self._ended = Stopping(), asyncio.Event()
        async with services(self._settings, celery=self._celery, stopping=self._stopping) as made:
            made.vault.require()
            await made.origin.require()
            self._services = made
            background = [asyncio.create_task(made.sweep.run()), asyncio.create_task(self._default(made))]
            self._ready.set()
            await self._ended.wait()
            await asyncio.gather(*background, return_exceptions=True)
            try:
                await made.sweep.leave()
            except Unavailable as error:
                say_outage(log, error)

    async def _default(self, made: Services) -> None:
        """The integration of SLACK_BOT_TOKEN; tried until Slack and Redis have answered."""
        token = self._settings.slack_bot_token
        while token and not made.drain.stopping():
            try:
                await ensure_default(made.integrations, made.gateway, Secret(token.get_secret_value()))
            except (Problem, Refusal, Unavailable) as error:
                say(log, logging.ERROR, "no integration from SLACK_BOT_TOKEN yet", error=str(error))
                await made.drain.sleep(DEFAULT_AGAIN_S)
            else:
                return

"""The Celery app of a worker process: settings, logging, signal handlers, and the event loop of its tasks."""

import asyncio
import logging.config
import os
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, NoReturn, TypeVar

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning
from celery.platforms import SecurityWarning
from celery.signals import setup_logging, worker_init, worker_shutdown, worker_shutting_down
from kombu.transport.virtual import Channel

import worker.slack.client  # noqa: F401  # loaded before the first post, not during it
from config.logging_config import log_config
from config.settings import Settings, SettingsError
from worker.bootstrap.context import AppContext, ShutdownSignal, open_context
from worker.bootstrap.dispatch import create_celery_app
from worker.bootstrap.redis_urls import open_redis
from worker.domain.errors import SlackError, UserError
from worker.domain.integration import Secret
from worker.local_machine import keep_life_sign
from worker.pipeline.integration_setup import ensure_default_integration
from worker.store.audit import AuditTrail
from worker.store.redis_errors import StoreUnavailable, log_redis_error
from worker.telemetry import log_event

log = logging.getLogger("worker")

Result = TypeVar("Result")
DRAIN_TIMEOUT_S = 60.0  # no drain takes that long: its budget and Slack's time-out are far below
STOP_TIMEOUT_S = 22.0  # a post in flight may take 15 s; `ik-slack up` kills after 25 s
CLOSE_TIMEOUT_S = 20.0
RETRY_DEFAULT_S = 10.0


class LoopThread:
    """An event loop with an application context and the sweeper, started and stopped with the worker."""

    def __init__(self, settings: Settings, celery: Celery) -> None:
        self._settings, self._celery = settings, celery
        self._thread = threading.Thread(target=self._run, name="event-loop", daemon=True)
        self._started: Future[AppContext] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shutdown = ShutdownSignal()
        self._closed = asyncio.Event()

    def start(self) -> None:
        """Start the thread and return when the loop runs; print a UserError that prevents it, and exit."""
        self._thread.start()
        try:
            self._started.result()
        except UserError as error:
            _exit_with(error)

    def run(
        self, work: Callable[[AppContext], Coroutine[Any, Any, Result]], *, timeout_s: float = DRAIN_TIMEOUT_S
    ) -> Result:
        """Run a coroutine on the loop and wait for its result; called from a task's thread."""
        if self._loop is None or not self._started.done():
            raise UserError("The worker has not started.")
        return asyncio.run_coroutine_threadsafe(work(self._started.result()), self._loop).result(timeout_s)

    def stop(self) -> None:
        """Finish the posts in flight and release the leases; start nothing new."""
        self._set(self._shutdown)

    def close(self) -> None:
        """Close the connections and end the thread; called after the last task."""
        self._set(self._shutdown)
        self._set(self._closed)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _set(self, event: asyncio.Event) -> None:
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(event.set)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)  # raised again by the thread that waits in `start`

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        life_sign = asyncio.create_task(keep_life_sign(self._settings.key_prefix, "worker"))
        async with open_context(self._settings, celery=self._celery, shutdown=self._shutdown) as app:
            app.token_cipher.require_keys()
            await app.installation.require_compatible()
            background = [asyncio.create_task(app.sweeper.run()), asyncio.create_task(self._add_default(app))]
            self._started.set_result(app)
            await self._closed.wait()
            life_sign.cancel()
            await asyncio.gather(*background, life_sign, return_exceptions=True)
            try:
                await app.sweeper.stop()
            except StoreUnavailable as error:
                log_redis_error(log, error)
            except Exception:
                log.exception("unexpected error")

    async def _add_default(self, app: AppContext) -> None:
        """Add the integration of SLACK_BOT_TOKEN; retry until Slack and Redis have answered."""
        token = self._settings.slack_bot_token
        while token and not app.shutdown.is_set():
            try:
                await ensure_default_integration(app.integrations, app.gateway, Secret(token.get_secret_value()))
            except (UserError, SlackError, StoreUnavailable) as error:
                log_event(log, logging.ERROR, "integration of SLACK_BOT_TOKEN not added yet", error=str(error))
            except Exception:
                log.exception("unexpected error")
            else:
                return
            await app.shutdown.sleep(RETRY_DEFAULT_S)


def create_worker_app(settings: Settings | None = None) -> Celery:
    """Create the worker's Celery app; print an invalid setting in one line and exit."""
    try:
        settings = settings or Settings.load()
        celery = create_celery_app(settings)
    except (SettingsError, UserError) as error:
        _exit_with(error)
    # Celery warns of root and pickle, but this app does not accept pickle, and in a container everything is root.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # Celery warns of a default that Celery 6 changes for tasks in progress when the connection is lost.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    # Kombu would dump unacknowledged calls to a file in /tmp when Redis is away; the sweeper repeats them anyway.
    Channel.do_restore = False
    loop_thread = celery.loop_thread = LoopThread(settings, celery)
    celery.record_change = partial(record_change, settings)  # Flower's process has the app, and no event loop
    config = log_config(settings)
    setup_logging.connect(lambda **_: logging.config.dictConfig(config), weak=False)
    worker_init.connect(lambda **_: loop_thread.start(), weak=False)
    worker_shutting_down.connect(lambda **_: _stop(loop_thread), weak=False)
    worker_shutdown.connect(lambda **_: loop_thread.close(), weak=False)
    return celery


def record_change(settings: Settings, who: str, what: str, which: str, outcome: str) -> None:
    """Record a change that was made in Flower in the audit trail; log it when Redis cannot serve."""

    async def append() -> None:
        async with open_redis(settings) as redis:
            await AuditTrail(redis).append(who, what, which, outcome)

    try:
        asyncio.run(append())
    except (StoreUnavailable, UserError) as error:
        log_event(log, logging.ERROR, "change not recorded in the audit trail", error=str(error))


def _stop(loop_thread: LoopThread) -> None:
    """Release the leases, then force the exit after STOP_TIMEOUT_S: Celery can hang on an unreachable broker."""
    loop_thread.stop()
    timer = threading.Timer(STOP_TIMEOUT_S, _force_exit)
    timer.daemon = True
    timer.start()


def _force_exit() -> None:
    log.warning("exit forced: Celery did not stop in time, and no post is in flight")
    logging.shutdown()
    os._exit(0)


def _exit_with(error: Exception) -> NoReturn:
    print(error, file=sys.stderr)  # noqa: T201  # logging is not set up yet
    raise SystemExit(1)

"""Opens the door for Celery: settings, logging, the app, and the event loop of the worker."""

import logging.config
import os
import sys
import threading
import warnings
from typing import NoReturn

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning
from celery.platforms import SecurityWarning
from celery.signals import setup_logging, worker_init, worker_shutdown, worker_shutting_down
from kombu.transport.virtual import Channel

from config.logs import log_config
from config.settings import Settings, SettingsError
from worker.bootstrap.calls import make_celery
from worker.bootstrap.runtime import Runtime
from worker.domain.errors import Problem

log = logging.getLogger("worker")

STOP_MOST_S = 22.0  # a post in flight may take 15 s; `ik-slack up` kills after 25 s


def open_door(settings: Settings | None = None) -> Celery:
    """The Celery app of this environment; a setting that cannot be used ends the process with its line."""
    try:
        settings = settings or Settings.load()
        celery = make_celery(settings)
    except (SettingsError, Problem) as error:
        _refuse(error)
    # It speaks of pickle, which we do not accept; in a container root is who one is.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # And this one, when Redis was away, of a default that Celery 6 changes: our messages are wake-up calls.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    # Calls in hand when the connection is lost cannot be put back, and that is no emergency to be written to
    # a file in /tmp: the sweep wakes their lanes.
    Channel.do_restore = False
    celery.runtime = Runtime(settings, celery)
    config = log_config(settings)
    setup_logging.connect(lambda **_: logging.config.dictConfig(config), weak=False)
    worker_init.connect(lambda **_: _start(celery), weak=False)
    worker_shutting_down.connect(lambda **_: _stop(celery), weak=False)
    worker_shutdown.connect(lambda **_: celery.runtime.close(), weak=False)
    return celery


def _start(celery: Celery) -> None:
    try:
        celery.runtime.start()
    except Problem as error:
        _refuse(error)


def _stop(celery: Celery) -> None:
    """Lanes are given back. Celery may then wait for ever for a broker that is away: not with us."""
    celery.runtime.stop()
    last_word = threading.Timer(STOP_MOST_S, _end)
    last_word.daemon = True
    last_word.start()


def _end() -> None:
    log.warning("Celery did not end in time; no post is in flight, so this process ends")
    logging.shutdown()
    os._exit(0)


def _refuse(error: Exception) -> NoReturn:
    print(error, file=sys.stderr)  # noqa: T201  # before logging is set up, and for the person who started it
    raise SystemExit(1)

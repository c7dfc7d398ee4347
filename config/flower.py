"""Flower's options, and the queue that nobody consumes made visible.

`celery -A worker flower --conf="$(python -m config.flower)"` starts it from any directory: run as a module,
this prints where `flowerconfig.py` is.
"""

import logging.config
import os
import re
from pathlib import Path
from typing import Protocol, TypeVar

from config.logs import log_config
from config.settings import Settings

COLUMNS = "name,state,args,kwargs,retries,exception,result,received,runtime,worker,uuid"

FIRST = ("reason", "channel")
"""What a dead letter begins with, so it needs no name: a narrow column shows little more."""

SHOWN_MOST = 10_000
"""Tasks it remembers, 8 kB each, all written to its state every ten seconds; its own default is 100,000."""

_PAIR = re.compile(r"""'(\w+)': (?:'([^']*)'|"([^"]*)")""")
_WAITS = re.compile(r"""LaneWaits\((['"])(?P<why>.*?)\1\)""")


class Shown(Protocol):
    """What Flower knows of a task, as texts."""

    state: str | None
    args: str | None
    kwargs: str | None
    result: str | None
    exception: str | None


Task = TypeVar("Task", bound=Shown)


def as_people_read_it(task: Task) -> Task:
    """A task without Python's quotes and brackets. Searching still looks at what was sent."""
    pairs = [(name, one or other) for name, one, other in _PAIR.findall(task.kwargs or "")]
    shown = (value if name in FIRST else f"{name}={value}" for name, value in pairs if value)
    task.kwargs = "  ".join(shown) or (task.kwargs or "").strip("{}")
    task.args = (task.args or "").strip("()")
    task.result = (task.result or "").strip("'")
    if waits := _WAITS.search(task.exception or ""):
        task.exception = "" if task.state == "SUCCESS" else waits["why"]  # it waits for nothing any more
    return task


def flower_options(settings: Settings) -> dict[str, object]:
    """What `flowerconfig.py` sets. Loopback only unless there are credentials. Makes the state's directory.

    Flower's own `/api` answers 401 without credentials.
    """
    folder = settings.data_dir.absolute() / "flower"
    for made in (folder.parent, folder):  # `parents` would make them for everybody
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    login = settings.flower_basic_auth
    return {
        "port": settings.flower_port,
        "address": "0.0.0.0" if login else "127.0.0.1",  # noqa: S104  # credentials guard it
        "basic_auth": login.get_secret_value().split(",") if login else [],
        "persistent": True,
        "db": str(folder / "state"),
        "state_save_interval": 10_000,
        "max_tasks": SHOWN_MOST,
        "tasks_columns": COLUMNS,
        "format_task": as_people_read_it,
        "purge_offline_workers": 3600,
        "logging": "none",  # Tornado's own lines would know neither LOG_FORMAT nor what to leave out
    }


def log_as_we_do(settings: Settings) -> None:
    """Have Flower log like all others; Tornado has set up its own lines before it reads our options."""
    logging.config.dictConfig(log_config(settings))


def keep_to_ourselves() -> None:
    """Files that Flower makes, its state anew every few seconds, are for their owner alone."""
    os.umask(0o077)


def list_all_queues() -> None:
    """Make the Broker page list every declared queue: by itself it shows only those a live worker consumes.

    See https://github.com/mher/flower/issues/335.
    """
    from flower.views import BaseHandler

    consumed = BaseHandler.get_active_queue_names

    def get_active_queue_names(page: BaseHandler) -> list[str]:
        declared = {queue.name for queue in page.capp.conf.task_queues or ()}
        return sorted(declared.union(consumed(page)))

    BaseHandler.get_active_queue_names = get_active_queue_names


if __name__ == "__main__":
    print(Path(__file__).with_name("flowerconfig.py"))  # noqa: T201  # this is what it is run for

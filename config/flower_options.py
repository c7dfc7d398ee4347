"""Flower's options and its display of tasks and queues.

`celery -A worker flower --conf="$(python -m config.flower_options)"` starts it from any directory: run as a module,
this one prints the path of `flowerconfig.py`.
"""

import logging.config
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from config.flower_access import FlowerAccess, protect_flower, require_credentials
from config.logging_config import log_config
from config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from celery.events.state import Task

#: Arguments of a dead letter that are shown without their name: a narrow column has little space.
UNNAMED = ("reason", "channel")

# Celery's events, and so Flower, have a task's arguments and exception as the text of `repr()` alone:
# https://docs.celeryq.dev/en/stable/userguide/monitoring.html#task-events
_PAIR = re.compile(r"""'(\w+)': (?:'([^']*)'|"([^"]*)")""")
_WAITS = re.compile(r"""LaneWaits\((['"])(?P<reason>.*?)\1\)""")


def format_task(task: "Task") -> "Task":
    """Remove Python's quotes and brackets from a task's texts. Flower's search still uses the originals."""
    pairs = [(name, single or double) for name, single, double in _PAIR.findall(task.kwargs or "")]
    texts = (value if name in UNNAMED else f"{name}={value}" for name, value in pairs if value)
    task.kwargs = "  ".join(texts) or (task.kwargs or "").strip("{}")
    task.args = (task.args or "").strip("()")
    task.result = (task.result or "").strip("'")
    if waits := _WAITS.search(task.exception or ""):
        task.exception = "" if task.state == "SUCCESS" else waits["reason"]  # the lane was drained since
    return task


def flower_options(settings: Settings) -> dict[str, object]:
    """Return the options that `flowerconfig.py` sets, and create the directory of Flower's state.

    Flower's own `/api` answers 401 without credentials. Raises SettingsError.
    """
    require_credentials(settings)
    folder = settings.data_dir.absolute() / "flower"
    try:
        for directory in (folder.parent, folder):  # `parents=True` alone ignores the mode for the parents
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        (folder / "writable").touch()
        (folder / "writable").unlink()
    except OSError as error:
        raise SettingsError(
            f"DATA_DIR {settings.data_dir} cannot be used ({error.strerror}), and Flower keeps its state there: "
            "make it writable for this user, or set another."
        ) from None
    login = settings.flower_basic_auth
    return {
        "port": settings.flower_port,
        "address": settings.flower_host,
        "basic_auth": login.get_secret_value().split(",") if login else [],
        "persistent": True,
        "db": str(folder / "state"),
        "state_save_interval": 10_000,
        "max_tasks": 10_000,  # of 8 kB each; all of them are written to the state every ten seconds
        "tasks_columns": "name,state,args,kwargs,retries,exception,result,received,runtime,worker,uuid",
        "format_task": format_task,
        "purge_offline_workers": 3600,
        "logging": "none",  # Tornado's own lines ignore LOG_FORMAT and redact nothing
    }


def prepare_process(settings: Settings) -> None:
    """Configure logging, the umask and the access of Flower's process, and the queues of its Broker page."""
    logging.config.dictConfig(log_config(settings))  # replaces Tornado's, set up before Flower reads the options
    os.umask(0o077)
    list_all_queues()
    explain_missing_credentials()
    login = settings.flower_basic_auth
    protect_flower(FlowerAccess(login.get_secret_value().split(",") if login else []))


def explain_missing_credentials() -> None:
    """Make Flower's API, which refuses every request without credentials, name the setting that allows it."""
    from flower.api import BaseApiHandler
    from tornado.web import HTTPError

    prepare = BaseApiHandler.prepare

    def prepare_or_explain(handler: BaseApiHandler) -> None:
        try:
            prepare(handler)
        except HTTPError as error:
            text = (
                "Flower's API needs credentials: set FLOWER_BASIC_AUTH=USER:PASSWORD, restart Flower, and send them.\n"
            )
            raise HTTPError(error.status_code, text if error.status_code == 401 else error.log_message) from None

    BaseApiHandler.prepare = prepare_or_explain


def list_all_queues() -> None:
    """Make the Broker page list every declared queue, not only those that a live worker consumes.

    See https://github.com/mher/flower/issues/335.
    """
    from flower.views import BaseHandler

    consumed = BaseHandler.get_active_queue_names

    def get_active_queue_names(page: BaseHandler) -> list[str]:
        declared = {queue.name for queue in page.capp.conf.task_queues or ()}
        return sorted(declared.union(consumed(page)))

    BaseHandler.get_active_queue_names = get_active_queue_names


if __name__ == "__main__":
    print(Path(__file__).with_name("flowerconfig.py"))  # noqa: T201  # the output of the module

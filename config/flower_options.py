"""Flower's options, its display of tasks and queues, and the access to it.

`celery -A worker flower --conf="$(python -m config.flower_options)"` starts it from any directory: run as a module,
this one prints the path of `flowerconfig.py`.
"""

import hmac
import logging.config
import math
import os
import re
import time
from base64 import b64decode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from config.addresses import is_loopback
from config.logging_config import log_config, redact
from config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from celery.events.state import Task
    from flower.views import BaseHandler

#: Arguments of a dead letter that are shown without their name: a narrow column has little space.
UNNAMED = ("reason", "channel")

# Celery's events, and so Flower, have a task's arguments and exception as the text of `repr()` alone:
# https://docs.celeryq.dev/en/stable/userguide/monitoring.html#task-events
_PAIR = re.compile(r"""'(\w+)': (?:'([^']*)'|"([^"]*)")""")
_WAITS = re.compile(r"""LaneWaits\((['"])(?P<reason>.*?)\1\)""")

OPEN_PATH = "/healthcheck"  #: For probes; it only shows that Flower runs.
FREE_ATTEMPTS, MAX_WAIT_S, MAX_ADDRESSES = 5, 300.0, 10_000
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
NO_API = "Flower's API needs credentials: set FLOWER_BASIC_AUTH=USER:PASSWORD, restart Flower, and send them.\n"
NO_METRICS = "Without FLOWER_BASIC_AUTH there are no metrics here: scrape those of the web process."
MAX_TEXT = 200
audit = logging.getLogger("worker.audit")


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
    login = settings.flower_basic_auth
    protect_flower(FlowerAccess(login.get_secret_value().split(",") if login else []))


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


def require_credentials(settings: Settings) -> None:
    """Raise SettingsError when other machines could connect to Flower and no password is set."""
    if not (settings.flower_basic_auth or is_loopback(settings.flower_host)):
        raise SettingsError(
            f"FLOWER_HOST {settings.flower_host} lets other machines connect, and FLOWER_BASIC_AUTH is not set: "
            "set it, or leave FLOWER_HOST at 127.0.0.1."
        )


class FlowerAccess:
    """The check of every request, and the waits of clients that sent wrong passwords.

    Flower itself asks for no password on `/metrics`, does not slow down guesses, fails on credentials that are not
    ASCII, and without credentials serves a page of another site whose name resolves to this machine (DNS rebinding).
    """

    def __init__(self, logins: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        # A browser encodes them as UTF-8, some programs as Latin-1.
        self._logins = [
            (login.partition(":")[0], login.encode(encoding, "replace"))
            for login in logins
            for encoding in ("utf-8", "latin-1")
        ]
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}

    def check(self, handler: "BaseHandler") -> None:
        """Set the user of a request; raises HTTPError when it is not allowed."""
        from tornado.web import Finish, HTTPError

        request = handler.request
        if request.path == OPEN_PATH:
            return
        if not self._logins:
            if not is_loopback(_host_name(request.headers.get("Host", ""))):
                raise HTTPError(403, "Without FLOWER_BASIC_AUTH Flower is served as localhost or 127.0.0.1 only.")
            if request.path.rstrip("/") == "/metrics":
                raise HTTPError(403, NO_METRICS)
            handler.current_user = "no login"
            return
        count, until = self._failures.get(request.remote_ip, (0, 0.0))
        if (wait_s := math.ceil(until - self._clock())) > 0:
            handler.set_status(429)
            handler.set_header("Retry-After", str(wait_s))
            handler.finish(f"Too many wrong passwords: wait {wait_s} s.")
            raise Finish
        given = _basic_credentials(request.headers.get("Authorization", ""))
        user = next(iter([user for user, login in self._logins if hmac.compare_digest(login, given)]), "")
        if user:
            self._failures.pop(request.remote_ip, None)
            handler.current_user = user
            return
        if given:
            over = count + 1 - FREE_ATTEMPTS
            wait = min(2.0 ** min(over, 20), MAX_WAIT_S) if over >= 0 else 0.0
            self._failures.pop(request.remote_ip, None)  # the dictionary is ordered by the last failure
            self._failures[request.remote_ip] = (count + 1, self._clock() + wait)
            while len(self._failures) > MAX_ADDRESSES:
                del self._failures[next(iter(self._failures))]
        raise HTTPError(401)


def _host_name(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:  # half of an IPv6 address
        return ""


def _basic_credentials(header: str) -> bytes:
    scheme, _, value = header.partition(" ")
    try:
        return b64decode(value, validate=True) if scheme.lower() == "basic" else b""
    except ValueError:
        return b""


def audit_change(handler: "BaseHandler") -> None:
    """Write the audit line of a request that changes something, after its answer."""
    request, status = handler.request, handler.get_status()
    if request.method in SAFE_METHODS or not (user := getattr(handler, "_current_user", None)):
        return
    which = f"{request.path} {request.body.decode('utf-8', 'replace')}".strip()[:MAX_TEXT]
    outcome = "done" if status < 400 else "refused" if status < 500 else "failed"
    what = f"Flower {request.method}"
    audit.info("change audited", extra={"who": user, "what": what, "which": which, "outcome": outcome})
    if record := getattr(handler.capp, "record_change", None):
        handler.application.executor.submit(record, f"{user} (Flower)", what, redact(which), outcome)


def protect_flower(access: FlowerAccess) -> None:
    """Check each request of Flower before its handler, and audit changes after it.

    Flower's API refuses every request without credentials: its answer names the setting that allows them.
    """
    from flower.api import BaseApiHandler
    from flower.views import BaseHandler
    from tornado.web import HTTPError

    def checked(prepare: Callable[[BaseHandler], None]) -> Callable[[BaseHandler], None]:
        def prepare_checked(handler: BaseHandler) -> None:
            access.check(handler)
            try:
                prepare(handler)
            except HTTPError as error:
                raise HTTPError(error.status_code, NO_API if error.status_code == 401 else error.log_message) from None

        return prepare_checked

    BaseApiHandler.prepare = checked(BaseApiHandler.prepare)
    BaseHandler.prepare = checked(BaseHandler.prepare)
    BaseHandler.on_finish = audit_change


if __name__ == "__main__":
    print(Path(__file__).with_name("flowerconfig.py"))  # noqa: T201  # the output of the module

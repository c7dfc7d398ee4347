"""Access to Flower: its credentials, the host names it is served under, and the audit lines of changes.

Flower itself asks for no password on `/metrics`, does not slow down guesses, fails on credentials that are not ASCII,
and without credentials serves a page of another site whose name resolves to this machine (DNS rebinding).
"""

import hmac
import logging
import math
import time
from base64 import b64decode
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from config.logging_config import redact
from config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from flower.views import BaseHandler

OPEN_PATH = "/healthcheck"  #: For probes; it only shows that Flower runs.
FREE_ATTEMPTS, MAX_WAIT_S, MAX_ADDRESSES = 5, 300.0, 10_000
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
NO_METRICS = "Without FLOWER_BASIC_AUTH there are no metrics here: scrape those of the web process."
MAX_TEXT = 200
audit = logging.getLogger("worker.audit")


def require_credentials(settings: Settings) -> None:
    """Raise SettingsError when other machines could connect to Flower and no password is set."""
    if not (settings.flower_basic_auth or is_loopback(settings.flower_host)):
        raise SettingsError(
            f"FLOWER_HOST {settings.flower_host} lets other machines connect, and FLOWER_BASIC_AUTH is not set: "
            "set it, or leave FLOWER_HOST at 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its own names and addresses alone."""
    try:
        return host.lower().rstrip(".") == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class FlowerAccess:
    """The check of every request, and the waits of clients that sent wrong passwords."""

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
    """Check each request of Flower before its handler, and audit changes after it."""
    from flower.api import BaseApiHandler
    from flower.views import BaseHandler

    def checked(prepare: Callable[[BaseHandler], None]) -> Callable[[BaseHandler], None]:
        def prepare_checked(handler: BaseHandler) -> None:
            access.check(handler)
            prepare(handler)

        return prepare_checked

    BaseApiHandler.prepare = checked(BaseApiHandler.prepare)
    BaseHandler.prepare = checked(BaseHandler.prepare)
    BaseHandler.on_finish = audit_change

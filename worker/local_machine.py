"""This machine: free ports, private files, child processes that end with their parent, and life signs of processes."""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from config.addresses import is_loopback
from worker.domain.errors import UserError
from worker.telemetry import log_event

__all__ = ["is_loopback"]

log = logging.getLogger("worker.local_machine")

_PR_SET_PDEATHSIG = 1
STARTUP_KEY_FILE = "startup-key"
TOKEN_PREFIX = "iks_"  # noqa: S105  # logs redact a token, and secret scanners find a leaked one, by it
_TOKEN_LENGTH = 40
LIFE_SIGN_S, ALIVE_S = 5.0, 15.0  #: How often a process gives a sign of life, and for how long it counts as alive.


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of 127.0.0.1."""
    return free_port(port) == port


def free_port(preferred: int = 0) -> int:
    """Return the preferred port of 127.0.0.1 if it is free, else any. Raises UserError when there is none."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise UserError("No port of 127.0.0.1 is free: close programs that use many connections.")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def make_token() -> str:
    """Return a new secret of 256 random bits."""
    return f"{TOKEN_PREFIX}{secrets.token_urlsafe(32)}"


def load_startup_key(data_dir: Path) -> str:
    """Return the start-up key of `data_dir`, made at the first start. Raises UserError when it cannot be written.

    Processes that start at the same time share one key: the file appears complete, and the first one stays.
    """
    path = data_dir / STARTUP_KEY_FILE
    try:
        make_private_folder(data_dir)
        if key := _read_private(path):
            return key
        descriptor, draft = tempfile.mkstemp(dir=data_dir, prefix=f".{STARTUP_KEY_FILE}-")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{make_token()}\n")
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            Path(draft).unlink()
        key, reason = _read_private(path), "other users could read its files"
    except OSError as error:
        key, reason = "", str(error.strerror)
    if key:
        return key
    raise UserError(
        f"The start-up key cannot be kept in DATA_DIR {data_dir} ({reason}): make the directory writable for this "
        "user, or set API_TOKEN or ADMIN_PASSWORD."
    )


def _read_private(path: Path) -> str:
    """Return the key of a file, empty when there is none; a file that others could read or write is removed."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8", errors="replace") as file:
            status, key = os.fstat(file.fileno()), file.read(1000).strip()
    except FileNotFoundError:
        return ""
    if status.st_uid == os.geteuid() and not status.st_mode & 0o077 and len(key) >= _TOKEN_LENGTH:
        return key
    path.unlink()
    return ""


def make_private_folder(path: Path) -> None:
    """Create a directory, and its parent, for this user alone; an existing one stays as it is."""
    for folder in (path.parent, path):  # mkdir's `parents` would create them readable by every user
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def run_under_init() -> None:
    """Continue in a child when this is process 1 of a container, and wait for every process that loses its parent.

    The kernel gives process 1 those processes, and keeps each dead one until process 1 has waited for it. Signals that
    end a program are passed on to the child, and the child's exit code is this process's.
    """
    if os.getpid() != 1:
        return
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # a terminal's Ctrl-C reaches process 1 alone, which passes it on once
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda number, _: os.kill(child, number))
    pid = status = 0
    while pid != child:
        pid, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


def end_with_parent() -> Callable[[], None] | None:
    """Return a `preexec_fn` that sends the child SIGTERM when its parent has died; None where that is not Linux.

    The kernel means the parent's thread that started the child: it must live as long as the child may.
    https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
    """
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    return partial(ctypes.CDLL(None, use_errno=True).prctl, _PR_SET_PDEATHSIG, signal.SIGTERM)


def life_sign_path(key_prefix: str, role: str, pid: int | str) -> Path:
    """Return the file that a process touches as its sign of life, in a directory of this user.

    A probe must not depend on Redis: while it is away, processes wait for it, and a restart would not help them.
    """
    name = f"{key_prefix}.{role}.{pid}".replace("/", "_")
    return Path(tempfile.gettempdir()) / f"ik-slack-{os.getuid()}" / name


async def keep_life_sign(key_prefix: str, role: str) -> None:
    """Touch the file of this process until the task is cancelled, then remove it; log once when that is impossible."""
    path, can_write = life_sign_path(key_prefix, role, os.getpid()), True
    try:
        while True:
            try:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                if path.parent.lstat().st_uid != os.getuid():
                    raise PermissionError(f"{path.parent} belongs to another user")
                path.touch(mode=0o600)
                can_write = True
            except OSError as error:
                if can_write:
                    log_event(log, logging.WARNING, "life sign not written", file=str(path), error=str(error))
                can_write = False
            await asyncio.sleep(LIFE_SIGN_S)
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            path.parent.rmdir()  # it fails while other processes have files there


def has_life_sign(key_prefix: str, role: str) -> bool:
    """Return whether a process of this role touched its file within `ALIVE_S`; remove the files of dead ones."""
    is_alive = False
    pattern = life_sign_path(key_prefix, role, "*")
    for path in pattern.parent.glob(pattern.name):
        with contextlib.suppress(OSError):
            if abs(time.time() - path.stat().st_mtime) <= ALIVE_S:
                is_alive = True
            elif not Path(f"/proc/{path.suffix[1:]}").exists() and Path("/proc/self").exists():
                path.unlink()
    return is_alive

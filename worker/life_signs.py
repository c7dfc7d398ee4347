"""Life signs: each process touches a file of its own, which shows a probe whether the process still runs.

A probe must not depend on Redis: while Redis is away, processes wait for it, and a restart would not help them.
"""

import asyncio
import contextlib
import logging
import os
import tempfile
import time
from pathlib import Path

from worker.telemetry import log_event

log = logging.getLogger("worker.life_signs")

EVERY_S, ALIVE_S = 5.0, 15.0


def life_sign_path(key_prefix: str, role: str, pid: int | str) -> Path:
    """Return the file of a process, in a directory of this user."""
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
            await asyncio.sleep(EVERY_S)
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

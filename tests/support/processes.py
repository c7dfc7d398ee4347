"""The processes of `ik-slack up`, seen from outside."""

from contextlib import suppress
from pathlib import Path

ROLES = ("ingest", "web", "flower", "bridge", "worker")  # Flower is started by `celery -A worker` too


def child_processes(supervisor: int) -> dict[int, str]:
    """Return the role of each child process by its id; `starting` before it has one."""
    roles = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                state, parent = (folder / "stat").read_text().rpartition(") ")[2].split()[:2]
                if int(parent) == supervisor and state != "Z":
                    roles[int(folder.name)] = _role((folder / "cmdline").read_text().split("\0"))
    return roles


def processes_with_setting(setting: str) -> list[int]:
    """Return the ids of all processes with a value in their environment, such as those of one installation."""
    pids = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                if setting.encode() in (folder / "environ").read_bytes():
                    pids.append(int(folder.name))
    return pids


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def _role(command: list[str]) -> str:
    if command[0].endswith("sh"):
        return "starting"
    return next((role for role in ROLES if role in command), "starting")

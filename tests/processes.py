"""The processes `ik-slack up` keeps, seen from outside: which there are, and the memory each holds."""

from contextlib import suppress
from pathlib import Path

ROLES = ("ingest", "web", "flower", "worker")  # Flower is started by `celery -A worker` too


def kept_by(supervisor: int) -> dict[int, str]:
    """The process ids of its children, with what each is; `starting` until it is that."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                state, parent = (folder / "stat").read_text().rpartition(") ")[2].split()[:2]
                if int(parent) == supervisor and state != "Z":
                    found[int(folder.name)] = _role((folder / "cmdline").read_text().split("\0"))
    return found


def that_know(setting: str) -> list[int]:
    """The processes in whose environment this stands: those of one installation, whoever started them."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                if setting.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
    return found


def resident_mb(pid: int) -> float:
    """Memory a process holds now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def _role(words: list[str]) -> str:
    if words[0].endswith("sh"):
        return "starting"
    return next((role for role in ROLES if role in words), "starting")

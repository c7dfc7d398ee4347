"""Before processes start: what stands against it is said in one line, and Redis is waited for."""

import asyncio
import fcntl
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from config.settings import Settings
from worker.bootstrap.where import addresses, client_of
from worker.cli.procfile import Program
from worker.domain.errors import Problem
from worker.sandbox.machine import is_free, is_loopback
from worker.store.keys import Keys
from worker.store.server import Server, Unavailable

log = logging.getLogger("worker")

LOOK_EVERY_S = 1.0


@contextmanager
def only_one(data_dir: Path, command: str = "ik-slack up") -> Iterator[None]:
    """One `up` or `demo` per DATA_DIR: two would share an embedded server and Flower's file."""
    for folder in (data_dir.parent, data_dir):  # `parents` would make them for everybody
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _nobody_elses(data_dir)
    with os.fdopen(os.open(data_dir / "up.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.seek(0)
            who = held.read().strip() or "another process"
            raise Problem(
                f"`{command}` runs here already (process {who}, DATA_DIR {data_dir}): "
                "stop that one, or set another DATA_DIR."
            ) from None
        held.truncate(0)
        held.write(f"{os.getpid()}\n")
        held.flush()
        yield


def _nobody_elses(data_dir: Path) -> None:
    """What is in it only its owner reads; but who may write to the directory may put something else there.

    Said, not refused: a volume of a container is often so, and nobody else is in there.
    """
    mode = stat.S_IMODE(data_dir.stat().st_mode)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        log.warning(
            "every user of this machine can change DATA_DIR %s: `chmod 700 %s`, or set another DATA_DIR",
            data_dir, data_dir,
        )  # fmt: skip


def refuse_namesakes(folder: Path) -> None:
    """Celery imports from the working directory first, so another `worker` there would be started instead."""
    for name in ("worker", "config"):
        for path in (folder / f"{name}.py", folder / name / "__init__.py"):
            if path.is_file() and folder != Path(__file__).parents[2]:
                raise Problem(
                    f"This directory has a Python module `{name}` of its own ({path}), which Celery takes "
                    "for ours: start `ik-slack up` from another directory."
                )


def without_flower(
    programs: list[Program], settings: Settings, *, asked: bool, say: Callable[[str], None]
) -> list[Program]:
    """Flower is an extra, and needs its port."""
    if "flower" not in {program.name for program in programs}:
        return programs
    if find_spec("flower") is None:
        if asked:
            raise Problem("Flower is not installed: pip install 'infrakitchen-slack[flower]'.")
        say("Flower is not installed, so it is left out: pip install 'infrakitchen-slack[flower]'.")
        return [program for program in programs if program.name != "flower"]
    if not is_free(settings.flower_port):
        raise Problem(
            f"Port {settings.flower_port} is in use, and Flower wants it: set FLOWER_PORT to another, "
            "or leave Flower out with --only ingest,worker."
        )
    return programs


def guard_web(settings: Settings) -> None:
    """Without credentials nobody else is served; Problem when that is asked for."""
    if settings.api_token or settings.admin_password or is_loopback(settings.web_host):
        return
    raise Problem(
        f"WEB_HOST {settings.web_host} lets other machines in, and neither API_TOKEN nor ADMIN_PASSWORD "
        "is set: set one of them, or leave WEB_HOST at 127.0.0.1."
    )


def web_has_its_port(programs: list[Program], settings: Settings) -> None:
    """What the web process would refuse over and over is said before anything starts."""
    if "web" not in {program.name for program in programs}:
        return
    guard_web(settings)
    if is_loopback(settings.web_host) and not is_free(settings.web_port):
        raise Problem(
            f"Port {settings.web_port} is in use, and the web process wants it: set WEB_PORT to another, "
            "or leave it out with --only ingest,worker."
        )


async def redis_answers(settings: Settings, say: Callable[[str], None], stopping: Callable[[], bool]) -> None:
    """Wait for it: the processes would too, each saying so over and over."""
    url, _ = addresses(settings)
    where = url.partition("?")[0].rpartition("@")[2].rpartition("://")[2]
    server = Server(client_of(url), Keys(settings.key_prefix))
    said = False
    while not stopping():
        try:
            await server.command("PING")
            break
        except Unavailable:
            if not said:
                say(f"Redis at {where} does not answer: waiting for it. Start it, or correct REDIS_URL.")
            said = True
            await asyncio.sleep(LOOK_EVERY_S)
    await server.aclose()

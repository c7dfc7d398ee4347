"""What the demo plays on: a Redis, a small Slack and the Procfile's programs, on this machine alone."""

import asyncio
import contextlib
import logging.config
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from config.logs import log_config
from config.settings import Settings
from worker.bootstrap import Services, services
from worker.cli.alone import alone, environment_of, write_environment
from worker.cli.procfile import procfile
from worker.cli.sandbox import PORT, add_acme
from worker.cli.supervise import Supervisor
from worker.domain.errors import Problem
from worker.sandbox.machine import free_port
from worker.sandbox.redis import EmbeddedRedis
from worker.sandbox.slack import SlackSandbox
from worker.sandbox.state import Workspace

READY_S = 60.0
LOOK_S = 0.1
LOCK = "up.lock"


@dataclass(frozen=True, slots=True)
class Stage:
    """A running installation of its own. `flower_url` is empty when Flower is not installed."""

    folder: Path
    sandbox: SlackSandbox
    acme: Workspace
    made: Services
    flower_url: str
    web_url: str
    supervisor: Supervisor


@asynccontextmanager
async def stage(
    folder: Path, *, longest: int, fixed_ports: bool, say: Callable[[str], None]
) -> AsyncIterator[Stage]:
    """Everything started, and all of it ended afterwards. `longest` is how many deliveries a lane may hold.

    Raises Problem when something does not come up; its output is in `folder`/log then.
    """
    embedded = EmbeddedRedis(folder / "redis", ends_with_us=True)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, embedded.stop)
        redis_url = embedded.start()  # by this thread: the server ends with the thread that started it
        sandbox = SlackSandbox()
        acme = add_acme(sandbox)
        api_url = await stack.enter_async_context(sandbox.serving(port=free_port(PORT if fixed_ports else 0)))
        flower_port, web_port = (
            free_port(Settings.model_fields[name].default if fixed_ports else 0)
            for name in ("flower_port", "web_port")
        )
        settings = alone(folder, redis_url, api_url, flower_port, web_port, longest)
        logging.config.dictConfig(log_config(settings.model_copy(update={"log_level": "ERROR"})))
        environment = environment_of(settings, folder)
        write_environment(folder, environment)
        made = await stack.enter_async_context(services(settings))
        has_flower = find_spec("flower") is not None
        programs = [one for one in procfile(folder) if has_flower or one.name != "flower"]
        heard = stack.enter_context(_logs(folder / "log", say))
        # Elsewhere than here, where a .env may speak of a real installation.
        supervisor = Supervisor(programs, environment, heard, folder=folder)
        running = asyncio.create_task(supervisor.run())
        stack.push_async_callback(_end, supervisor, running)
        flower_url = f"http://127.0.0.1:{flower_port}" if has_flower else ""
        yield Stage(folder, sandbox, acme, made, flower_url, f"http://127.0.0.1:{web_port}", supervisor)


async def ready(on: Stage) -> None:
    """Until the programs have said that they live; Problem naming where the reason stands."""
    try:
        async with asyncio.timeout(READY_S):
            for role in ("ingest", "worker"):
                while not await on.made.upkeep.alive(role):  # noqa: ASYNC110  # it lives elsewhere
                    await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise Problem(f"The demo's programs did not start; {on.folder / 'log'} has what they said.") from None


async def serves_flower(on: Stage) -> None:
    """Until Flower serves its pages, or is late."""
    port = int(on.flower_url.rpartition(":")[2] or 0)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READY_S):
            while port:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(LOOK_S)


def clear(folder: Path) -> None:
    """Forget an earlier demo, and end what it may have left running."""
    EmbeddedRedis(folder / "redis").stop()
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


@contextmanager
def _logs(folder: Path, say: Callable[[str], None]) -> Iterator[Callable[[str, str], None]]:
    """What programs say goes into a file each; that one ended and starts again is said aloud too."""
    folder.mkdir(mode=0o700)
    files: dict[str, TextIO] = {}

    def hear(name: str, line: str) -> None:
        if name not in files:
            path = folder / f"{name or 'demo'}.log"
            files[name] = stack.enter_context(path.open("a", buffering=1, encoding="utf-8"))
        files[name].write(f"{line}\n")
        if line.startswith("ended ("):
            say(f"{name} {line}")

    with contextlib.ExitStack() as stack:
        yield hear


async def _end(supervisor: Supervisor, running: "asyncio.Task[None]") -> None:
    supervisor.stop()
    await running

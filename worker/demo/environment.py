"""The demo's installation: a Redis, a Slack sandbox and the Procfile's programs, isolated from all other settings."""

import asyncio
import logging.config
import os
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pydantic import SecretStr

from config.logging_config import log_config
from config.settings import Settings
from worker.bootstrap.context import AppContext, open_context
from worker.bootstrap.procfile_supervisor import Supervisor, procfile
from worker.demo.scenario import SANDBOX_PORT, add_sample_workspace
from worker.domain.errors import UserError
from worker.local_machine import free_port, is_free, write_private
from worker.sandbox.embedded_redis import EmbeddedRedis
from worker.sandbox.slack.server import SlackSandbox
from worker.sandbox.slack.workspace import Workspace
from worker.store.token_cipher import generate_key

READY_TIMEOUT_S = 60.0
POLL_S = 0.1
LOCK_FILE = "up.lock"
NAMES = sorted(name.upper() for name in Settings.model_fields)
NAMES += [f"{name}_FILE" for name in NAMES]


@dataclass(frozen=True, slots=True)
class DemoEnvironment:
    """A running installation."""

    folder: Path
    sandbox: SlackSandbox
    workspace: Workspace
    app: AppContext
    supervisor: Supervisor
    has_flower: bool


def demo_settings(folder: Path, *, redis_url: str, lane_max_length: int, **settings: object) -> Settings:
    """Return settings that ignore this machine's; their new encryption key is kept in `folder`."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    key = generate_key()
    write_private(folder / "key", f"{key}\n")
    own = {
        "redis_url": redis_url,
        "broker_url": redis_url,
        "data_dir": folder,
        "encryption_key": key,
        "infrakitchen_url": "https://infrakitchen.example.com",
        "probe_interval_s": 2,
        "lane_max_length": max(lane_max_length, defaults["lane_max_length"]),
    }
    return Settings.load(**defaults | own | settings)


def environment_of(settings: Settings, folder: Path) -> dict[str, str]:
    """Return this machine's environment with exactly these settings, the encryption key as a file of `folder`."""
    environment = {name: value for name, value in os.environ.items() if name.upper() not in NAMES}
    for name, value in settings:
        if value is not None and name != "encryption_key":
            environment[name.upper()] = str(value.get_secret_value() if isinstance(value, SecretStr) else value)
    return environment | {"ENCRYPTION_KEY_FILE": str(folder / "key")}


def write_environment(folder: Path, environment: Mapping[str, str]) -> None:
    """Write a shell file that gives another terminal the demo's settings."""
    lines = [f"unset {' '.join(NAMES)}"]
    lines += [f"export {name}={shlex.quote(environment[name])}" for name in NAMES if name in environment]
    lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
    write_private(folder / "env", "\n".join(lines) + "\n")


@asynccontextmanager
async def start_environment(
    folder: Path, *, lane_max_length: int, use_default_ports: bool, report: Callable[[str], None]
) -> AsyncIterator[DemoEnvironment]:
    """Start everything, and stop all of it afterwards; `report` receives a line when a program ended.

    Raises UserError when something cannot be started.
    """
    embedded = EmbeddedRedis(folder / "redis", end_with_parent=True)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, embedded.stop)
        redis_url = embedded.start()  # in this thread: the server ends with the thread that started it
        sandbox = SlackSandbox()
        workspace = add_sample_workspace(sandbox)
        fields = Settings.model_fields
        defaults = (SANDBOX_PORT, fields["flower_port"].default, fields["web_port"].default)
        sandbox_port, flower_port, web_port = (free_port(port if use_default_ports else 0) for port in defaults)
        settings = demo_settings(
            folder,
            redis_url=redis_url,
            lane_max_length=lane_max_length,
            slack_api_url=await stack.enter_async_context(sandbox.serving(port=sandbox_port)),
            flower_port=flower_port,
            web_port=web_port,
            console_url=f"http://127.0.0.1:{web_port}",
        )
        logging.config.dictConfig(log_config(settings.model_copy(update={"log_level": "ERROR"})))
        environment = environment_of(settings, folder)
        write_environment(folder, environment)
        app = await stack.enter_async_context(open_context(settings))
        has_flower = find_spec("flower") is not None
        left_out = {"bridge"} if has_flower else {"bridge", "flower"}
        programs = [program for program in procfile(folder) if program.name not in left_out]
        logs = folder / "log"
        logs.mkdir(mode=0o700)

        def write(name: str, line: str) -> None:
            with (logs / f"{name or 'demo'}.log").open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

        def on_exit(name: str, line: str) -> None:
            write(name, line)
            report(f"{name} {line}")

        # The programs run in `folder`: the working directory may have the .env of a real installation.
        supervisor = Supervisor(programs, environment, on_line=write, on_exit=on_exit, folder=folder)
        running = asyncio.create_task(supervisor.run())
        stack.push_async_callback(asyncio.gather, running)
        stack.callback(supervisor.stop)
        yield DemoEnvironment(folder, sandbox, workspace, app, supervisor, has_flower)


async def wait_until_ready(environment: DemoEnvironment, *, with_flower: bool) -> None:
    """Wait until ingest and worker run, and Flower if it is wanted; raise UserError when they do not."""
    app = environment.app
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            for role in ("ingest", "worker"):
                while not await app.processes.list_alive(role):  # noqa: ASYNC110  # another process sets it
                    await asyncio.sleep(POLL_S)
            while with_flower and is_free(app.settings.flower_port):  # noqa: ASYNC110  # another process takes it
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        log = environment.folder / "log"
        raise UserError(f"The demo's programs did not start. Their output is in {log}.") from None


def clear_folder(folder: Path) -> None:
    """Delete the files of an earlier demo, and stop its Redis if that still runs."""
    EmbeddedRedis(folder / "redis").stop()
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK_FILE:
            path.unlink()

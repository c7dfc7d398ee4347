"""`ik-slack up`: the Procfile's processes on this machine, and an embedded Redis when none is set."""

import asyncio
import fcntl
import logging.config
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from config.logs import log_config
from config.settings import Settings
from worker.cli.procfile import Program, procfile
from worker.cli.supervise import Supervisor
from worker.domain.errors import Problem
from worker.sandbox.redis import EmbeddedRedis, running_url
from worker.store.vault import Vault

COLOURS = ("cyan", "magenta", "yellow", "green", "blue")
LOOK_EVERY_S = 1.0


@click.command()
@click.option("--only", metavar="NAME,…", help="Only these processes of the Procfile.")
def command(only: str | None) -> None:
    """Run ingest, worker and Flower on this machine.

    One that dies is started again; Ctrl-C or SIGTERM lets posts in flight finish and stops all.
    Without REDIS_URL an embedded Redis keeps its data under DATA_DIR.

    \b
    Examples:
      ENCRYPTION_KEY="$(ik-slack keys generate)" ik-slack up
      ik-slack up --only ingest,worker
    """
    settings = Settings.load()
    logging.config.dictConfig(log_config(settings))
    programs = chosen(procfile(), only)
    Vault(settings.encryption_key.get_secret_value() if settings.encryption_key else "").require()
    with only_one(settings.data_dir):
        programs = _without_flower(programs, settings, asked=only is not None)
        _Up(settings, programs).run()


def chosen(programs: Sequence[Program], only: str | None) -> list[Program]:
    """The programs named in `a,b`, or all."""
    if only is None:
        return list(programs)
    names = [name.strip() for name in only.split(",") if name.strip()]
    have = [program.name for program in programs]
    unknown = [name for name in names if name not in have]
    if unknown or not names:
        raise click.UsageError(
            f"--only: no process {', '.join(unknown) or 'named'}; there is: {', '.join(have)}"
        )
    return [program for program in programs if program.name in names]


@contextmanager
def only_one(data_dir: Path, command: str = "ik-slack up") -> Iterator[None]:
    """One `up` or `demo` per DATA_DIR: two would share an embedded server and Flower's file."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data_dir / "up.lock"
    with path.open("a+") as held:
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


def _without_flower(programs: list[Program], settings: Settings, *, asked: bool) -> list[Program]:
    """Flower is an extra, and needs its port."""
    if "flower" not in {program.name for program in programs}:
        return programs
    if find_spec("flower") is None:
        if asked:
            raise Problem("Flower is not installed: pip install 'infrakitchen-slack[flower]'.")
        say("", "Flower is not installed, so it is left out: pip install 'infrakitchen-slack[flower]'.")
        return [program for program in programs if program.name != "flower"]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.flower_port))
        except OSError:
            raise Problem(
                f"Port {settings.flower_port} is in use, and Flower wants it: set FLOWER_PORT to another, "
                "or leave Flower out with --only ingest,worker."
            ) from None
    return programs


class _Up:
    """One run of everything."""

    def __init__(self, settings: Settings, programs: Sequence[Program]) -> None:
        self.settings, self.programs = settings, programs
        self.embedded = (
            None if settings.redis_url else EmbeddedRedis(settings.data_dir / "redis", ends_with_us=True)
        )
        self.asked = 0

    def run(self) -> None:
        environment = dict(os.environ)
        try:
            if self.embedded:
                environment["REDIS_URL"] = running_url(self.embedded.directory) or self.embedded.start()
                say("", f"embedded Redis under {self.embedded.directory}, for this machine only")
            asyncio.run(self._supervise(environment))
        finally:
            if self.embedded:
                self.embedded.stop()
        say("", "stopped")

    async def _supervise(self, environment: dict[str, str]) -> None:
        width = max(len(program.name) for program in self.programs)
        colours = {program.name: COLOURS[n % len(COLOURS)] for n, program in enumerate(self.programs)}
        supervisor = Supervisor(
            self.programs, environment, lambda name, line: say(name, line, width, colours.get(name))
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, supervisor)
        say("", f"starting {', '.join(program.name for program in self.programs)}; Ctrl-C stops all")
        watching = asyncio.create_task(self._watch())
        await supervisor.run()
        watching.cancel()

    def _stop(self, supervisor: Supervisor) -> None:
        self.asked += 1
        if self.asked == 1:
            say("", "stopping: posts in flight are finished (once more: at once)")
            supervisor.stop()
        else:
            supervisor.kill()

    async def _watch(self) -> None:
        """The embedded server is started again when it dies; its file has everything."""
        while self.embedded:
            await asyncio.sleep(LOOK_EVERY_S)
            if await asyncio.to_thread(running_url, self.embedded.directory) is None and not self.asked:
                say("", "the embedded Redis ended, it is started again")
                try:
                    await asyncio.to_thread(self.embedded.start)
                except Problem as error:
                    say("", str(error))


def say(name: str, line: str, width: int = 0, colour: str | None = None) -> None:
    """One line of a process, its name in front; ours stands without a name."""
    click.echo(f"{click.style(f'{name:<{width}} |', fg=colour)} {line}" if name else f"ik-slack: {line}")

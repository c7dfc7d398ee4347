"""`ik-slack up`: the Procfile's processes on this machine, and an embedded Redis when none is set."""

import asyncio
import logging.config
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from config.logs import log_config
from config.settings import Settings
from worker.cli.before import only_one, redis_answers, refuse_namesakes, web_has_its_port, without_flower
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
    """Run ingest, worker, web and Flower on this machine.

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
    refuse_namesakes(Path.cwd())
    Vault(settings.key_ring).require()
    with only_one(settings.data_dir):
        programs = without_flower(programs, settings, asked=only is not None, say=lambda line: say("", line))
        web_has_its_port(programs, settings)
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
        if self.settings.log_format == "auto" and sys.stdout.isatty():
            environment["LOG_FORMAT"] = "text"  # the programs see only our pipe
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
        if self.settings.redis_url:
            await redis_answers(self.settings, lambda line: say("", line), lambda: self.asked > 0)
        if self.asked:
            return
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

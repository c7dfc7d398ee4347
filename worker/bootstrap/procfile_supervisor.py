"""A process supervisor: starts the Procfile's programs, restarts what exits, and stops all of them cleanly."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from worker.domain.errors import UserError
from worker.local_machine import end_with_parent

RESTART_S, RESTART_MAX_S = 0.5, 30.0
STABLE_AFTER_S = 60.0  # a program that ran this long restarts fast again
STOP_TIMEOUT_S = 25.0  # a post in flight may take 15 s, and its lane is released after it

_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")


class Program(NamedTuple):
    """A line of a Procfile: a name, and the shell command that starts the process."""

    name: str
    command: str


def procfile(folder: Path | None = None) -> list[Program]:
    """Return the programs of the Procfile in `folder`, by default the working directory, else of the shipped one."""
    own = (folder or Path.cwd()) / "Procfile"
    shipped = Path(str(files("worker.cli").joinpath("Procfile")))
    checkout = Path(__file__).parents[2] / "Procfile"  # where nothing is packaged
    for path in (own, shipped, checkout):
        if path.is_file():
            return parse(path.read_text("utf-8"), path)
    raise UserError("No Procfile in this directory, and none in the installed package: reinstall infrakitchen-slack.")


def parse(text: str, path: Path) -> list[Program]:
    """Parse a Procfile. Raises UserError with the number of the first invalid line."""
    programs: dict[str, Program] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise UserError(f"{path} line {number} is not `name: command`: {line.strip()[:60]!r}.")
        if match[1] in programs:
            raise UserError(f"{path} line {number} names {match[1]} a second time.")
        programs[match[1]] = Program(match[1], match[2])
    return list(programs.values())


class Supervisor:
    """Runs programs until `stop`. `on_line` gets their output, `on_exit` the description of an exit that is restarted.

    Both are called with a program's name and a line; without a name the line is the supervisor's own.
    """

    def __init__(
        self, programs: Sequence[Program], environment: Mapping[str, str], *, on_line: Callable[[str, str], None],
        on_exit: Callable[[str, str], None], folder: Path | None = None,
    ) -> None:  # fmt: skip
        self._programs = programs
        self._folder = folder
        self._environment = with_own_programs(environment)
        self._on_line = on_line
        self._on_exit = on_exit
        self._stopping = asyncio.Event()
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def run(self) -> None:
        """Run until `stop()`, and then until every process has exited."""
        keepers = [asyncio.create_task(self._keep_running(program)) for program in self._programs]
        await self._stopping.wait()
        self._signal(signal.SIGTERM)
        _, late = await asyncio.wait(keepers, timeout=STOP_TIMEOUT_S) if keepers else (set(), set())
        if late:
            self._on_line("", f"killed after {STOP_TIMEOUT_S:.0f} s: {', '.join(sorted(self._running))}")
            self.kill()
            await asyncio.wait(late)

    def stop(self) -> None:
        """Ask every process to exit."""
        self._stopping.set()

    def kill(self) -> None:
        """Kill every process. Nothing is lost, but other workers wait until the leases have expired."""
        self.stop()
        self._signal(signal.SIGKILL)

    async def _keep_running(self, program: Program) -> None:
        restart_s = RESTART_S
        while not self._stopping.is_set():
            started = time.monotonic()
            code = await self._run_process(program)
            if self._stopping.is_set():
                return
            if time.monotonic() - started > STABLE_AFTER_S:
                restart_s = RESTART_S
            reason = f"exit code {code}" if code >= 0 else f"signal {-code}"
            with contextlib.suppress(ValueError):  # not the number of a signal with a name
                reason = signal.Signals(-code).name
            self._on_exit(program.name, f"exited ({reason}), restarting in {restart_s:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(restart_s):
                    await self._stopping.wait()
            restart_s = min(restart_s * 2, RESTART_MAX_S)

    async def _run_process(self, program: Program) -> int:
        """Start a process, forward its output, and return its exit code."""
        process = await asyncio.create_subprocess_shell(
            f"exec {program.command}",
            env=self._environment,
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # so that the terminal's Ctrl-C reaches the supervisor alone
            preexec_fn=end_with_parent(),  # one prctl call, prepared before the fork
        )
        self._running[program.name] = process
        rest = b""
        try:
            while process.stdout and (chunk := await process.stdout.read(65_536)):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, map(bytes.rstrip, lines)):
                    self._on_line(program.name, line.decode("utf-8", "replace"))
            if rest:
                self._on_line(program.name, rest.decode("utf-8", "replace"))
            return await process.wait()
        finally:
            del self._running[program.name]

    def _signal(self, number: signal.Signals) -> None:
        for process in list(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)


def with_own_programs(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with this virtual environment's programs first on PATH, activated or not."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return {**environment, "PATH": path, "PYTHONUNBUFFERED": "1"}

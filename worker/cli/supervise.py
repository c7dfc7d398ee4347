"""Supervise: keeps processes running, and ends them all as they want to be ended."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from worker.cli.procfile import Program
from worker.sandbox.parent import end_with_parent

AGAIN_S, AGAIN_MOST_S, SETTLED_S = 0.5, 30.0, 60.0
STOP_S = 25.0  # a post in flight may take 15 s, and a lane is given back after it

Say = Callable[[str, str], None]


class Supervisor:
    """Starts programs, starts again what dies, and stops all when told to."""

    def __init__(
        self,
        programs: Sequence[Program],
        environment: Mapping[str, str],
        say: Say,
        *,
        folder: Path | None = None,
    ) -> None:
        self._programs = programs
        self._folder = folder
        self._environment = with_our_programs(environment)
        self._say = say
        self._stopping = asyncio.Event()
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def run(self) -> None:
        """Until `stop()`, and then until every process has ended."""
        keeping = [asyncio.create_task(self._keep(program)) for program in self._programs]
        await self._stopping.wait()
        self._signal(signal.SIGTERM)
        _, late = await asyncio.wait(keeping, timeout=STOP_S) if keeping else (set(), set())
        if late:
            self._say("", f"not ended within {STOP_S:.0f} s, killed: {', '.join(sorted(self._running))}")
            self.kill()
            await asyncio.wait(late)

    def stop(self) -> None:
        """Ask every process to end."""
        self._stopping.set()

    def kill(self) -> None:
        """End every process at once; nothing is lost, it only takes a lease's time until others go on."""
        self.stop()
        self._signal(signal.SIGKILL)

    async def _keep(self, program: Program) -> None:
        again_s = AGAIN_S
        while not self._stopping.is_set():
            started = time.monotonic()
            code = await self._once(program)
            if self._stopping.is_set():
                return
            if time.monotonic() - started > SETTLED_S:
                again_s = AGAIN_S
            self._say(program.name, f"ended ({_ending(code)}), starts again in {again_s:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(again_s):
                    await self._stopping.wait()
            again_s = min(again_s * 2, AGAIN_MOST_S)

    async def _once(self, program: Program) -> int:
        """One life of a process; its output is said line by line."""
        process = await asyncio.create_subprocess_shell(
            f"exec {program.command}",
            env=self._environment,
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # the terminal's Ctrl-C is for us alone
            preexec_fn=end_with_parent(),  # one prctl call, made ready before the fork
        )
        self._running[program.name] = process
        try:
            if process.stdout:
                await self._tell(program.name, process.stdout)
            return await process.wait()
        finally:
            del self._running[program.name]

    async def _tell(self, name: str, output: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await output.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in filter(None, map(bytes.rstrip, lines)):
                self._say(name, line.decode("utf-8", "replace"))
        if rest:
            self._say(name, rest.decode("utf-8", "replace"))

    def _signal(self, number: signal.Signals) -> None:
        for process in list(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)


def with_our_programs(environment: Mapping[str, str]) -> dict[str, str]:
    """The same with the programs of this virtual environment first on PATH, activated or not."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return {**environment, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _ending(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"

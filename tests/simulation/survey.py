"""Survey: many seeds, on every processor; in interpreters of their own, whose hashes do not differ."""

import argparse
import gc
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from real_server import RealServer

HERE = Path(__file__).resolve().parent
AGAIN_EVERY = 50
"""Every so many seeds one is run a second time, which must be the same."""


@dataclass
class Report:
    """The result of a survey: failed seeds with their violations, and one hash of all steps."""

    ran: int = 0
    steps: int = 0
    failed: dict[int, list[str]] = field(default_factory=dict)
    traces: dict[int, str] = field(default_factory=dict)
    say: Callable[[str], object] = lambda _: None

    def add(self, found: dict[str, Any]) -> None:
        """Add the result of a seed."""
        self.ran += 1
        self.steps += found["steps"]
        self.traces[found["seed"]] = found["trace"]
        if found["wrongs"]:
            self.failed[found["seed"]] = found["wrongs"]
            self.say(_failure(found["seed"], found["wrongs"]))

    @property
    def trace(self) -> str:
        """Return a hash that is equal for equal surveys."""
        return blake2b(repr(sorted(self.traces.items())).encode(), digest_size=8).hexdigest()

    def __str__(self) -> str:
        """Each failed seed with the command that runs it again."""
        return "\n".join(_failure(seed, wrongs) for seed, wrongs in sorted(self.failed.items()))


def _failure(seed: int, wrongs: Sequence[str]) -> str:
    more = f" (and {len(wrongs) - 1} more)" if wrongs[1:] else ""
    return f"seed {seed}: {wrongs[0]}{more}\n    again, step by step: make simulate SEEDS=1 START={seed} TRACE=1"


def survey(
    start: int,
    seeds: int,
    *,
    mutant: str = "",
    first_only: bool = False,
    shares: int | None = None,
    real: bool = False,
    say: Callable[[str], object] = lambda _: None,
) -> Report:
    """Run `seeds` seeds from `start` on, a share on each processor; with `first_only` until one fails.

    With `real` each runs on a real server too, where the same must happen. `say` gets a line for each seed that fails.
    """
    shares = min(shares or os.cpu_count() or 1, seeds)
    report = Report(say=say)

    def run(share: int) -> None:
        for found in _share(start + share, len(range(share, seeds, shares)), shares, mutant, real):
            report.add(found)
            if first_only and report.failed:
                return

    with ThreadPoolExecutor(shares) as pool:
        list(pool.map(run, range(shares)))
    return report


def _share(start: int, seeds: int, step: int, mutant: str, real: bool) -> Iterator[dict[str, Any]]:
    """Yield the results of a share of the seeds, run in a process of its own."""
    words = _words(start, seeds, step, mutant) + ["--real"] * real
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=_environment()) as child:
        assert child.stdout is not None
        try:
            yield from map(json.loads, child.stdout)
            if child.wait():
                raise RuntimeError(f"a share of the simulation ended with {child.returncode}")
        finally:
            child.kill()


def _words(start: int, seeds: int, step: int, mutant: str) -> list[str]:
    return [sys.executable, str(HERE), "--share", f"{start}:{seeds}:{step}", "--mutant", mutant]


def _environment() -> dict[str, str]:
    """Ours, but that sets have the same order everywhere, and that no coverage is measured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE_"))}
    return kept | {"PYTHONHASHSEED": "0"}


def main() -> int:
    """`make simulate`."""
    asked = argparse.ArgumentParser(description="Run seeds of the simulation: SEEDS of them from START on.")
    asked.add_argument("--seeds", type=int, default=int(os.environ.get("SEEDS") or 10_000))
    asked.add_argument("--start", type=int, default=int(os.environ.get("START") or 1))
    asked.add_argument("--mutant", default="", help="a planted fault, by its name in mutants.py")
    asked.add_argument("--trace", action="store_true", default=bool(os.environ.get("TRACE")), help="every step")
    asked.add_argument("--real", action="store_true", default=bool(os.environ.get("REAL")), help="on a real server too")
    asked.add_argument("--share", default="", help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.share:
        with _server(given.real) as real:
            return _run_share(*map(int, given.share.split(":")), given.mutant, real, show=given.trace)
    if given.trace:
        words = [
            sys.executable,
            str(HERE),
            "--trace",
            "--share",
            f"{given.start}:1:1",
            "--mutant",
            given.mutant,
        ]
        return subprocess.run(words, env=_environment(), check=False).returncode
    began = time.perf_counter()
    report = survey(given.start, given.seeds, mutant=given.mutant, real=given.real, say=_print)
    took_s = time.perf_counter() - began
    print(
        f"{report.ran:,} seeds from {given.start} on, {len(report.failed)} failed; "
        f"{report.steps:,} steps in {took_s:.0f} s, trace {report.trace}"
    )
    return bool(report.failed)


@contextmanager
def _server(real: bool) -> Iterator["RealServer | None"]:
    if not real:
        yield None
        return
    from real_server import real_server

    with TemporaryDirectory() as folder, real_server(Path(folder)) as server:
        yield server


def _print(line: str) -> None:
    """At once, also into a file."""
    print(line, flush=True)


def _run_share(start: int, seeds: int, step: int, mutant: str, real: "RealServer | None", *, show: bool) -> int:
    """In an interpreter of its own: a line of JSON a seed."""
    from run import run

    gc.set_threshold(50_000)  # what a run leaves is little, and looking for it a twentieth of its time
    failed = False
    for number, seed in enumerate(range(start, start + seeds * step, step)):
        try:
            found = run(seed, mutant=mutant, show=show)
            said = {"seed": seed, "wrongs": list(found.wrongs), "trace": found.trace, "steps": found.steps}
            if number % AGAIN_EVERY == 0 and not show:
                again = run(seed, mutant=mutant)
                said["wrongs"] += [f"run again it is another: {again}"] * (again != found)
            if real:
                there = run(seed, mutant=mutant, real=real)
                said["wrongs"] += [f"on a real server it is another: {there}"] * (not there.is_same(found))
        except Exception as fault:  # noqa: BLE001  # reported with its seed
            said = {"seed": seed, "wrongs": [f"the run broke: {fault!r}"], "trace": "", "steps": 0}
            traceback.print_exc()
        failed |= bool(said["wrongs"])
        print(json.dumps(said), flush=True)
    return int(failed and show)

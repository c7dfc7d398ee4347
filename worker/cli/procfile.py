"""The Procfile: which processes an installation has, in the form of foreman, honcho and many platforms."""

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from worker.domain.errors import Problem

_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")


@dataclass(frozen=True, slots=True)
class Program:
    """One line: a name, and the shell command that starts it."""

    name: str
    command: str


def procfile(folder: Path | None = None) -> list[Program]:
    """The programs of the Procfile in this folder, or without one of the Procfile we ship."""
    own = (folder or Path.cwd()) / "Procfile"
    shipped = Path(str(files("worker.cli").joinpath("Procfile")))
    beside = Path(__file__).parents[2] / "Procfile"  # a checkout, where nothing is packaged
    for path in (own, shipped, beside):
        if path.is_file():
            return parse(path.read_text("utf-8"), path)
    raise Problem("There is no Procfile here, and none came with the installation: install it again.")


def parse(text: str, path: Path) -> list[Program]:
    """The programs of a Procfile's text; Problem naming the first line that is none."""
    programs: list[Program] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise Problem(f"{path} line {number} is not `name: command`: {line.strip()[:60]!r}.")
        if match[1] in {program.name for program in programs}:
            raise Problem(f"{path} line {number} names {match[1]} a second time.")
        programs.append(Program(match[1], match[2]))
    return programs

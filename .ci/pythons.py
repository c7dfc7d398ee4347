"""Run the unit and contract tests on every supported Python that is installed: `make pythons`, or `pythons.py 3.13`.

Each Python has an environment of its own in `.venv-VERSION`, with the versions of constraints.txt.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
TESTS = ("tests/unit", "tests/contracts")
PYTEST = ("-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", "-p", "no:cacheprovider")


def find_python(version: str) -> str | None:
    """Return the program of a Python version: on PATH, else of pyenv; None if it is not installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    probe = f"import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != {version!r})"
    for program in filter(None, candidates):
        if subprocess.run([program, "-c", probe], capture_output=True, check=False).returncode == 0:  # noqa: S603
            return program
    return None


def run_tests(version: str, program: str) -> bool:
    """Prepare the environment of a Python version and run the tests in it; return whether they passed."""
    environment = ROOT / f".venv-{version}"
    python = environment / "bin" / "python"
    packages = ("-q", "-c", "constraints.txt", "-e", ".[dev]")
    uv = shutil.which("uv")  # several times as fast as pip
    pip = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    for command in ([program, "-m", "venv", environment], [*pip, *packages], [python, *PYTEST, *TESTS]):
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:  # noqa: S603
            return False
    return True


def main(versions: tuple[str, ...]) -> int:
    """Test the versions, print what was run, and return the exit code: 1 if one failed or none is installed."""
    outcomes = {
        version: run_tests(version, program) if (program := find_python(version)) else None for version in versions
    }
    words = {True: "passed", False: "FAILED", None: "not installed"}
    print("\n".join(f"Python {version}: {words[outcome]}" for version, outcome in outcomes.items()))
    return 0 if False not in outcomes.values() and True in outcomes.values() else 1


if __name__ == "__main__":
    raise SystemExit(main(tuple(sys.argv[1:]) or VERSIONS))

"""All benchmarks, one after another: `make bench`."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Each in a process of its own, so that none sees another's environment."""
    for name, *arguments in (
        ("throughput.py", *sys.argv[1:]),
        ("slots.py",),
        ("storm.py",),
        ("memory.py",),
        ("backlog.py",),
    ):
        print(f"\n{name}", flush=True)
        subprocess.run([sys.executable, name, *arguments], cwd=HERE, check=True)


if __name__ == "__main__":
    main()

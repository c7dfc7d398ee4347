"""All benchmarks, one after another: `make bench`."""

import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run each benchmark in a process of its own, because each sets environment variables."""
    for name in ("yardstick.py", "slots.py", "storm.py", "memory.py", "backlog.py", "bridge.py"):
        arguments = sys.argv[1:] if name == "yardstick.py" else []
        print(f"\n{name}", flush=True)
        subprocess.run([sys.executable, name, *arguments], cwd=Path(__file__).parent, check=True)


if __name__ == "__main__":
    main()

"""All benchmarks, one after another: `make bench`."""

import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run each benchmark in a process of its own, because each sets environment variables."""
    for name in ("throughput.py", "slots.py", "storm.py", "memory.py", "backlog.py", "growth.py", "bridge.py"):
        arguments = sys.argv[1:] if name == "throughput.py" else []
        print(f"\n{name}", flush=True)
        subprocess.run([sys.executable, name, *arguments], cwd=Path(__file__).parent, check=True)


if __name__ == "__main__":
    main()

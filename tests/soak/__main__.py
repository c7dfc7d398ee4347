"""The program of `make soak`: see `soak.py`."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from soak import main  # noqa: E402  # importable only now

raise SystemExit(main())

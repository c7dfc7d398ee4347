"""`make simulate`: see `survey.py`."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from survey import main  # noqa: E402  # its folder is known only now

raise SystemExit(main())

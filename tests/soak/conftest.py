"""The soak is a program of its own; its tests look for what it shares with the others one floor up."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

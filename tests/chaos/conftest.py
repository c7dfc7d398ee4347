"""An installation under load: forty channels, pace raised so that a run is short."""

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from accounts import CHANNELS, REPORT
from installation import Installation, installed


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Installation]:
    """Subscribed and empty; nothing runs yet."""
    pace = {"POST_RATE_PER_WORKSPACE": "60000", "UPDATE_RATE_PER_WORKSPACE": "60000"}
    async with installed(tmp_path, POST_RATE_PER_CHANNEL="20", **pace) as made:
        made.sandbox.set_rate(0)
        made.sandbox.tiers = False
        made.sandbox.latency_s = 0.05
        for name in CHANNELS:
            made.workspace.add_channel(name)
        await made.connect(*(f"#{name}" for name in CHANNELS))
        yield made


@pytest.fixture
def seed() -> int:
    """Told in the report, so that a run can be had again: `make chaos SEED=…`."""
    return int(os.environ.get("SEED") or int.from_bytes(os.urandom(3)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Recovery times and repeats, also of runs that passed."""
    for line in REPORT:
        terminalreporter.write_line(line)

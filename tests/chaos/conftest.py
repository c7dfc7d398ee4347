"""An installation under load: forty channels, pace raised so that a run is short."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.installation import Installation, run_installation
from support.ledger_checks import CHANNELS, REPORT


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    """Subscribed and empty; nothing runs yet."""
    pace = {"POST_RATE_PER_WORKSPACE": "60000", "UPDATE_RATE_PER_WORKSPACE": "60000"}
    async with run_installation(tmp_path, POST_RATE_PER_CHANNEL="20", **pace) as app:
        app.sandbox.set_rate(0)
        app.sandbox.tiers = False
        app.sandbox.latency_s = 0.05
        for name in CHANNELS:
            app.workspace.add_channel(name)
        await app.connect(*(f"#{name}" for name in CHANNELS))
        yield app


@pytest.fixture
def seed() -> int:
    """Told in the report, so that a run can be had again: `make chaos SEED=…`."""
    return int(os.environ.get("SEED") or int.from_bytes(os.urandom(3)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Recovery times and repeats, also of runs that passed."""
    for line in REPORT:
        terminalreporter.write_line(line)

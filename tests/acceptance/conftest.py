"""A fresh installation for each test; `installation.py` lies one floor up, for chaos to use it too."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from installation import Installation, installed


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Installation]:
    """An installation at Slack's own pace."""
    async with installed(tmp_path) as made:
        yield made


@pytest.fixture
async def fast(tmp_path: Path) -> AsyncIterator[Installation]:
    """One that may post as often as it likes: for what pace has nothing to do with."""
    async with installed(tmp_path, POST_RATE_PER_CHANNEL="50", POST_BURST_PER_CHANNEL="10") as made:
        made.sandbox.set_rate(0)
        yield made

"""A fresh installation for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.installation import Installation, run_installation


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    """An installation at Slack's own pace."""
    async with run_installation(tmp_path) as app:
        yield app


@pytest.fixture
async def fast(tmp_path: Path) -> AsyncIterator[Installation]:
    """One that may post as often as it likes: for what pace has nothing to do with."""
    async with run_installation(tmp_path, POST_RATE_PER_CHANNEL="50", POST_BURST_PER_CHANNEL="10") as app:
        app.sandbox.set_rate(0)
        yield app

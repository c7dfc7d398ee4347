"""The web application, served for each test."""

from collections.abc import AsyncIterator

import pytest
from support.web import Web, serve_web

from worker.web.console import request as console_request


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make password checks fast; their cost has a test of its own."""
    monkeypatch.setattr(console_request, "COST", 16)


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with serve_web() as app:
        yield app

"""The web application, served for each test."""

from collections.abc import AsyncIterator

import pytest
from support.web import Web, serve_web


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with serve_web() as app:
        yield app

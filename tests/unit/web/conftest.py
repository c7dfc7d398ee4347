"""The web application, served for each test."""

from collections.abc import AsyncIterator

import pytest
from web_house import Web, served


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with served() as made:
        yield made

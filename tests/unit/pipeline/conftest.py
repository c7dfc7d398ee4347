"""A house with an integration and one subscription, `#ops`."""

from collections.abc import AsyncIterator

import pytest
from pipeline_house import House
from pipeline_house import house as build


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with build() as built:
        await built.connect()
        await built.subscribe()
        yield built

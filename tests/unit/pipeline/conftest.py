"""A pipeline with an integration and one subscription, `#ops`."""

from collections.abc import AsyncIterator

import pytest
from support.pipeline import Pipeline
from support.pipeline import open_pipeline as build


@pytest.fixture
async def house() -> AsyncIterator[Pipeline]:
    async with build() as built:
        await built.connect()
        await built.subscribe()
        yield built

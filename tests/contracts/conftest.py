"""The store's suite runs on fakeredis and on a real server, with the same client options where it matters."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from store_world import World

from worker.sandbox.redis import EmbeddedRedis
from worker.store.connection import Client, connect


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of our own."""
    with EmbeddedRedis(Path(tmp_path_factory.mktemp("redis"))) as url:
        yield url


@pytest.fixture(params=["fake", "real"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """An empty server's client."""
    if request.param == "fake":
        client: Client = FakeAsyncRedis(server=FakeServer(), protocol=2, encoding_errors="replace")
    else:
        client = connect(request.getfixturevalue("redis_url"))
        await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def real(redis_url: str) -> AsyncIterator[Client]:
    """An empty real server's client, for what fakeredis does not do."""
    client = connect(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def world(redis: Client) -> AsyncIterator[World]:
    """Every store on that server. Whatever a test did, the balance holds at its end."""
    world = World(redis)
    yield world
    await world.check()
    await world.server.aclose()

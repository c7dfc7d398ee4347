"""The contract suite of the store, on a real server, and in its long form on fakeredis too."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from support.examples import cases
from support.store import World

from worker.sandbox.embedded_redis import EmbeddedRedis
from worker.store.redis_client import Client, connect


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a Redis server for the tests and return its URL."""
    with EmbeddedRedis(Path(tmp_path_factory.mktemp("redis"))) as url:
        yield url


@pytest.fixture(params=cases("real", "fake", short=1))
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """Return a client of an empty server: fakeredis or a real one."""
    if request.param == "fake":
        client: Client = FakeAsyncRedis(server=FakeServer(), protocol=2, encoding_errors="replace")
    else:
        client = connect(request.getfixturevalue("redis_url"))
        await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def real(redis_url: str) -> AsyncIterator[Client]:
    """Return a client of an empty real server, for what fakeredis cannot do."""
    client = connect(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def large_world(real: Client) -> AsyncIterator[World]:
    """Return every store on the real server, for thousands of entries: fakeredis takes twenty times as long."""
    yield World(real)
    await real.flushdb()


@pytest.fixture
async def world(redis: Client) -> AsyncIterator[World]:
    """Return every store on that server, and check at the end that the ledger balances."""
    world = World(redis)
    yield world
    await world.check()
    await world.server.aclose()

"""The addresses of Redis and of Celery's broker, and the Redis client of an address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from config.addresses import SENTINEL_SCHEME, parse_sentinel
from config.settings import Settings
from worker.domain.errors import UserError
from worker.sandbox.embedded_redis import running_url
from worker.store.keys import Keys
from worker.store.redis_client import BATCH_TIMEOUT_S, Client, RedisClient, connect, connect_by_sentinels


def redis_addresses(settings: Settings) -> tuple[str, str]:
    """Return the addresses of Redis and of the broker.

    Without REDIS_URL it is the address of the embedded server that runs under DATA_DIR. Raises UserError when
    there is none.
    """
    url = settings.redis_url.get_secret_value() if settings.redis_url else None
    url = url or running_url(settings.data_dir / "redis")
    if url is None:
        raise UserError(
            f"REDIS_URL is not set, and no embedded server runs under {settings.data_dir}: "
            "set REDIS_URL (redis://host:6379/0), or start `ik-slack up`."
        )
    return url, settings.broker.get_secret_value() if settings.broker else url


def connect_redis(url: str, *, waits: bool = False) -> Client:
    """Return a client of the server at `url`. `waits` is for blocking commands, which have no time-out."""
    if not url.startswith(SENTINEL_SCHEME):
        return connect(url, blocking=waits)
    address = parse_sentinel(url)
    return connect_by_sentinels(
        address.hosts, address.service, db=address.db, username=address.username, password=address.password
    )


@asynccontextmanager
async def open_redis(settings: Settings, *, timeout_s: float = BATCH_TIMEOUT_S) -> AsyncIterator[RedisClient]:
    """Connect to Redis alone, for work that needs no application context."""
    redis = RedisClient(connect_redis(redis_addresses(settings)[0]), Keys(settings.key_prefix), timeout_s=timeout_s)
    try:
        yield redis
    finally:
        await redis.aclose()

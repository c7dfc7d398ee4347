"""The stores of a command that only reads. It imports no pipeline, which takes as long as all the rest."""

import asyncio
import logging.config
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from config.logging_config import log_config
from config.settings import Settings
from worker.bootstrap.stores import Stores, open_stores

ResultT = TypeVar("ResultT")
REDIS_TIMEOUT_S = 3.0  # a command ends soon when Redis is frozen


def load_settings() -> Settings:
    """Load the settings, and log errors alone."""
    settings = Settings.load()
    logging.config.dictConfig(log_config(settings.model_copy(update={"log_level": "ERROR"})))
    return settings


async def check_redis(stores: Stores) -> None:
    """Raise an error unless Redis answers and holds an installation that this version can read."""
    await stores.redis.command("PING")
    await stores.installation.require_compatible()


def read(work: Callable[[Stores], Coroutine[Any, Any, ResultT]]) -> ResultT:
    """Run a coroutine that reads the stores."""
    settings = load_settings()

    async def main() -> ResultT:
        async with open_stores(settings, timeout_s=REDIS_TIMEOUT_S) as stores:
            await check_redis(stores)
            return await work(stores)

    return asyncio.run(main())

"""A process that decrypts tokens writes no core file."""

import resource

from fakeredis import FakeAsyncRedis

from config.settings import Settings
from worker.bootstrap.context import open_context


async def test_a_process_that_decrypts_tokens_disables_core_dumps() -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        async with open_context(Settings.load(redis_url="redis://nowhere:1/0"), redis=FakeAsyncRedis(protocol=2)):
            assert resource.getrlimit(resource.RLIMIT_CORE) == (0, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)

"""Whatever opens tokens leaves no core file."""

import resource

from fakeredis import FakeAsyncRedis

from config.settings import Settings
from worker.bootstrap import services


async def test_what_opens_tokens_leaves_no_core_file() -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        async with services(Settings.load(redis_url="redis://nowhere:1/0"), redis=FakeAsyncRedis(protocol=2)):
            assert resource.getrlimit(resource.RLIMIT_CORE) == (0, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)

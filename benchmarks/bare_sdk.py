"""Yardstick: a loop of AsyncWebClient.chat_postMessage on one session. Prints the processor seconds.

python benchmarks/bare_sdk.py URL POSTS CONCURRENCY
"""

import asyncio
import logging
import resource
import sys

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient


async def main(url: str, posts: int, concurrency: int) -> None:
    """Post with `concurrency` calls at a time."""
    log = logging.getLogger("bare")
    log.setLevel(logging.WARNING)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        client = AsyncWebClient(token="xoxb-bench", base_url=url, session=session, retry_handlers=[], logger=log)
        numbers = iter(range(posts))

        async def post_loop() -> None:
            for number in numbers:
                await client.chat_postMessage(
                    channel=f"C{number:09d}",
                    text="HighCPU: cpu is high",
                    blocks=[
                        {"type": "section", "text": {"type": "mrkdwn", "text": "*HighCPU*"}},
                        {"type": "section", "text": {"type": "mrkdwn", "text": "cpu is high"}},
                        {"type": "context", "elements": [{"type": "mrkdwn", "text": "severity critical"}]},
                    ],
                )

        before = resource.getrusage(resource.RUSAGE_SELF)
        await asyncio.gather(*(post_loop() for _ in range(concurrency)))
        after = resource.getrusage(resource.RUSAGE_SELF)
        print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

"""The share of rate-limit slots that one worker uses while 200 lanes always have deliveries.

python benchmarks/slots.py [--lanes 200] [--seconds 30]
"""

import argparse
import asyncio
import tempfile
import time

import environment
import workload

from worker.bootstrap.context import AppContext
from worker.domain.integration import Secret
from worker.pipeline.integration_setup import add_integration
from worker.publish import encode

WARM_UP_S = 5


async def measure(lanes: int, seconds: float) -> None:
    """Publish three events a second for every lane; count the posts after the warm-up."""
    with (
        environment.redis_server() as redis_url,
        environment.slack_stub(latency_ms=50, channels=lanes) as slack,
        tempfile.TemporaryDirectory() as folder,
    ):
        pace = {"POST_RATE_PER_CHANNEL": "1", "POST_BURST_PER_CHANNEL": "1"}
        settings = environment.settings(redis_url, slack.url, folder, **pace)
        async with environment.open_app(settings) as app:
            integration = await add_integration(app.integrations, app.gateway, "b", Secret("xoxb-bench"))
            await workload.subscribe_nodes(app, integration.id, lanes)
            with environment.worker(settings) as worker, environment.ingest(settings):
                await environment.wait_for_processes(app)
                publishing = asyncio.create_task(publish_rounds(app, lanes))
                await asyncio.sleep(WARM_UP_S)
                began, first = time.monotonic(), slack.stats()["posts"]
                processor_s = environment.processor_s(worker.pid)
                await asyncio.sleep(seconds)
                posts, took_s = slack.stats()["posts"] - first, time.monotonic() - began
                processor_s = environment.processor_s(worker.pid) - processor_s
                publishing.cancel()
    print(
        f"{lanes} busy lanes: {posts:.0f} posts in {took_s:.1f} s, "
        f"{posts / (lanes * took_s):.1%} of the slots; {processor_s / took_s:.0%} of a processor"
    )


async def publish_rounds(app: AppContext, lanes: int) -> None:
    """Publish an event for every lane, again and again."""
    round_number = 0
    while True:
        for number in range(lanes):
            await workload.publish(app, [encode(workload.alert(number) | {"id": f"{round_number}-{number}"})])
        round_number += 1
        await asyncio.sleep(0.33)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    asyncio.run(measure(options.lanes, options.seconds))

"""Is every slot used while there is something to say? 200 busy channels, one process, Slack's own pace.

python benchmarks/slots.py [--lanes 200] [--seconds 30]
"""

import argparse
import asyncio
import tempfile
import time

import stage
from throughput import event

from worker.bootstrap import services
from worker.domain.integration import Secret
from worker.domain.subscription import Filters, Subscription
from worker.pipeline.connect import add_integration
from worker.publish import encode


async def busy(lanes: int, seconds: float) -> None:
    """Three events a second for every channel; the posts are counted over the time in the middle."""
    with (
        stage.server() as redis,
        stage.far_end(latency_ms=50, channels=lanes) as end,
        tempfile.TemporaryDirectory() as folder,
    ):
        pace = {"POST_RATE_PER_CHANNEL": "1", "POST_BURST_PER_CHANNEL": "1"}
        environment = stage.settings(redis, end.base, folder, **pace)
        stage.os.environ.update(environment)
        from config.settings import Settings

        async with services(Settings.load()) as made:
            integration = await add_integration(made.integrations, made.gateway, "b", Secret("xoxb-bench"))
            rules = [
                Subscription(f"s{n}", integration.id, f"#c{n}", Filters(labels=(f"node=node-{n}",)))
                for n in range(lanes)
            ]
            await made.subscriptions.change(save=rules)
            with stage.worker(environment) as worker, stage.ingest(environment):
                await stage.alive(made)
                stop = asyncio.Event()

                async def publish() -> None:
                    round_ = 0
                    while not stop.is_set():
                        for n in range(lanes):
                            body = event(n) | {"id": f"{round_}-{n}"}
                            await made.server.command(
                                "XADD", made.settings.events_stream, "*", "event", encode(body)
                            )
                        round_ += 1
                        await asyncio.sleep(0.33)

                publishing = asyncio.create_task(publish())
                await asyncio.sleep(5)
                first, began, used = (
                    end.ask("stats")["posts"],
                    time.monotonic(),
                    stage.processor_s(worker.pid),
                )
                await asyncio.sleep(seconds)
                posts, took = end.ask("stats")["posts"] - first, time.monotonic() - began
                used = stage.processor_s(worker.pid) - used
                stop.set()
                await publishing
    print(
        f"{lanes} busy channels: {posts:.0f} posts in {took:.1f} s, "
        f"{posts / (lanes * took):.1%} of the slots; {used / took:.0%} of a processor"
    )


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    given = parser.parse_args()
    asyncio.run(busy(given.lanes, given.seconds))


if __name__ == "__main__":
    main()

"""Redis memory per pending delivery, when Slack is unavailable and everything waits.

python benchmarks/memory.py [--events 20000] [--lanes 100]
"""

import argparse
import asyncio
import tempfile

import environment
import workload


async def measure(events: int, lanes: int) -> None:
    """Fill the lanes and print the memory per delivery."""
    with environment.redis_server() as redis_url, tempfile.TemporaryDirectory() as folder:
        settings = environment.settings(redis_url, "http://127.0.0.1:9/", folder)
        async with environment.open_app(settings) as app:
            await workload.subscribe_projects(app, lanes)
            before = await workload.used_memory(app.redis)
            size = await workload.fill_lanes(app, events, lanes)
            per_delivery = (await workload.used_memory(app.redis) - before) / events
    print(
        f"{events} pending deliveries in {lanes} lanes, events of {size // events} bytes: "
        f"{per_delivery:.0f} bytes of Redis per delivery"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--lanes", type=int, default=100)
    options = parser.parse_args()
    asyncio.run(measure(options.events, options.lanes))

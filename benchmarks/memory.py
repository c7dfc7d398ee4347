"""Redis memory per pending delivery: an outage of Slack's, everything waits.

python benchmarks/memory.py [--events 20000] [--lanes 100]
"""

import argparse
import asyncio
import json
import tempfile

import stage
from throughput import event

from worker.bootstrap import services
from worker.domain.integration import Integration, Secret
from worker.domain.subscription import Filters, Subscription
from worker.publish import encode


async def measure(events: int, lanes: int) -> None:
    """Fill the lanes as ingest does, and ask the server."""
    with stage.server() as redis, tempfile.TemporaryDirectory() as folder:
        stage.os.environ.update(stage.settings(redis, "http://127.0.0.1:9/", folder))
        from config.settings import Settings

        async with services(Settings.load()) as made:
            await made.integrations.save(Integration("bench", "bench"), Secret("xoxb-bench"))
            rules = [
                Subscription(f"sub-{n:08d}", "bench", f"#channel-{n}", Filters(projects=(f"p{n}",)))
                for n in range(lanes)
            ]
            await made.subscriptions.change(save=rules)
            await made.stream.join()
            before = await used(made.server)
            size = 0
            for start in range(0, events, 500):
                bodies = [encode(changed(number, lanes)) for number in range(start, min(start + 500, events))]
                size += sum(map(len, bodies))
                await made.server.each(
                    [("XADD", made.settings.events_stream, "*", "event", body) for body in bodies]
                )
                while entries := await made.stream.read(most=100, wait_ms=10):
                    await made.ingest.accept(entries)
                await made.stream.trim()
            each = (await used(made.server) - before) / events
    print(
        f"{events} pending deliveries in {lanes} lanes, events of {size // events} bytes: "
        f"{each:.0f} bytes of Redis each"
    )


def changed(number: int, lanes: int) -> dict[str, object]:
    """An event of one of the projects."""
    made: dict[str, object] = json.loads(json.dumps(event(number)))
    data = made["data"]
    assert isinstance(data, dict)
    data["project"] = f"p{number % lanes}"
    return made


async def used(server: object) -> int:
    """Bytes of data the server holds."""
    answer = await server.command("INFO", "memory")  # type: ignore[attr-defined]
    return int(answer["used_memory"])


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--lanes", type=int, default=100)
    given = parser.parse_args()
    asyncio.run(measure(given.events, given.lanes))


if __name__ == "__main__":
    main()

"""Posts per second of one worker process when nothing can be merged, beside two yardsticks.

python benchmarks/throughput.py [--events 3000] [--rounds 3]
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

import environment
import workload

from worker.domain.integration import Secret
from worker.pipeline.integration_setup import add_integration
from worker.publish import encode


@dataclass
class Throughput:
    """Posts per second, and milliseconds of processor time per post."""

    posts_per_s: float
    processor_ms: float


def measure_bare(events: int, latency_ms: float) -> Throughput:
    """Measure a loop of the SDK's client."""
    with environment.slack_stub(latency_ms=latency_ms) as slack:
        command = [sys.executable, "bare_sdk.py", slack.url, str(events), "64"]
        output = subprocess.run(command, cwd=environment.HERE, capture_output=True, check=True).stdout
        stats = slack.stats()
    return Throughput(events / (stats["last"] - stats["first"]), float(output) * 1000 / events)


def measure_naive(events: int, latency_ms: float) -> Throughput:
    """Measure a Celery task per event."""
    with environment.redis_server() as redis_url, environment.slack_stub(latency_ms=latency_ms) as slack:
        variables = {"BENCH_REDIS": redis_url, "BENCH_SLACK": slack.url}
        send = f"for n in range({events}): naive_celery.post_event.delay(f'C{{n:09d}}', 'CPU', 'is high')"
        with environment.process(sys.executable, "-c", f"import naive_celery\n{send}", **variables) as sender:
            assert sender.wait() == 0
        options = ("-A", "naive_celery", "worker", "--without-gossip", "--without-mingle")
        with environment.process(environment.program("celery"), *options, **variables) as process:
            return measure_process(slack, process.pid, events)


def measure_ours(events: int, latency_ms: float) -> Throughput:
    """Measure the worker, which starts when every event is pending in a lane of its own."""
    with (
        environment.redis_server() as redis_url,
        environment.slack_stub(latency_ms=latency_ms, channels=events) as slack,
        tempfile.TemporaryDirectory() as folder,
    ):
        settings = environment.settings(redis_url, slack.url, folder)
        asyncio.run(fill_lanes(settings, events))
        with environment.worker(settings) as process:
            return measure_process(slack, process.pid, events)


async def fill_lanes(settings: dict[str, str], events: int) -> None:
    """Create a lane with a pending delivery for each event."""
    async with environment.open_app(settings, with_celery=True) as app:
        token = Secret("xoxb-bench")
        integration = await add_integration(app.integrations, app.gateway, "bench", token)
        await app.directory_refresher.read(integration, token)
        await workload.subscribe_nodes(app, integration.id, events)
        await app.stream.create_group()
        for number in range(events):
            await workload.publish(app, [encode(workload.alert(number))])
        await workload.ingest(app)


def measure_process(slack: environment.SlackStub, pid: int, events: int) -> Throughput:
    """Measure a process from a tenth of the posts to nine tenths, without its start and end."""
    low = slack.wait_for(events // 10)
    before_s = environment.processor_s(pid)
    high = slack.wait_for(events * 9 // 10)
    after_s = environment.processor_s(pid)
    slack.wait_for(events)
    posts = high["posts"] - low["posts"]
    return Throughput(posts / (high["last"] - low["last"]), (after_s - before_s) * 1000 / posts)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-ms", type=float, nargs="*", default=[0, 50])
    options = parser.parse_args()
    print(f"{options.events} posts, nothing to merge, median of {options.rounds} rounds")
    print(f"{'latency':>8} {'':>6} {'posts/s':>9} {'processor ms per post':>21} {'× naive':>8} {'× bare':>7}")
    measures = {"bare": measure_bare, "naive": measure_naive, "ours": measure_ours}
    for latency_ms in options.latency_ms:
        results: dict[str, list[Throughput]] = {name: [] for name in measures}
        for _ in range(options.rounds):
            for name, measure in measures.items():
                results[name].append(measure(options.events, latency_ms))
        rates = {name: statistics.median(result.posts_per_s for result in rounds) for name, rounds in results.items()}
        for name, rounds in results.items():
            processor_ms = statistics.median(result.processor_ms for result in rounds)
            ratios = f"{rates[name] / rates['naive']:>8.2f} {rates[name] / rates['bare']:>7.2f}"
            print(f"{latency_ms:>5g} ms {name:>6} {rates[name]:>9.0f} {processor_ms:>21.2f} {ratios}", flush=True)


if __name__ == "__main__":
    main()

"""Posts per second and worker process with nothing to fold: ours beside both yardsticks, in one run.

python benchmarks/throughput.py [--events 3000] [--rounds 3]
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

import stage

from worker.bootstrap import services
from worker.bootstrap.calls import make_celery
from worker.domain.integration import Secret
from worker.domain.subscription import Subscription
from worker.pipeline.connect import add_integration
from worker.publish import publish


@dataclass
class Figure:
    """Posts per second, and milliseconds of the worker's processor per post."""

    per_s: float
    ms_each: float


def event(number: int) -> dict[str, object]:
    """An alert of its own, about 600 bytes."""
    return {
        "specversion": "1.0", "id": f"bench-{number}", "source": "bench",
        "type": "io.infrakitchen.alert.firing",
        "data": {
            "name": f"HighCPU on node-{number}", "fingerprint": f"f{number:016x}", "severity": "critical",
            "summary": "CPU has been above 95 % for ten minutes", "project": "payments",
            "labels": {"team": "platform", "region": "eu-central-1", "node": f"node-{number}"},
            "starts_at": "2026-11-24T03:12:45Z", "generator_url": f"https://metrics.example.com/graph?g0.expr=cpu{number}",
        },
    }  # fmt: skip


def bare(events: int, latency_ms: float) -> Figure:
    """A loop of the SDK's client."""
    with stage.far_end(latency_ms=latency_ms) as end:
        out = subprocess.run(
            [sys.executable, "bare.py", end.base, str(events), "64"],
            cwd=stage.HERE,
            capture_output=True,
            check=True,
        )
        stats = end.ask("stats")
    return Figure(events / (stats["last"] - stats["first"]), float(out.stdout) * 1000 / events)


def naive(events: int, latency_ms: float) -> Figure:
    """A task per event."""
    with stage.server() as redis, stage.far_end(latency_ms=latency_ms) as end:
        environment = {"BENCH_REDIS": redis, "BENCH_SLACK": end.base}
        subprocess.run(
            [sys.executable, "-c",
             f"import naive\nfor n in range({events}): naive.tell.delay(f'C{{n:09d}}', 'CPU', 'is high')"],
            cwd=stage.HERE, env={**stage.os.environ, **environment}, check=True,
        )  # fmt: skip
        with stage.started(
            stage.program("celery"),
            "-A",
            "naive",
            "worker",
            "--without-gossip",
            "--without-mingle",
            **environment,
        ) as process:
            return _measured(end, process.pid, events)


def ours(events: int, latency_ms: float) -> Figure:
    """Everything waits in lanes, a channel each; then the worker starts."""
    with (
        stage.server() as redis,
        stage.far_end(latency_ms=latency_ms, channels=events) as end,
        tempfile.TemporaryDirectory() as folder,
    ):
        environment = stage.settings(redis, end.base, folder)
        asyncio.run(_prepare(environment, events))
        with stage.worker(environment) as process:
            return _measured(end, process.pid, events)


async def _prepare(environment: dict[str, str], events: int) -> None:
    """A lane per event, filled."""
    stage.os.environ.update(environment)
    from config.settings import Settings

    settings = Settings.load()
    async with services(settings, celery=make_celery(settings)) as made:
        integration = await add_integration(made.integrations, made.gateway, "bench", Secret("xoxb-bench"))
        await made.resolver.read_directory(integration, Secret("xoxb-bench"))
        from worker.domain.subscription import Filters

        await made.subscriptions.change(
            save=[
                Subscription(f"s{n}", integration.id, f"#c{n}", Filters(labels=(f"node=node-{n}",)))
                for n in range(events)
            ]
        )
        for number in range(events):
            await publish(made.server.redis, event(number))
        await made.stream.join()
        while entries := await made.stream.read(most=100, wait_ms=10):
            await made.ingest.accept(entries)


def _measured(end: stage.FarEnd, pid: int, events: int) -> Figure:
    """From a tenth of the posts to nine tenths: starting and ending are not what is measured."""
    low = end.wait_for(events // 10)
    before = stage.processor_s(pid)
    high = end.wait_for(events * 9 // 10)
    after = stage.processor_s(pid)
    end.wait_for(events)
    posts = high["posts"] - low["posts"]
    return Figure(posts / (high["last"] - low["last"]), (after - before) * 1000 / posts)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-ms", type=float, nargs="*", default=[0, 50])
    given = parser.parse_args()
    print(f"{given.events} posts, nothing to fold, median of {given.rounds} rounds")
    print(
        f"{'latency':>8} {'what':>6} {'posts/s':>9} {'ms of processor each':>21} {'× naive':>8} {'× bare':>7}"
    )
    for latency_ms in given.latency_ms:
        figures = {"bare": [], "naive": [], "ours": []}  # type: dict[str, list[Figure]]
        for _ in range(given.rounds):
            for name, measure in (("bare", bare), ("naive", naive), ("ours", ours)):
                figures[name].append(measure(given.events, latency_ms))
        rate = {name: statistics.median(one.per_s for one in found) for name, found in figures.items()}
        for name, found in figures.items():
            each = statistics.median(one.ms_each for one in found)
            ratios = f"{rate[name] / rate['naive']:>8.2f} {rate[name] / rate['bare']:>7.2f}"
            print(f"{latency_ms:>5g} ms {name:>6} {rate[name]:>9.0f} {each:>21.2f} {ratios}", flush=True)


if __name__ == "__main__":
    main()

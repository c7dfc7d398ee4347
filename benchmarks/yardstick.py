"""What a delivery costs, beside a Celery task per event (naive), a loop of the SDK's client (bare), and Alertmanager.

    python benchmarks/yardstick.py [--events 3000] [--rounds 3] [--latency-ms 0 80] [--rate 50 --seconds 20] [--write]

Ours is the whole installation: the ingest and worker processes as the Procfile starts them, and a real Redis. Each
event goes to a lane of its own, so that nothing is merged. Ours and Alertmanager are timed from the first event to the
last post that the stub of Slack has stored; Alertmanager runs where it is installed. Naive has its queue full before it
is timed, from a tenth of its posts to nine tenths, which flatters it. The processor time is that of all processes but
Redis and the stub. Redis's commands include those inside scripts.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import environment
import redis
import workload

from worker.bootstrap.context import AppContext
from worker.domain.integration import Secret
from worker.pipeline.integration_setup import add_integration
from worker.publish import encode

PAGE = environment.HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- yardstick: begin -->\n", "<!-- yardstick: end -->\n"
IDLE_S, SETTLE_S = 20.0, 3.0
ALERTMANAGER = """
route: {receiver: slack, group_by: [channel], group_wait: 0s, group_interval: 1h, repeat_interval: 24h}
receivers:
- name: slack
  slack_configs:
  - api_url: %schat.postMessage
    channel: '{{ .GroupLabels.channel }}'
    title: '{{ .GroupLabels.channel }}'
    text: '{{ range .Alerts }}{{ .Annotations.summary }}{{ end }}'
"""
COLUMNS = ("posts/s", "CPU ms a delivery", "Redis commands a delivery", "median ms", "p99 ms", "CPU ms an event")


@dataclass
class Usage:
    """What a stretch of time used, known when its context has ended."""

    processor_s: float = 0.0
    commands: int = 0


@contextmanager
def used_by(redis_url: str, *pids: int) -> Iterator[Usage]:
    """Measure the processor time of processes with their children, and the commands of Redis."""
    usage, server = Usage(), redis.Redis.from_url(redis_url)
    server.config_resetstat()
    before_s = sum(map(environment.tree_processor_s, pids))
    try:
        yield usage
    finally:
        usage.processor_s = sum(map(environment.tree_processor_s, pids)) - before_s
        usage.commands = sum(int(row["calls"]) for row in server.info("commandstats").values())
        server.close()


Figures = dict[str, float]


def measure_bare(events: int, latency_ms: float) -> Figures:
    """Measure a loop of the SDK's client."""
    with environment.slack_stub(latency_ms=latency_ms) as slack:
        command = [sys.executable, "bare_sdk.py", slack.url, str(events), "64"]
        output = subprocess.run(command, cwd=environment.HERE, capture_output=True, check=True).stdout
        stats = slack.stats()
    return {"posts/s": events / (stats["last"] - stats["first"]), COLUMNS[1]: float(output) * 1000 / events}


def measure_alertmanager(events: int, latency_ms: float) -> Figures:
    """Measure Alertmanager with a group for each event; it keeps nothing on disk before it has posted."""
    with environment.slack_stub(latency_ms=latency_ms) as slack, tempfile.TemporaryDirectory() as folder:
        config, port = Path(folder) / "alertmanager.yml", environment.free_port()
        config.write_text(ALERTMANAGER % slack.url)
        options = (
            f"--config.file={config}", f"--storage.path={folder}", f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        )  # fmt: skip
        labels = [{"alertname": "HighCPU", "channel": f"C{number:09d}"} for number in range(events)]
        alerts = json.dumps([{"labels": label, "annotations": {"summary": "cpu is high"}} for label in labels])
        with environment.process(str(find_alertmanager()), *options) as server:
            environment.wait_until_answers(f"http://127.0.0.1:{port}/-/ready")
            before_s, began = environment.tree_processor_s(server.pid), time.time()
            url, content = f"http://127.0.0.1:{port}/api/v2/alerts", {"Content-Type": "application/json"}
            urllib.request.urlopen(urllib.request.Request(url, alerts.encode(), content), timeout=60).close()
            stats = slack.wait_for(events)
            processor_s = environment.tree_processor_s(server.pid) - before_s
    return {COLUMNS[0]: events / (stats["last"] - began), COLUMNS[1]: processor_s * 1000 / events}


def find_alertmanager() -> str | None:
    """Return the path of Alertmanager; None where it is not installed."""
    return shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")


@contextmanager
def naive(latency_ms: float) -> Iterator[tuple[environment.SlackStub, str, dict[str, str]]]:
    """Run the stub and the Redis of the naive worker."""
    with environment.redis_server() as redis_url, environment.slack_stub(latency_ms=latency_ms) as slack:
        yield slack, redis_url, {"BENCH_REDIS": redis_url, "BENCH_SLACK": slack.url}


def naive_worker(variables: dict[str, str]) -> environment.Running:
    """Return the context in which the naive worker runs."""
    options = ("-A", "naive_celery", "worker", "--without-gossip", "--without-mingle")
    return environment.process(environment.program("celery"), *options, **variables)


def send_naive(variables: dict[str, str], events: int, rate: float) -> list[float]:
    """Send the tasks; return when each was sent."""
    command = [sys.executable, "naive_celery.py", str(events), str(rate)]
    sender = subprocess.run(
        command, cwd=environment.HERE, env={**environment.os.environ, **variables}, capture_output=True, check=True
    )
    return list(json.loads(sender.stdout))


def measure_naive(events: int, latency_ms: float) -> Figures:
    """Measure a Celery task per event."""
    with naive(latency_ms) as (slack, redis_url, variables):
        send_naive(variables, events, 0)
        with naive_worker(variables) as worker:
            low = slack.wait_for(events // 10)
            with used_by(redis_url, worker.pid) as usage:
                high = slack.wait_for(events * 9 // 10)
            slack.wait_for(events)
    posts = high["posts"] - low["posts"]
    return bulk_figures(posts, high["last"] - low["last"], usage)


def bulk_figures(posts: float, took_s: float, usage: Usage) -> Figures:
    """Return the figures of many deliveries."""
    values = (posts / took_s, usage.processor_s * 1000 / posts, usage.commands / posts)
    return dict(zip(COLUMNS, values, strict=False))


def measure_naive_delay(events: int, rate: float) -> Figures:
    """Measure a Celery task per event at a low load."""
    with naive(0) as (slack, redis_url, variables), naive_worker(variables) as worker:
        send_naive(variables, 16, 20)  # connects
        with used_by(redis_url, worker.pid) as usage:
            sent = send_naive(variables, events, rate)
            slack.wait_for(events + 16)
        return delay_figures(sent, slack.arrivals, usage)


def delay_figures(sent: list[float], arrivals: dict[str, float], usage: Usage) -> Figures:
    """Return the figures of single deliveries."""
    delays_ms = [(arrivals[f"C{number:09d}"] - at) * 1000 for number, at in enumerate(sent)]
    values = (statistics.median(delays_ms), statistics.quantiles(delays_ms, n=100)[98])
    return dict(zip(COLUMNS[3:], (*values, usage.processor_s * 1000 / len(sent)), strict=True))


@asynccontextmanager
async def installation(
    events: int, latency_ms: float
) -> AsyncIterator[tuple[AppContext, environment.SlackStub, list[int]]]:
    """Run the whole installation, with a subscription and a lane for each event; yield its processes too."""
    with ExitStack() as stack:
        redis_url = stack.enter_context(environment.redis_server())
        slack = stack.enter_context(environment.slack_stub(latency_ms=latency_ms, channels=events))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        settings = environment.settings(redis_url, slack.url, folder)
        async with environment.open_app(settings) as app:
            token = Secret("xoxb-bench")
            integration = await add_integration(app.integrations, app.gateway, "bench", token)
            await app.directory_refresher.refresh(integration, token)
            await workload.subscribe_nodes(app, integration.id, events)
            worker = stack.enter_context(environment.worker(settings))
            ingest = stack.enter_context(environment.ingest(settings))
            await environment.wait_for_processes(app)
            await asyncio.sleep(SETTLE_S)
            yield app, slack, [worker.pid, ingest.pid]


async def measure_ours(events: int, latency_ms: float) -> Figures:
    """Measure the whole installation with all events published at once."""
    async with installation(events, latency_ms) as (app, slack, pids):
        bodies = [encode(workload.alert(number)) for number in range(events)]
        with used_by(environment.os.environ["REDIS_URL"], *pids) as usage:
            began = time.time()
            for start in range(0, events, workload.BATCH):
                await workload.publish(app, bodies[start : start + workload.BATCH])
            stats = await asyncio.to_thread(slack.wait_for, events)
    return bulk_figures(events, stats["last"] - began, usage)


async def measure_our_delay(events: int, rate: float) -> Figures:
    """Measure the whole installation at a low load."""
    async with installation(events, 0) as (app, slack, pids):
        sent: list[float] = []
        with used_by(environment.os.environ["REDIS_URL"], *pids) as usage:
            began = time.monotonic()
            for number in range(events):
                await asyncio.sleep(began + number / rate - time.monotonic())
                sent.append(time.time())
                await workload.publish(app, [encode(workload.alert(number))])
            await asyncio.to_thread(slack.wait_for, events)
        figures = delay_figures(sent, slack.arrivals, usage)
    return {**figures, COLUMNS[2]: usage.commands / events}


async def measure_idle() -> Figures:
    """Measure what ingest, worker, web, Flower and Redis use while nothing happens."""
    async with installation(0, 0) as (app, _, pids):
        with ExitStack() as stack:
            ports = {"WEB_PORT": str(environment.free_port()), "FLOWER_PORT": str(environment.free_port())}
            command = (environment.program("ik-slack"), "up", "--only", "web,flower")
            others = stack.enter_context(environment.process(*command, **ports))
            server = int((await app.redis.command("INFO", "server"))["process_id"])
            await asyncio.sleep(IDLE_S / 2)  # they start
            every = [*pids, others.pid, server]
            with used_by(environment.os.environ["REDIS_URL"], *every) as usage:
                await asyncio.sleep(IDLE_S)
            memory_mb = sum(map(environment.tree_memory_mb, every))
    return {
        "% of a core": usage.processor_s / IDLE_S * 100, "MB": memory_mb, "Redis commands/s": usage.commands / IDLE_S
    }  # fmt: skip


def median_of(rounds: list[Figures]) -> Figures:
    """Return the median of each figure."""
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


def run_rounds(measures: dict[str, Callable[[], Figures]], rounds: int) -> dict[str, Figures]:
    """Measure everything in turn, several times, so that a slow minute of the machine meets all alike."""
    results: dict[str, list[Figures]] = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
            results[name].append(measure())
    return {name: median_of(figures) for name, figures in results.items()}


def run(measure: Callable[..., Coroutine[None, None, Figures]], *arguments: float) -> Figures:
    """Run a measure in an event loop of its own."""
    return asyncio.run(measure(*arguments))


def measure_all(options: argparse.Namespace) -> dict[str, Figures]:
    """Measure everything; the name of a measure tells who, and Slack's delay or the rate of the events."""
    events, low = options.events, int(options.rate * options.seconds)
    measures: dict[str, Callable[[], Figures]] = {}
    for delay in options.latency_ms:
        measures |= {
            f"bare, {delay:g} ms": partial(measure_bare, events, delay),
            **(
                {f"Alertmanager, {delay:g} ms": partial(measure_alertmanager, events, delay)}
                if find_alertmanager()
                else {}
            ),
            f"naive, {delay:g} ms": partial(measure_naive, events, delay),
            f"ours, {delay:g} ms": partial(run, measure_ours, events, delay),
        }
    measures |= {
        f"naive, {options.rate:g}/s": partial(measure_naive_delay, low, options.rate),
        f"ours, {options.rate:g}/s": partial(run, measure_our_delay, low, options.rate),
    }
    return run_rounds(measures, options.rounds) | {"idle": run(measure_idle)}


def format_table(results: dict[str, Figures]) -> str:
    """Return the results as a table of Markdown, with the ratio to naive in the same run."""
    lines = [f"| | {' | '.join(COLUMNS)} | × naive |", f"|---|{'---|' * (len(COLUMNS) + 1)}"]
    for name, figures in results.items():
        if name == "idle":
            continue
        column = COLUMNS[0] if COLUMNS[0] in figures else COLUMNS[3]
        ratio = figures[column] / results[f"naive,{name.partition(',')[2]}"][column]
        cells = [
            f"{figures[column]:,.{0 if figures[column] >= 100 else 2}f}" if column in figures else ""
            for column in COLUMNS
        ]
        lines.append(f"| {name} | {' | '.join(cells)} | {ratio:.2f} |")
    idle = ", ".join(f"{value:.1f} {name}" for name, value in results["idle"].items())
    return "\n".join([*lines, "", f"Idle, all processes and Redis: {idle}.", ""])


def main() -> None:
    """Print the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-ms", type=float, nargs="*", default=[0, 80])
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=20, help="of the events at the rate")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    results = measure_all(options)
    table = f"{options.events} events, median of {options.rounds} rounds.\n\n{format_table(results)}"
    print(table, json.dumps(results), sep="\n")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    if options.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()

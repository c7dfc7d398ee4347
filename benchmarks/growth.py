"""How the cost grows with subscriptions and lanes, one channel each: events, the idle installation, commands, pages.

python benchmarks/growth.py [--sizes 100 1000 10000] [--json FILE]
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import environment
import workload
from aiohttp import ClientSession, CookieJar

from worker.bootstrap.context import AppContext, ShutdownSignal
from worker.domain.integration import Secret
from worker.pipeline.integration_setup import add_integration
from worker.publish import encode
from worker.store.redis_client import RedisClient

WAVE, WAVES, REPEATS = 100, 10, 5
SETTLE_S, IDLE_S = 12.0, 20.0
KEY = "benchmark-start-up-key-of-the-console"
Figures = dict[str, float]


class Installation:
    """Ingest, a worker and their Redis: the processor time that they have used, and the commands of Redis."""

    def __init__(self, redis: RedisClient, ingest: int, worker: int) -> None:
        self.redis, self.ingest, self.worker = redis, ingest, worker

    async def use(self) -> Figures:
        """Return seconds of a processor by process, and the number of commands so far."""
        server, stats = await self.redis.info("cpu"), await self.redis.info("commandstats")
        calls = (int(match[1]) for stat in stats.values() if (match := re.search(r"\bcalls\W+(\d+)", stat)))
        redis_s = float(server["used_cpu_user"]) + float(server["used_cpu_sys"])
        ingest_s, worker_s = tree_processor_s(self.ingest), tree_processor_s(self.worker)
        return {"ingest": ingest_s, "worker": worker_s, "redis": redis_s, "commands": sum(calls)}


def tree_processor_s(pid: int) -> float:
    """Return the processor time of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return environment.processor_s(pid) + sum(tree_processor_s(int(child)) for child in children)


async def measure(size: int) -> Figures:
    """Measure an installation with this many subscriptions, each with a lane."""
    with (
        environment.redis_server() as redis_url,
        environment.slack_stub(latency_ms=0, channels=size) as slack,
        tempfile.TemporaryDirectory() as folder,
    ):
        settings = environment.settings(redis_url, slack.url, folder)
        async with environment.open_app(settings, with_celery=True) as app:
            await add_integration(app.integrations, app.gateway, "bench", Secret("xoxb-bench"))
            figures = measure_commands(Path(folder), size)
            with ExitStack() as stack:
                processes = (environment.ingest(settings), environment.worker(settings))
                pids = [stack.enter_context(process).pid for process in processes]
                await environment.wait_for_processes(app)
                figures |= await measure_work(app, Installation(app.redis, *pids), slack, size)
            return figures | await measure_pages(app)


def measure_commands(folder: Path, size: int) -> Figures:
    """Apply a file of all subscriptions, and list them."""
    file = folder / "subscriptions.json"
    file.write_text(json.dumps([{"destination": f"#c{number}", "project": f"p{number}"} for number in range(size)]))
    commands = {"apply s": ("apply", str(file)), "list s": ("list",)}
    return {name: command_s("subscriptions", *arguments) for name, arguments in commands.items()}


def command_s(*arguments: str) -> float:
    """Return the seconds that a command takes, the start of the program included."""
    began = time.perf_counter()
    subprocess.run([environment.program("ik-slack"), *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


async def measure_work(app: AppContext, installation: Installation, slack: environment.SlackStub, size: int) -> Figures:
    """Measure the idle installation, when every lane has had a delivery, and one with an event a lane at a time."""
    posts = 0

    async def publish(numbers: range) -> None:
        nonlocal posts
        posts += len(numbers)
        await workload.publish(app, [encode(workload.project_alert(number, size)) for number in numbers])
        await asyncio.to_thread(slack.wait_for, posts)

    for start in range(0, size, WAVE):
        await publish(range(start, start + WAVE))
    await asyncio.sleep(SETTLE_S)
    before, began = await installation.use(), time.perf_counter()
    await asyncio.sleep(IDLE_S)
    idle, idle_s = difference(before, await installation.use()), time.perf_counter() - began
    before = await installation.use()
    for wave in range(WAVES):
        start = size + wave * WAVE
        await publish(range(start, start + WAVE))
    await asyncio.sleep(0.5)  # the last answers are recorded
    busy, events = difference(before, await installation.use()), WAVE * WAVES
    return {
        "idle commands/s": idle["commands"] / idle_s,
        "idle processor %": 100 * processor(idle) / idle_s,
        "ingest ms/event": 1000 * busy["ingest"] / events,
        "all ms/event": 1000 * processor(busy) / events,
        "commands/event": busy["commands"] / events,
    }


def difference(before: Figures, after: Figures) -> Figures:
    """Return what was used in between."""
    return {name: after[name] - before[name] for name in after}


def processor(use: Figures) -> float:
    """Return the processor time of all processes."""
    return use["ingest"] + use["worker"] + use["redis"]


async def measure_pages(app: AppContext) -> Figures:
    """Measure the console's lists and one page of each kind, over HTTP."""
    from worker.store.pagination import DeliveryFilter
    from worker.web.app import listen, make_app, serve

    [subscription, *_] = await app.subscriptions.list_all()
    [delivery] = (await app.deliveries.page(DeliveryFilter(), limit=1)).rows
    paths = {
        "/": "/", "/subscriptions": "/subscriptions", "/subscriptions?q=": "/subscriptions?q=c77",
        "/subscriptions/ID": f"/subscriptions/{subscription.id}", "/subscriptions/add": "/subscriptions/add",
        "/deliveries": "/deliveries", "/deliveries?state=": "/deliveries?state=pending",
        "/deliveries?lane=": "/deliveries?lane=%23c77", "/deliveries/ID": f"/deliveries/{delivery.id}",
        "/explain/ID": f"/explain/{delivery.id}", "/parked": "/parked", "/dead-letters": "/dead-letters",
        "/integrations": "/integrations", "/integrations/ID": "/integrations/bench", "/metrics": "/metrics",
    }  # fmt: skip
    shutdown, figures = ShutdownSignal(), dict[str, float]()
    with listen("127.0.0.1", 0) as listening:
        serving = asyncio.create_task(serve(make_app(app, KEY), listening, shutdown))
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with ClientSession(base, cookie_jar=CookieJar(unsafe=True)) as client:
            await fetch(client, f"/login?key={KEY}")
            for name, path in paths.items():
                figures[f"{name} ms"] = await page_ms(client, path)
        shutdown.set()
        await serving
    return figures


async def page_ms(client: ClientSession, path: str) -> float:
    """Return the median time of a page in milliseconds."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        await fetch(client, path)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


async def fetch(client: ClientSession, path: str) -> None:
    """Read a page, which must exist and need no login."""
    async with client.get(path) as response:
        assert response.status == 200, (path, response.status)
        assert response.url.path != "/login", path
        await response.read()


def print_table(results: Mapping[int, Figures]) -> None:
    """Print a line for each figure, a column for each size, and the largest as a multiple of the smallest."""
    sizes = list(results)
    print(f"{'subscriptions = lanes':<24}" + "".join(f"{size:>10,}" for size in sizes) + f"{'growth':>10}")
    for name in results[sizes[0]]:
        values = [results[size][name] for size in sizes]
        growth = f"{values[-1] / values[0]:>8.2f} ×" if values[0] else ""
        print(f"{name:<24}" + "".join(f"{value:>10.2f}" for value in values) + growth, flush=True)


def main() -> None:
    """Measure each size in turn; print the table, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 1_000, 10_000])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[int, Any] = {size: asyncio.run(measure(size)) for size in options.sizes}
    print_table(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

"""The environment of a benchmark: a Redis, a stub of Slack, ingest and worker processes."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path

from worker.bootstrap.context import AppContext, open_context
from worker.local_machine import free_port
from worker.sandbox.embedded_redis import EmbeddedRedis
from worker.store.token_cipher import generate_key

HERE = Path(__file__).parent
Running = AbstractContextManager[subprocess.Popen[bytes]]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
#: Slack's own limits.
SLACK_PACE = {"POST_RATE_PER_CHANNEL": "1", "POST_BURST_PER_CHANNEL": "1", "POST_RATE_PER_WORKSPACE": "300"}


@contextmanager
def redis_server() -> Iterator[str]:
    """Run a Redis with its append-only file on; yield its URL."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as url:
        yield url


def settings(redis_url: str, slack_url: str, folder: str, **overrides: str) -> dict[str, str]:
    """Return the settings of an installation whose own rate limits slow nothing down."""
    return {
        "REDIS_URL": redis_url,
        "SLACK_API_URL": slack_url,
        "ENCRYPTION_KEY": generate_key(),
        "DATA_DIR": folder,
        "LOG_LEVEL": "ERROR",
        "POST_RATE_PER_CHANNEL": "1000",
        "POST_BURST_PER_CHANNEL": "100",
        "POST_RATE_PER_WORKSPACE": "1000000",
        **overrides,
    }


@asynccontextmanager
async def open_app(environment: Mapping[str, str], *, with_celery: bool = False) -> AsyncIterator[AppContext]:
    """Set the environment variables and open the application context."""
    os.environ.update(environment)
    from config.settings import Settings
    from worker.bootstrap.dispatch import create_celery_app

    loaded = Settings.load()
    async with open_context(loaded, celery=create_celery_app(loaded) if with_celery else None) as app:
        yield app


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process; its output is discarded unless BENCH_LOG is set."""
    out = None if os.environ.get("BENCH_LOG") else subprocess.DEVNULL
    started = subprocess.Popen(command, env={**os.environ, **environment}, stdout=out, stderr=out, cwd=HERE)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextmanager
def worker(environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the Celery worker as the Procfile starts it."""
    options = ("-Q", "lanes,upkeep", "--without-gossip", "--without-mingle")
    with process(program("celery"), "-A", "worker", "worker", *options, **environment) as started:
        yield started


@contextmanager
def ingest(environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the ingest process."""
    with process(program("ik-slack"), "ingest", **environment) as started:
        yield started


async def wait_for_processes(app: AppContext, *, timeout_s: float = 30) -> None:
    """Wait until a worker and an ingest process have sent a heartbeat."""
    deadline = time.time() + timeout_s
    while not (await app.processes.list_alive("worker") and await app.processes.list_alive("ingest")):
        if time.time() > deadline:
            raise TimeoutError("the worker or the ingest process did not start")
        await asyncio.sleep(0.1)


class SlackStub:
    """The stub of Slack (`slack_stub.py`) in another process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def stats(self) -> dict[str, float]:
        """Return the number of posts, and the times of the first and the last."""
        with urllib.request.urlopen(f"{self.url}stats", timeout=5) as response:
            return dict(json.loads(response.read()))

    @property
    def arrivals(self) -> dict[str, float]:
        """When the last post to each channel was stored."""
        with urllib.request.urlopen(f"{self.url}arrivals", timeout=30) as response:
            return dict(json.loads(response.read())["arrivals"])

    def wait_for(self, posts: int, *, timeout_s: float = 300) -> dict[str, float]:
        """Wait until the stub has received this many posts."""
        deadline = time.time() + timeout_s
        while (stats := self.stats())["posts"] < posts:
            if time.time() > deadline:
                raise TimeoutError(f"only {stats['posts']} of {posts} posts arrived")
            time.sleep(0.05)
        return stats


@contextmanager
def slack_stub(*, latency_ms: float, channels: int = 0) -> Iterator[SlackStub]:
    """Run a stub of Slack."""
    port = str(free_port())
    options = ("--port", port, "--latency-ms", str(latency_ms), "--channels", str(channels))
    with process(sys.executable, "slack_stub.py", *options):
        stub = SlackStub(f"http://127.0.0.1:{port}/api/")
        wait_until_answers(f"{stub.url}stats")
        yield stub


def wait_until_answers(url: str) -> None:
    """Wait until a server answers, ten seconds at most."""
    for _ in range(200):
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.05)
    raise TimeoutError(url)


def program(name: str) -> str:
    """Return the path of a program of this virtual environment."""
    return str(Path(sys.executable).parent / name)


def with_children(pid: int) -> Iterator[int]:
    """Yield a process and all its children."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from with_children(int(child))


def tree_processor_s(pid: int) -> float:
    """Return the processor time that a process and its children have used."""
    return sum(map(processor_s, with_children(pid)))


def tree_memory_mb(pid: int) -> float:
    """Return the memory of a process and its children, that of shared pages divided among their processes."""
    texts = (Path(f"/proc/{member}/smaps_rollup").read_text() for member in with_children(pid))
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("Pss:")) / 1024


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def peak_mb(pid: int) -> float:
    """Return the most resident memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

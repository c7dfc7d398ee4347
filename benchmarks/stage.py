"""What the benchmarks run on: a server, a far end, worker processes; stopped by pid."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from worker.bootstrap import Services
from worker.sandbox.machine import free_port
from worker.sandbox.redis import EmbeddedRedis
from worker.store.vault import generate_key

HERE = Path(__file__).parent
TICK = os.sysconf("SC_CLK_TCK")


@contextmanager
def server() -> Iterator[str]:
    """A Redis with its append-only file on."""
    with tempfile.TemporaryDirectory() as folder:
        embedded = EmbeddedRedis(Path(folder) / "redis")
        yield embedded.start()
        embedded.stop()


@contextmanager
def started(*command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the project; its log goes nowhere unless BENCH_LOG is set."""
    out = None if os.environ.get("BENCH_LOG") else subprocess.DEVNULL
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=out, stderr=out, cwd=HERE)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class FarEnd:
    """The far end as seen from here."""

    def __init__(self, base: str) -> None:
        self.base = base

    def ask(self, what: str) -> dict[str, float]:
        """`stats` or `reset`."""
        with urllib.request.urlopen(f"{self.base}{what}", timeout=5) as answer:
            return dict(json.loads(answer.read()))

    def wait_for(self, posts: int, *, most_s: float = 300) -> dict[str, float]:
        """Until so many posts came."""
        until = time.time() + most_s
        while (stats := self.ask("stats"))["posts"] < posts:
            if time.time() > until:
                raise TimeoutError(f"only {stats['posts']} of {posts} posts came")
            time.sleep(0.1)
        return stats


@contextmanager
def far_end(*, latency_ms: float, channels: int = 0) -> Iterator[FarEnd]:
    """A far end in a process of its own."""
    port = free_port()
    with started(sys.executable, "far_end.py", "--port", str(port), "--latency-ms", str(latency_ms),
                 "--channels", str(channels)):  # fmt: skip
        end = FarEnd(f"http://127.0.0.1:{port}/api/")
        for _ in range(100):
            try:
                end.ask("stats")
                break
            except OSError:
                time.sleep(0.05)
        yield end


def settings(redis: str, slack: str, folder: str, **more: str) -> dict[str, str]:
    """The environment of an installation that Slack's pace does not slow."""
    return {
        "REDIS_URL": redis,
        "SLACK_API_URL": slack,
        "ENCRYPTION_KEY": generate_key(),
        "DATA_DIR": folder,
        "LOG_LEVEL": "ERROR",
        "POST_RATE_PER_CHANNEL": "1000",
        "POST_BURST_PER_CHANNEL": "100",
        "POST_RATE_PER_WORKSPACE": "1000000",
        **more,
    }


def worker(environment: Mapping[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """Our Celery worker, as the Procfile starts it."""
    return started(program("celery"), "-A", "worker", "worker", "-Q", "lanes,upkeep", "--without-gossip",
                   "--without-mingle", **environment)  # type: ignore[return-value]  # fmt: skip


def ingest(environment: Mapping[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """Our ingest process."""
    return started(program("ik-slack"), "ingest", **environment)  # type: ignore[return-value]


async def alive(made: Services, *, most_s: float = 30) -> None:
    """Until a worker and an ingest have been seen."""
    until = time.time() + most_s
    while not (await made.upkeep.alive("worker") and await made.upkeep.alive("ingest")):
        if time.time() > until:
            raise TimeoutError("no worker or no ingest came alive")
        await asyncio.sleep(0.1)


def program(name: str) -> str:
    """A program of this virtual environment."""
    return str(Path(sys.executable).parent / name)


def processor_s(pid: int) -> float:
    """Processor time a process has used so far."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(parts[11]) + int(parts[12])) / TICK


def resident_mb(pid: int) -> float:
    """Memory a process holds now."""
    line = next(
        one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1024

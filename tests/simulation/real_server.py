"""A real Redis server under a simulation's clock, so that the same runs are made on it."""

import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from worker.sandbox.embedded_redis import EmbeddedRedis

SOURCE = Path(__file__).with_name("clock.c")


def compiler() -> str | None:
    """Return the C compiler for the clock's library, if this machine has one."""
    return shutil.which("cc")


class RealServer:
    """The server's side of the wire, as `wire.Server`; what time it is there is said by `set_clock`."""

    def __init__(self, url: str, clock: mmap.mmap) -> None:
        self._url, self._clock = url, clock
        self.clear()

    def set_clock(self, now_s: float) -> None:
        """From now on it is so late there."""
        self._clock[:8] = struct.pack("q", round(now_s * 1_000_000))

    def clear(self) -> None:
        """Empty the server and open a new client."""
        self.redis = Redis.from_url(self._url, protocol=2, encoding_errors="replace")
        self.redis.flushall()
        self.redis.script_flush()

    def execute(self, words: Sequence[Any]) -> Any:
        """One command's answer; an error is an answer too."""
        try:
            return self.redis.execute_command(*words)
        except RedisError as error:
            return error


@contextmanager
def real_server(folder: Path) -> Iterator[RealServer]:
    """Start a Redis server; its clock only moves when it is set."""
    library, file = folder / "clock.so", folder / "clock"
    made_by = compiler()
    assert made_by is not None
    subprocess.run([made_by, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    file.write_bytes(bytes(8))
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 8) as clock:
        clock[:8] = struct.pack("q", 1_700_000_000_000_000)
        own = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(file)}
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        server = EmbeddedRedis(folder / "redis")
        try:
            url = server.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        try:
            yield RealServer(url, clock)
        finally:
            server.stop()

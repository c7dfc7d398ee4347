"""A Redis with two replicas and three sentinels, whose master a test kills."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from support.installation import until
from worker.local_machine import free_port
from worker.store.redis_client import fields

SERVICE = "mymaster"
DOWN_AFTER_MS, FAILOVER_MS = 2_000, 6_000
MAX_LAG_S = 2  #: A master that has heard of no replica for this time takes no writes.
SERVER = shutil.which("redis-server")
needs_redis_server = pytest.mark.skipif(SERVER is None, reason="redis-server is not installed")


@dataclass
class ReplicatedRedis:
    """Three servers, of which the sentinels choose the master."""

    folder: Path
    servers: list[int] = field(default_factory=list)  #: Their ports.
    sentinels: list[int] = field(default_factory=list)
    failovers: int = 0
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"sentinel://{','.join(f'127.0.0.1:{port}' for port in self.sentinels)}/{SERVICE}"

    async def start(self) -> None:
        """Start all of them, and wait until both replicas follow and every sentinel knows the others."""
        self.servers = [free_port() for _ in range(3)]
        for port in self.servers:
            of = "" if port == self.servers[0] else f"replicaof 127.0.0.1 {self.servers[0]}\n"
            replication = f"repl-diskless-sync-delay 0\nmin-replicas-to-write 1\nmin-replicas-max-lag {MAX_LAG_S}\n{of}"
            self._configure(port, f"appendonly yes\nmaxmemory-policy noeviction\n{replication}")
            self.start_server(port)
        await self._have_replicas(self.servers[0])
        self.sentinels = [free_port() for _ in range(3)]
        for port in self.sentinels:
            self._configure(
                port,
                f"sentinel monitor {SERVICE} 127.0.0.1 {self.servers[0]} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout {SERVICE} {FAILOVER_MS}\nsentinel parallel-syncs {SERVICE} 2\n",
            )
            self.start_server(port, "--sentinel")
        for port in self.sentinels:
            await until(lambda port=port: self._knows_all(port), "the sentinels know each other")

    def start_server(self, port: int, *options: str) -> None:
        """Start a server or a sentinel on its files, as after a crash."""
        assert SERVER
        with (self.folder / f"{port}.log").open("ab") as log:
            self._processes[port] = subprocess.Popen(
                [SERVER, str(self.folder / f"{port}.conf"), *options], cwd=self.folder / str(port), stdout=log,
            )  # fmt: skip

    async def find_master(self) -> int:
        """Return the port of the master that most sentinels name."""
        named: list[int] = []
        for port in self.sentinels:
            with suppress(RedisError):
                async with Redis(port=port) as sentinel:
                    address = await sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
                    named.append(int(address[1]))
        return max(set(named), key=named.count)

    async def kill_master(self, *, away_s: float = 5.0) -> float:
        """Kill the master, wait for another, start the killed one again; return how long there was no master."""
        killed = await self.find_master()
        clock = asyncio.get_running_loop().time
        self._end(killed)
        began = clock()

        async def is_replaced() -> bool:
            master = await self.find_master()
            if master == killed:
                return False
            async with Redis(port=master) as server:
                return (await server.info("replication"))["role"] == "master"

        await until(is_replaced, "another master is chosen", most_s=60)
        self.failovers += 1
        took_s = clock() - began
        await asyncio.sleep(max(0.0, away_s - took_s))
        self.start_server(killed)
        return took_s

    async def have_two_replicas(self) -> None:
        """Wait until the master has both replicas again."""
        await self._have_replicas(await self.find_master())

    def stop(self) -> None:
        """End all of them."""
        for port in list(self._processes):
            self._end(port)

    def _end(self, port: int) -> None:
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    def _configure(self, port: int, lines: str) -> None:
        (self.folder / str(port)).mkdir(parents=True)
        (self.folder / f"{port}.conf").write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self.folder / str(port)}\n{lines}"
        )

    async def _have_replicas(self, port: int) -> None:
        async def are_online() -> bool:
            async with Redis(port=port) as server:
                info = await server.info("replication")
            return [info.get(f"slave{n}", {}).get("state") for n in (0, 1)] == ["online"] * 2

        await until(are_online, "both replicas follow", most_s=60)

    async def _knows_all(self, port: int) -> bool:
        async with Redis(port=port) as sentinel:
            known = fields(await sentinel.execute_command("SENTINEL", "MASTER", SERVICE))
        return (int(known["num-other-sentinels"]), int(known["num-slaves"])) == (2, 2)


@asynccontextmanager
async def run_replicated_redis(folder: Path) -> AsyncIterator[ReplicatedRedis]:
    """Run the servers and the sentinels, with their files under `folder`."""
    redis = ReplicatedRedis(folder)
    folder.mkdir(parents=True)
    try:
        await redis.start()
        yield redis
    finally:
        redis.stop()

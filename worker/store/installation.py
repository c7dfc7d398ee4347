"""The installation's marker in Redis: when its data began, in which layout, and whether earlier data was lost.

Redis may come back without its data, when persistence was off or its files were deleted. A running process notices
that by the marker and logs it. Data of an older layout is migrated when a process starts; a version that does not know
the layout of the keys does not start, and neither does one on a Redis Cluster, where a script reaches a part of the
keys only.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from redis.exceptions import ResponseError

from worker.domain.errors import UserError
from worker.store.redis_client import RedisClient, RedisStore, texts
from worker.store.redis_errors import RedisFailure, StoreUnavailable
from worker.telemetry import log_event

log = logging.getLogger("worker.origin")

Migration = Callable[[RedisClient], Awaitable[None]]

#: The migrations of stored data; the first brings layout 1 to layout 2, and so on. A change that older versions would
#: misread adds one at the end. A migration runs again after a crash in it, from its beginning, and while processes of
#: an older version end: running it twice must change nothing.
MIGRATIONS: Sequence[Migration] = ()
FIRST_LAYOUT = 1
LAYOUT = FIRST_LAYOUT + len(MIGRATIONS)  #: The layout that this version reads and writes.
CHECK_TIMEOUT_S = 2.0
MIGRATION_LOCK_MS, MIGRATION_POLL_S = 60_000, 0.5
LOST = "Redis came back without its data"
FIX = (
    "The deliveries that were pending are lost: publish their events again. Add the integrations and subscriptions "
    "again too (`ik-slack integrations add`, `ik-slack subscriptions apply`), and turn on Redis's append-only file."
)


@dataclass(frozen=True, slots=True)
class InstallationInfo:
    """The marker as stored."""

    began_ms: int  #: When its data began.
    lost_ms: int  #: When earlier data was found to be lost; 0 for never.
    layout: int  #: The layout of the keys in `store/keys.py`.


class InstallationMarker(RedisStore):
    """The marker, as one process checks it again and again."""

    def __init__(
        self,
        server: RedisClient,
        migrations: Sequence[Migration] = MIGRATIONS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(server)
        self._migrations, self._sleep = migrations, sleep
        self.layout = FIRST_LAYOUT + len(migrations)  #: The layout that this version reads and writes.
        self._known_id = ""

    async def check(self) -> InstallationInfo:
        """Return the marker, made if missing; migrate data of an older layout, log a loss once.

        Raises `UserError` for data of a newer version and for a Redis Cluster.
        """
        return await self._migrated(await self._read())

    async def require_compatible(self) -> None:
        """Do the same at the start of a process; a Redis that cannot serve is no error."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                info = await self._read()
            await self._migrated(info)
        except (TimeoutError, StoreUnavailable):
            return

    async def _read(self) -> InstallationInfo:
        if not self._known_id:
            await self._refuse_cluster()
        new_id, name = secrets.token_hex(8), self._keys.named("origin")
        answer = await self._server.run_script("installation", (name,), (new_id, self._known_id, self.layout))
        id_, layout, began_ms, lost_ms = texts(answer)
        if int(layout) > self.layout:
            raise UserError(
                f"Redis holds data of a newer version of infrakitchen-slack under KEY_PREFIX "
                f"{self._keys.prefix} (layout {layout}, this version knows {self.layout}): "
                "install the newer version again, or set another KEY_PREFIX."
            )
        if self._known_id and id_ == new_id:
            log_event(log, logging.CRITICAL, LOST, fix=FIX)
        self._known_id = id_
        return InstallationInfo(began_ms=int(began_ms), lost_ms=int(lost_ms or 0), layout=int(layout))

    async def _refuse_cluster(self) -> None:
        """Raise `UserError` on a Redis Cluster; a server may forbid the question, and then each step answers it."""
        try:
            cluster = await self._server.info("cluster")
        except ResponseError:
            return
        except StoreUnavailable as error:
            if error.failure in (RedisFailure.PERMISSION, RedisFailure.COMMAND):
                return
            raise
        if cluster.get("cluster_enabled") == "1":
            raise UserError(f"{RedisFailure.CLUSTER.reason}. {RedisFailure.CLUSTER.fix}")

    async def _migrated(self, info: InstallationInfo) -> InstallationInfo:
        while info.layout < self.layout:
            await self._migrate()
            info = await self._read()
        return info

    async def _migrate(self) -> None:
        """Bring the data to this version's layout, or wait until the process that does it has ended."""
        token = secrets.token_hex(8)
        lock = (self._keys.lock("migration"),)
        if not await self._server.run_script("lock", lock, (token, MIGRATION_LOCK_MS, 0)):
            await self._sleep(MIGRATION_POLL_S)
            return
        try:
            for layout in range((await self._read()).layout, self.layout):
                await self._migrations[layout - FIRST_LAYOUT](self._server)
                await self._server.command("HSET", self._keys.named("origin"), "layout", layout + 1)
                log_event(log, logging.INFO, "data migrated", layout=layout + 1)
        finally:
            await self._server.run_script("lock", lock, (token, 0, 0))


ALIVE_MS = 15_000
KEY_RINGS = "key_rings"  # the role under which processes record their key rings


class Processes(RedisStore):
    """Heartbeats and locks, by the server's clock; `key_ring` is the fingerprint of this process's ENCRYPTION_KEY."""

    def __init__(self, server: RedisClient, key_ring: str = "") -> None:
        super().__init__(server)
        self.key_ring = key_ring

    async def record_heartbeat(self, role: str, worker_id: str) -> None:
        """Record that a process of this role is alive now, and its key ring."""
        key, rings, now_ms = self._keys.heartbeats(role), self._keys.heartbeats(KEY_RINGS), await self._server.now_ms()
        await self._server.transaction(
            ("ZADD", key, now_ms, worker_id),
            ("ZREMRANGEBYSCORE", key, "-inf", now_ms - ALIVE_MS),
            ("ZADD", rings, now_ms, self.key_ring),
            ("ZREMRANGEBYSCORE", rings, "-inf", now_ms - ALIVE_MS),
        )

    async def has_other_installation(self) -> bool:
        """Return whether a process is alive whose key ring shares no key with this one's."""
        rings = [set(ring.split()) for ring in await self.list_alive(KEY_RINGS)]
        own = set(self.key_ring.split())
        return any(ring and own and ring.isdisjoint(own) for ring in rings)

    async def remove_heartbeat(self, role: str, worker_id: str) -> None:
        """Remove a process that ends in an orderly way."""
        await self._server.command("ZREM", self._keys.heartbeats(role), worker_id)

    async def list_alive(self, role: str) -> list[str]:
        """Return the processes of a role whose last heartbeat is at most `ALIVE_MS` old."""
        since_ms = await self._server.now_ms() - ALIVE_MS
        return texts(await self._server.command("ZRANGEBYSCORE", self._keys.heartbeats(role), since_ms, "+inf"))

    async def lock(self, name: str, token: str, ms: int) -> bool:
        """Take a lock for `ms`, or renew it; return whether `token` holds it."""
        return bool(await self._server.run_script("lock", (self._keys.lock(name),), (token, ms, 0)))

    async def unlock(self, name: str, token: str) -> None:
        """Release a lock if `token` still holds it."""
        await self._server.run_script("lock", (self._keys.lock(name),), (token, 0, 0))

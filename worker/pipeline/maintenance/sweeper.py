"""Sweeper: periodic maintenance on the event loop of every worker, of which one at a time holds the lock."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from worker.domain.delivery import lane_parts
from worker.domain.errors import UserError
from worker.domain.integration import Health
from worker.pipeline.gateway import Sleep
from worker.pipeline.maintenance.card_closer import CardCloser
from worker.pipeline.maintenance.operations_alerts import OperationsAlerts
from worker.pipeline.maintenance.prober import Prober
from worker.store.dead_letters import DeadLetters, FlowerSync
from worker.store.deliveries import Deliveries
from worker.store.directory import Directory
from worker.store.installation import InstallationMarker, Processes
from worker.store.integrations import Integrations
from worker.store.lanes import HORIZON_MS, Lanes
from worker.store.ledger import take_ledger_snapshot
from worker.store.metrics import Metrics
from worker.store.redis_client import RedisClient
from worker.store.redis_errors import StoreUnavailable, log_redis_error
from worker.store.schedule import Backlogs, ProbeTarget, Schedule
from worker.store.subscriptions import Subscriptions
from worker.telemetry import COUNTERS, log_event

log = logging.getLogger("worker.sweep")

TICK_S = 0.5
LOCK_MS = 5_000
LANES_PER_BATCH, PROBES_PER_BATCH = 512, 50
REDIS_RETRY_S, NEWER_DATA_RETRY_S = 1.0, 10.0
HEARTBEAT_EVERY_S, METRICS_EVERY_S, RETENTION_EVERY_S = 3.0, 1.0, 10.0
BACKLOG_EVERY_S, EXPIRY_EVERY_S, LEDGER_EVERY_S = 5.0, 10.0, 30.0  # with few lanes with pending deliveries
LANES_PER_S = 200  # that each of these steps looks at, however many there are
REFRESH_LOCK_MS = 30_000  # a directory's refresh is requested once in this time, however busy the workers are


@dataclass(slots=True, kw_only=True)
class Sweeper:
    """Periodic maintenance: wake-up calls, probes, expiry, operations alerts, retention, and the ledger's check."""

    redis: RedisClient
    processes: Processes
    schedule: Schedule
    backlogs: Backlogs
    lanes: Lanes
    deliveries: Deliveries
    dead_letters: DeadLetters
    subscriptions: Subscriptions
    integrations: Integrations
    directory: Directory
    installation: InstallationMarker
    metrics: Metrics
    prober: Prober
    card_closer: CardCloser
    alerts: OperationsAlerts
    flower_sync: FlowerSync
    wake: Callable[[Sequence[str]], Awaitable[None]]  #: Sends a wake-up call for each lane.
    refresh_directory: Callable[[str], Awaitable[None]]  #: Requests the refresh of an integration's directory.
    delivery_s: float  #: Time limits in seconds: of a delivery in a lane that is not parked, and in a parked one.
    parked_s: float
    retention_s: float  #: How many seconds finished deliveries, dead letters and attempts are kept.
    event_life_s: float  #: How many seconds the body of an event is kept.
    directory_s: float  #: Seconds after which a directory is refreshed.
    probe_s: float  #: Longest time in seconds between two probes of a parked lane or integration.
    worker_id: str
    stopping: Callable[[], bool]
    clock: Callable[[], float]  #: Monotonic seconds.
    sleep: Sleep = asyncio.sleep
    _next_at: dict[str, float] = field(default_factory=dict)
    _probes: dict[ProbeTarget, asyncio.Task[None]] = field(default_factory=dict)
    _closing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Send heartbeats and sweep until the worker stops; an error is logged, and the next round tries again."""
        while not self.stopping():
            try:
                if self._is_due("heartbeat", HEARTBEAT_EVERY_S):
                    await self.installation.check()
                    await self.processes.record_heartbeat("worker", self.worker_id)
                if self._is_due("metrics", METRICS_EVERY_S):
                    await self.metrics.save(COUNTERS)
                if await self.processes.lock("sweep", self.worker_id, LOCK_MS):
                    await self.sweep()
            except StoreUnavailable as error:
                log_redis_error(log, error)
                await self.sleep(REDIS_RETRY_S)
            except UserError as error:  # a newer version wrote the data in Redis
                log_event(log, logging.CRITICAL, str(error))
                self._next_at.clear()  # check the installation again before any other step
                await self.sleep(NEWER_DATA_RETRY_S)
            except Exception:
                log.exception("unexpected error while sweeping")
            await self.sleep(TICK_S)
        for task in (*self._probes.values(), *filter(None, (self._closing,))):
            task.cancel()

    async def stop(self) -> None:
        """Save the counters, and give up the lock and the heartbeat."""
        await self.metrics.save(COUNTERS)
        await self.processes.unlock("sweep", self.worker_id)
        await self.processes.remove_heartbeat("worker", self.worker_id)

    async def sweep(self) -> None:
        """Do the maintenance that is due."""
        while lanes := await self.schedule.claim_due_lanes(limit=LANES_PER_BATCH, horizon_ms=HORIZON_MS):
            await self.wake(lanes)
        for target in await self.schedule.claim_due_probes(again_in_s=self.probe_s, limit=PROBES_PER_BATCH):
            if target not in self._probes:  # else the last probe still waits for Slack
                self._probes[target] = asyncio.create_task(_log_errors(partial(self._probe, target), "probing"))
        if self._closing is None or self._closing.done():
            self._closing = asyncio.create_task(_log_errors(self.card_closer.run, "closing cards"))
        await self.flower_sync.run()
        if lanes_of_alerts := await self.alerts.send_pending():
            await self.wake(lanes_of_alerts)
        if self._is_due("backlog", self._per_lane(BACKLOG_EVERY_S)):
            await self.report_backlogs()
            await self.replay_expired()
        if self._is_due("expiry", self._per_lane(EXPIRY_EVERY_S)):
            await self.expire_deliveries()
        if self._is_due("retention", RETENTION_EVERY_S):
            await self._refresh_old_directories()
            now_ms = await self.redis.now_ms()
            kept_since_ms = now_ms - int(self.retention_s * 1000)
            await self.dead_letters.remove_old(kept_since_ms)
            await self.deliveries.trim_indexes(
                deliveries_before_ms=now_ms - int(self.event_life_s * 1000),
                finished_before_ms=kept_since_ms,
                is_kept=await self._find_kept_lanes(),
            )
        if self._is_due("ledger", self._per_lane(LEDGER_EVERY_S)):
            balance = (await take_ledger_snapshot(self.redis)).balance
            if balance.unaccounted:
                log_event(log, logging.CRITICAL, "ledger not balanced", unaccounted=balance.unaccounted)

    async def _probe(self, target: ProbeTarget) -> None:
        try:
            if lanes := await self.prober.probe(target):
                await self.wake(lanes)
        finally:
            del self._probes[target]

    async def report_backlogs(self) -> None:
        """Log each lane that newly came near a limit, and store a warning for the operations channel."""
        backlogs = self.backlogs.find_near_limit(running_s=self.delivery_s, parked_s=self.parked_s, only_new=True)
        for backlog in await backlogs:
            log_event(
                log, logging.WARNING, "lane near limit", lane=backlog.lane, limit=backlog.kind, detail=backlog.text,
                consequence=backlog.consequence,
            )  # fmt: skip

    async def replay_expired(self) -> None:
        """Replay, in one message, the newest deliveries that expired while their lane was parked, once it resumed."""
        for lane in await self.dead_letters.list_lanes_to_replay():
            result = await self.dead_letters.replay_expired(lane)
            if result.replayed:
                log_event(log, logging.WARNING, "expired deliveries replayed", lane=lane, replayed=result.replayed)
            if result.wake:
                await self.wake([lane])

    async def expire_deliveries(self) -> int:
        """Make dead letters of the deliveries that waited too long, and return their number."""
        now_ms, total = await self.redis.now_ms(), 0
        too_old = await self.backlogs.find_too_old(running_s=self.delivery_s, parked_s=self.parked_s)
        for lane, is_parked in too_old.items():
            age_s = self.parked_s if is_parked else self.delivery_s
            reason = f"waited longer than {age_s:g} s" + (" for a person" if is_parked else "")
            before_ms = now_ms - int(age_s * 1000)
            while expired := await self.lanes.expire(lane, before_ms, reason, running=not is_parked):
                total += expired
                log_event(log, logging.ERROR, "deliveries expired", lane=lane, expired=expired, reason=reason)
        return total

    async def _find_kept_lanes(self) -> Callable[[str], bool]:
        """Return which lanes keep their address: those that are named by a subscription, or as operations channel."""
        await self.subscriptions.list_all()
        named, channels = self.subscriptions.lanes_used.names, set(self.alerts.channels.values())
        return lambda lane: lane in named or lane_parts(lane)[1] in channels

    async def _refresh_old_directories(self) -> None:
        """Request a refresh of each directory that was read before and is too old now."""
        for integration in await self.integrations.list_all():
            directory = await self.directory.get_status(integration.id)
            is_old = directory.age_s is not None and directory.age_s > self.directory_s
            is_refreshing = directory.scanned_channels is not None
            if not is_old or is_refreshing or integration.state is not Health.ACTIVE:
                continue
            if await self.processes.lock(f"refresh:{integration.id}", secrets.token_hex(4), REFRESH_LOCK_MS):
                await self.refresh_directory(integration.id)

    def _per_lane(self, every_s: float) -> float:
        """Return the time between two looks at all lanes with pending deliveries: the more there are, the longer."""
        return max(every_s, self.backlogs.size / LANES_PER_S)

    def _is_due(self, step: str, every_s: float) -> bool:
        now = self.clock()
        if now < self._next_at.get(step, 0.0):
            return False
        self._next_at[step] = now + every_s
        return True


async def _log_errors(work: Callable[[], Awaitable[None]], doing: str) -> None:
    """Do work beside the sweep, which is due again later: an error ends this round of it only."""
    try:
        await work()
    except StoreUnavailable as error:
        log_redis_error(log, error)
    except Exception:
        log.exception("unexpected error while %s", doing)

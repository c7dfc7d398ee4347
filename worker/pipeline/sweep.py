"""Sweep: on the event loop of every worker, one at a time; nothing depends on a single process."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from worker.domain.errors import Problem
from worker.pipeline.gateway import Sleep
from worker.pipeline.probe import Prober
from worker.store.dead_letters import DeadLetters
from worker.store.directory import Directory
from worker.store.integrations import Integrations
from worker.store.lanes import HORIZON_MS, Lanes
from worker.store.ledger import take_census
from worker.store.origin import Origin
from worker.store.outage import say_outage
from worker.store.server import Server, Unavailable
from worker.store.upkeep import Upkeep
from worker.telemetry import say

log = logging.getLogger("worker.sweep")

TICK_S = 0.5
LOCK_MS = 5_000
WOKEN_AT_ONCE, PROBED_AT_ONCE = 512, 50
REFUSED_S = 10.0
METRICS_EVERY_S, LIMITS_EVERY_S, TIDY_EVERY_S, LEDGER_EVERY_S = 1.0, 5.0, 10.0, 30.0
REFRESH_ASKED_MS = 30_000  # a directory is asked for once in this time, however busy the workers are


@dataclass(frozen=True, slots=True)
class Ages:
    """How long things wait and are kept, in seconds."""

    delivery_s: float
    parked_s: float
    retention_s: float
    directory_s: float
    probe_s: float
    event_life_s: float


@dataclass(slots=True)
class Sweep:
    """Wakes what is due, probes what is parked, expires what is old, throws away what nobody needs."""

    server: Server
    upkeep: Upkeep
    lanes: Lanes
    integrations: Integrations
    directory: Directory
    dead_letters: DeadLetters
    prober: Prober
    wake: Callable[[Sequence[str]], Awaitable[None]]
    refresh: Callable[[str], Awaitable[None]]
    mirror: Callable[[], Awaitable[None]]
    warn: Callable[[], Awaitable[Sequence[str]]]
    write_down: Callable[[], Awaitable[None]]
    origin: Origin
    ages: Ages
    who: str
    stopping: Callable[[], bool]
    clock: Callable[[], float]
    sleep: Sleep = asyncio.sleep
    _next: dict[str, float] = field(default_factory=dict)
    _probing: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self) -> None:
        """Until the worker stops."""
        while not self.stopping():
            try:
                if self._is_time("beat", 3.0):
                    await self.origin.look()
                    await self.upkeep.beat("worker", self.who)
                if self._is_time("metrics", METRICS_EVERY_S):
                    await self.write_down()
                if await self.upkeep.lock("sweep", self.who, LOCK_MS):
                    await self.tick()
            except Unavailable as error:
                say_outage(log, error)
                await self.sleep(1.0)
            except Problem as error:
                say(log, logging.CRITICAL, str(error))
                self._next.clear()  # that is looked at first again
                await self.sleep(REFUSED_S)
            except Exception:
                log.exception("a fault of this program")
            await self.sleep(TICK_S)
        for probing in self._probing.values():
            probing.cancel()

    async def leave(self) -> None:
        """Write down what was counted, give back the lock, and say that this worker ended."""
        await self.write_down()
        await self.upkeep.unlock("sweep", self.who)
        await self.upkeep.leave("worker", self.who)

    async def tick(self) -> None:
        """One round."""
        while lanes := await self.upkeep.due_lanes(most=WOKEN_AT_ONCE, horizon_ms=HORIZON_MS):
            await self.wake(lanes)
        probes = await self.upkeep.due_probes(again_in_s=self.ages.probe_s, most=PROBED_AT_ONCE)
        for what in probes:
            if what not in self._probing:  # else it still waits for its turn to ask Slack
                self._probing[what] = asyncio.create_task(self._probe(what))
        await self.mirror()
        if warned := await self.warn():
            await self.wake(warned)
        if self._is_time("limits", LIMITS_EVERY_S):
            await self.warn_of_limits()
            await self.replay_missed()
        if self._is_time("tidy", TIDY_EVERY_S):
            await self.expire()
            await self._refresh_directories()
            await self._throw_away()
        if self._is_time("ledger", LEDGER_EVERY_S):
            balance, _ = await take_census(self.server)
            if balance.unaccounted:
                say(log, logging.CRITICAL, "the ledger does not balance", unaccounted=balance.unaccounted)

    async def warn_of_limits(self) -> None:
        """Say which lanes come near a limit, each once."""
        near = await self.lanes.near(
            running_s=self.ages.delivery_s, parked_s=self.ages.parked_s, only_new=True
        )
        for one in near:
            say(log, logging.WARNING, "lane is near a limit", lane=one.lane, limit=one.limit,
                detail=one.words, then=one.then)  # fmt: skip

    async def replay_missed(self) -> None:
        """What expired while its lane waited for a person is told once that is over, in one message."""
        for lane in await self.dead_letters.lanes_that_missed():
            replayed, awake = await self.dead_letters.replay_missed(lane)
            if replayed:
                say(log, logging.WARNING, "dead letters replayed: their lane can be told again", lane=lane,
                    replayed=replayed)  # fmt: skip
            if awake:
                await self.wake([lane])

    async def expire(self) -> int:
        """Dead-letter what has waited too long: how many."""
        now_ms, total = await self.server.now_ms(), 0
        for lane, parked in await self.upkeep.lanes_waiting():
            age_s = self.ages.parked_s if parked else self.ages.delivery_s
            why = f"waited longer than {age_s:g} s" + (" for a person" if parked else "")
            while expired := await self.lanes.expire(
                lane, now_ms - int(age_s * 1000), why, running=not parked
            ):
                total += expired
                say(log, logging.ERROR, "deliveries expired", lane=lane, expired=expired, why=why)
        return total

    async def _probe(self, what: str) -> None:
        try:
            lanes = await self.prober.probe(what)
            if lanes:
                await self.wake(lanes)
        except Unavailable as error:
            say_outage(log, error)
        except Exception:  # its next look is planned already
            log.exception("a fault of this program")
        finally:
            del self._probing[what]

    async def _refresh_directories(self) -> None:
        """Directories that were read before and are too old by now."""
        for integration in await self.integrations.all():
            known = await self.directory.known(integration.id)
            too_old = known.age_s is not None and known.age_s > self.ages.directory_s
            if not too_old or known.so_far is not None or integration.state != "active":
                continue
            asked = f"refresh:{integration.id}"
            if await self.upkeep.lock(asked, secrets.token_hex(4), REFRESH_ASKED_MS):
                await self.refresh(integration.id)

    async def _throw_away(self) -> None:
        now_ms = await self.server.now_ms()
        kept_ms = int(self.ages.retention_s * 1000)
        await self.dead_letters.forget_old(now_ms - kept_ms)
        await self.upkeep.throw_away(
            deliveries_before_ms=now_ms - int(self.ages.event_life_s * 1000),
            finished_before_ms=now_ms - kept_ms,
        )

    def _is_time(self, what: str, every_s: float) -> bool:
        now = self.clock()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every_s
        return True

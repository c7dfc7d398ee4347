"""The composition root: everything is made here, and fakes are arguments."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from config.settings import Settings
from worker.bootstrap.calls import Wake, publisher, refresher, wake_by, wake_nobody
from worker.bootstrap.core import leave_no_core_file
from worker.bootstrap.where import addresses, client_of
from worker.domain.delivery import canonical_destination
from worker.pipeline.accept import Acceptor
from worker.pipeline.directory import DirectoryReader
from worker.pipeline.gateway import Gateway
from worker.pipeline.ingest import Ingest
from worker.pipeline.mirror import Mirror
from worker.pipeline.probe import Prober
from worker.pipeline.record import Recorder
from worker.pipeline.resolve import Resolver
from worker.pipeline.sweep import Ages, Sweep
from worker.pipeline.telling import Tools
from worker.pipeline.template import Writer
from worker.pipeline.warn import Warner
from worker.slack.gateway import SlackGateway
from worker.slack.given import why_not
from worker.store.connection import Client
from worker.store.dead_letters import DeadLetters
from worker.store.dead_queue import DeadQueue
from worker.store.deliveries import Deliveries
from worker.store.directory import Directory
from worker.store.events import Events
from worker.store.integrations import Integrations
from worker.store.keys import Keys
from worker.store.lanes import Lanes
from worker.store.metrics import Metrics
from worker.store.origin import Origin
from worker.store.pace import Pace, Rate
from worker.store.parked import ParkedLanes
from worker.store.readings import Readings
from worker.store.server import Server
from worker.store.stream import EventStream
from worker.store.subscriptions import Subscriptions
from worker.store.template_faults import TemplateFaults
from worker.store.upkeep import Upkeep
from worker.store.vault import Vault
from worker.telemetry import COUNTERS

if TYPE_CHECKING:
    from celery import Celery

WORKSPACE_SHARE_AT_ONCE = 0.05
MARGIN = 1.02  # posts that leave a second apart may arrive a little closer
SLACK_CONNECTIONS_PER_LANE = 2


@dataclass(frozen=True, slots=True)
class Services:
    """Everything one event loop works with."""

    settings: Settings
    server: Server
    broker: Server
    gateway: Gateway
    vault: Vault
    upkeep: Upkeep
    stream: EventStream
    events: Events
    lanes: Lanes
    deliveries: Deliveries
    dead_letters: DeadLetters
    parked: ParkedLanes
    dead_queue: DeadQueue
    integrations: Integrations
    subscriptions: Subscriptions
    directory: Directory
    allowances: Pace
    reader: DirectoryReader
    resolver: Resolver
    drain: Tools
    ingest: Ingest
    sweep: Sweep
    metrics: Metrics
    origin: Origin


class Stopping:
    """Set once, when the process is to end; waiting for a slot ends with it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __call__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """From the event loop's own thread."""
        self._event.set()

    async def wait(self) -> None:
        """Until then."""
        await self._event.wait()

    async def sleep(self, seconds: float) -> None:
        """Wait, or until the process is to end."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return


@asynccontextmanager
async def services(
    settings: Settings,
    *,
    celery: "Celery | None" = None,
    redis: Client | None = None,
    gateway: Gateway | None = None,
    stopping: Stopping | None = None,
    wake: Wake | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Services]:
    """Made inside the event loop that uses it, closed with it."""
    leave_no_core_file()
    stopping = stopping or Stopping()
    who = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    async with AsyncExitStack() as stack:

        async def open_server(url: str, *, waits: bool = False) -> Server:
            client = redis if redis is not None else client_of(url, waits=waits)
            server = Server(client, Keys(settings.key_prefix))
            stack.push_async_callback(server.aclose)
            return server

        redis_url, broker_url = addresses(settings)
        server = await open_server(redis_url)
        broker = await open_server(broker_url)
        blocking = await open_server(redis_url, waits=True)
        if gateway is None:
            connections = settings.worker_concurrency * SLACK_CONNECTIONS_PER_LANE
            gateway = await stack.enter_async_context(
                SlackGateway(settings.slack_api_url, connections=connections)
            )
        made = _compose(settings, server, broker, blocking, gateway, stopping, celery, wake, clock, who)
        stack.push_async_callback(made.reader.leave)
        yield made


def _compose(
    settings: Settings, server: Server, broker: Server, blocking: Server, gateway: Gateway,
    stopping: Stopping, celery: "Celery | None", wake: Wake | None, clock: Callable[[], float], who: str,
) -> Services:  # fmt: skip
    ages, wake = _ages(settings), wake or (wake_by(celery) if celery else wake_nobody)
    vault, allowances, sleep = Vault(settings.key_ring), _allowances(settings, server), stopping.sleep
    upkeep, metrics, origin = Upkeep(server), Metrics(server), Origin(server)
    events = Events(server, life_s=ages.event_life_s, retention_s=ages.retention_s)
    lanes = Lanes(server, retention_s=ages.retention_s, longest=settings.lane_max_length)
    acceptor, deliveries, directory = Acceptor(events, lanes), Deliveries(server), Directory(server)
    dead_letters = DeadLetters(server, deliveries, events, lanes)
    dead_queue = DeadQueue(broker, f"{settings.key_prefix}:celery:dead_letters")
    integrations, subscriptions = Integrations(server, vault), Subscriptions(server)
    reader = DirectoryReader(
        directory, Readings(server), gateway, allowances, upkeep, who, stopping, sleep, clock
    )
    resolver = Resolver(directory, lanes, gateway, allowances, reader, life_s=settings.directory_ttl_s)
    tools = Tools(
        lanes, events, integrations, subscriptions, allowances, resolver,
        Recorder(lanes, integrations, allowances, probe_s=ages.probe_s, sleep=asyncio.sleep), gateway,
        asyncio.Semaphore(settings.worker_concurrency), stopping,
        _writer(settings), TemplateFaults(server, ages.retention_s),
        sleep=sleep, clock=clock, edits_per_minute=settings.update_rate_per_workspace,
    )  # fmt: skip
    stream = _stream(settings, server, blocking, who)
    sweep = Sweep(
        server, upkeep, lanes, integrations, directory, dead_letters,
        Prober(integrations, lanes, resolver, gateway, upkeep), wake, refresher(celery),
        Mirror(dead_letters, dead_queue, publisher(celery, events), clock).look,
        Warner(upkeep, integrations, acceptor, _operations(settings)).look,
        partial(metrics.write_down, COUNTERS), origin, ages, who, stopping, clock, sleep,
    )  # fmt: skip
    ingest = Ingest(stream, acceptor, subscriptions, upkeep, origin, wake, who, stopping, clock, sleep)
    return Services(
        settings, server, broker, gateway, vault, upkeep, stream, events, lanes, deliveries, dead_letters,
        ParkedLanes(server), dead_queue, integrations, subscriptions, directory, allowances, reader, resolver,
        tools, ingest, sweep, metrics, origin,
    )  # fmt: skip


def _stream(settings: Settings, server: Server, blocking: Server, who: str) -> EventStream:
    names = {"stream": settings.events_stream, "group": settings.events_group, "consumer": who}
    return EventStream(server, blocking.redis, **names)


def _allowances(settings: Settings, server: Server) -> Pace:
    return Pace(
        server,
        channel=Rate(settings.post_rate_per_channel / MARGIN, settings.post_burst_per_channel),
        workspace=Rate.per_minute(settings.post_rate_per_workspace, WORKSPACE_SHARE_AT_ONCE),
    )


def _writer(settings: Settings) -> Writer:
    return Writer(why_not, settings.infrakitchen_url or "", settings.console_url or "")


def _operations(settings: Settings) -> dict[str, str]:
    return {name: canonical_destination(to) or to for name, to in settings.operations_channels.items()}


def _ages(settings: Settings) -> Ages:
    """An event lives as long as any delivery of it may wait, and then be looked at and replayed."""
    longest_wait_s = max(settings.delivery_max_age_s, settings.parked_max_age_s)
    return Ages(
        delivery_s=settings.delivery_max_age_s,
        parked_s=settings.parked_max_age_s,
        retention_s=settings.retention_s,
        directory_s=settings.directory_ttl_s,
        probe_s=settings.probe_interval_s,
        event_life_s=longest_wait_s + settings.retention_s,
    )

"""The application context: builds every object of a process from the settings. Tests pass fakes as arguments."""

import asyncio
import os
import resource
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from config.settings import Settings
from worker.bootstrap.dispatch import Dispatcher
from worker.bootstrap.redis_urls import connect_redis, redis_addresses
from worker.domain.delivery import canonical_destination
from worker.pipeline.delivery.outcome_handler import OutcomeHandler
from worker.pipeline.delivery.resolver import Resolver
from worker.pipeline.delivery.session import DeliveryDeps
from worker.pipeline.directory_refresher import DirectoryRefresher
from worker.pipeline.gateway import Gateway
from worker.pipeline.ingest import IngestConsumer, Wake
from worker.pipeline.maintenance.card_closer import CardCloser
from worker.pipeline.maintenance.operations_alerts import OperationsAlerts
from worker.pipeline.maintenance.prober import Prober
from worker.pipeline.maintenance.sweeper import Sweeper
from worker.rendering.message_builder import MessageBuilder
from worker.slack.blocks import rejection_reason
from worker.slack.gateway import SlackGateway
from worker.store.cards import FollowedCards, ReplacedCards
from worker.store.dead_letters import DeadLetters, FlowerQueue, FlowerSync
from worker.store.deliveries import Deliveries
from worker.store.directory import Directory
from worker.store.events import Events
from worker.store.installation import InstallationMarker, Processes
from worker.store.integrations import Integrations
from worker.store.keys import Keys
from worker.store.lanes import Lanes, ParkedLanes
from worker.store.metrics import Metrics
from worker.store.rate_limiter import Rate, RateLimiter
from worker.store.redis_client import BATCH_TIMEOUT_S, Client, RedisClient
from worker.store.schedule import Backlogs, Schedule, Warnings
from worker.store.stream import EventStream
from worker.store.subscriptions import Subscriptions, TemplateErrors
from worker.store.token_cipher import TokenCipher
from worker.templating.renderer_process import shared_renderer

if TYPE_CHECKING:
    from celery import Celery

WORKSPACE_BURST_SHARE = 0.05
RATE_MARGIN = 1.02  # posts that leave a second apart may arrive a little closer
SLACK_CONNECTIONS_PER_LANE = 2


def disable_core_dumps() -> None:
    """Disable core dumps, which would contain decrypted tokens, for this process and its children."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard_limit))


class ShutdownSignal(asyncio.Event):
    """Event that is set once, when the process must end; it interrupts the waits for a slot."""

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, or until the event is set."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()


@dataclass(kw_only=True, eq=False)
class AppContext:
    """Every object that one event loop works with; `open_context` builds it and closes its connections."""

    settings: Settings
    redis: RedisClient  #: Redis, where everything but Celery's messages is stored.
    blocking_redis: RedisClient  #: For blocking commands, which have no time-out.
    broker: RedisClient  #: The Redis of Celery's messages; the same server unless BROKER_URL is set.
    gateway: Gateway
    wake: Wake  #: Sends a Celery wake-up call for each of the named lanes.
    shutdown: ShutdownSignal
    clock: Callable[[], float]  #: Monotonic seconds.
    worker_id: str  #: Identity of this process in locks, heartbeats and the stream's consumer group.
    dispatcher: Dispatcher  #: Sends the other messages through Celery.

    def __post_init__(self) -> None:
        self._build_stores()
        self._build_pipeline()
        self.delivery = self._build_delivery()  #: What draining a lane needs.
        self.sweeper = self._build_sweeper()  #: Periodic maintenance; one worker at a time does it.

    def _build_stores(self) -> None:
        settings, redis = self.settings, self.redis
        self.token_cipher = TokenCipher(settings.key_ring)
        self.processes = Processes(redis, self.token_cipher.fingerprint)  #: Heartbeats and locks.
        self.schedule = Schedule(redis)  #: The lanes and probes that are due.
        self.warnings = Warnings(redis)  #: The warnings still to be sent to the operations channel.
        self.metrics = Metrics(redis)
        #: The marker that shows whether Redis lost this installation's data.
        self.installation = InstallationMarker(redis)
        self.template_errors = TemplateErrors(redis, settings.retention_s)
        #: The stream that InfraKitchen publishes to.
        self.stream = EventStream(
            redis, self.blocking_redis.redis,
            stream=settings.events_stream, group=settings.events_group, consumer=self.worker_id,
        )  # fmt: skip
        # An event lives as long as any of its deliveries may wait, and then as long as it can be shown and replayed.
        longest_wait_s = max(settings.delivery_max_age_s, settings.parked_max_age_s)
        self.events = Events(redis, life_s=longest_wait_s + settings.retention_s, retention_s=settings.retention_s)
        self.lanes = Lanes(redis, retention_s=settings.retention_s, longest=settings.lane_max_length)
        self.backlogs = Backlogs(redis, longest=settings.lane_max_length)
        self.parked_lanes = ParkedLanes(redis)
        self.deliveries = Deliveries(redis)
        self.dead_letters = DeadLetters(redis, self.deliveries, self.events, self.lanes)
        #: The queue of dead letters that Flower shows.
        self.flower_queue = FlowerQueue(self.broker, f"{settings.key_prefix}:celery:dead_letters")
        self.integrations = Integrations(redis, self.token_cipher)
        self.subscriptions = Subscriptions(redis)
        self.directory = Directory(redis)
        self.rate_limiter = RateLimiter(
            redis,
            channel=Rate(settings.post_rate_per_channel / RATE_MARGIN, settings.post_burst_per_channel),
            workspace=Rate.per_minute(settings.post_rate_per_workspace, WORKSPACE_BURST_SHARE),
        )

    def _build_pipeline(self) -> None:
        gateway, shutdown, clock = self.gateway, self.shutdown, self.clock
        self.directory_refresher = DirectoryRefresher(
            directory=self.directory, gateway=gateway, rate_limiter=self.rate_limiter,
            processes=self.processes, worker_id=self.worker_id, stopping=shutdown.is_set, sleep=shutdown.sleep,
            clock=clock,
        )  # fmt: skip
        self.resolver = Resolver(
            directory=self.directory, lanes=self.lanes, gateway=gateway, rate_limiter=self.rate_limiter,
            refresher=self.directory_refresher, max_age_s=self.settings.directory_ttl_s,
        )  # fmt: skip
        #: Checks whether a parked lane or integration can resume.
        self.prober = Prober(
            integrations=self.integrations, lanes=self.lanes, resolver=self.resolver, gateway=gateway,
            schedule=self.schedule,
        )  # fmt: skip
        #: Reads the stream and creates the deliveries.
        self.ingest = IngestConsumer(
            stream=self.stream, events=self.events, lanes=self.lanes, subscriptions=self.subscriptions,
            followed_cards=FollowedCards(self.redis, retention_s=self.settings.retention_s), redis=self.redis,
            processes=self.processes, installation=self.installation, wake=self.wake, worker_id=self.worker_id,
            stopping=shutdown.is_set, clock=clock, sleep=shutdown.sleep,
        )  # fmt: skip

    def _build_delivery(self) -> DeliveryDeps:
        settings, shutdown = self.settings, self.shutdown
        outcomes = OutcomeHandler(
            lanes=self.lanes, integrations=self.integrations, gateway=self.gateway, subscriptions=self.subscriptions,
            rate_limiter=self.rate_limiter, probe_s=settings.probe_interval_s,
            sleep=asyncio.sleep,  # an outcome is recorded even when the process must end
        )  # fmt: skip
        message_builder = MessageBuilder(
            rejection_reason, shared_renderer(), settings.infrakitchen_url or "", settings.console_url or ""
        )
        return DeliveryDeps(
            lanes=self.lanes, events=self.events, integrations=self.integrations, subscriptions=self.subscriptions,
            rate_limiter=self.rate_limiter, resolver=self.resolver, outcomes=outcomes, gateway=self.gateway,
            permits=asyncio.Semaphore(settings.worker_concurrency), is_stopping=shutdown.is_set,
            message_builder=message_builder, template_errors=self.template_errors, sleep=shutdown.sleep,
            clock=self.clock, edits_per_minute=settings.update_rate_per_workspace,
        )  # fmt: skip

    def _build_sweeper(self) -> Sweeper:
        settings = self.settings
        channels = {name: canonical_destination(to) or to for name, to in settings.operations_channels.items()}
        alerts = OperationsAlerts(
            warnings=self.warnings, integrations=self.integrations, events=self.events, lanes=self.lanes,
            channels=channels,
        )  # fmt: skip
        flower_sync = FlowerSync(
            dead_letters=self.dead_letters, queue=self.flower_queue,
            publish=partial(self.dispatcher.publish_dead_letters, self.events), clock=self.clock,
        )  # fmt: skip
        card_closer = CardCloser(
            cards=ReplacedCards(self.redis), events=self.events, integrations=self.integrations,
            rate_limiter=self.rate_limiter, gateway=self.gateway,
            edits_per_minute=settings.update_rate_per_workspace,
            infrakitchen_url=settings.infrakitchen_url or "",
        )  # fmt: skip
        return Sweeper(
            redis=self.redis, processes=self.processes, schedule=self.schedule, backlogs=self.backlogs,
            lanes=self.lanes, deliveries=self.deliveries, dead_letters=self.dead_letters,
            subscriptions=self.subscriptions, integrations=self.integrations, directory=self.directory,
            installation=self.installation, metrics=self.metrics,
            prober=self.prober, card_closer=card_closer, alerts=alerts, flower_sync=flower_sync, wake=self.wake,
            refresh_directory=self.dispatcher.refresh_directory, worker_id=self.worker_id,
            delivery_s=settings.delivery_max_age_s, parked_s=settings.parked_max_age_s,
            retention_s=settings.retention_s, event_life_s=self.events.life_s,
            directory_s=settings.directory_ttl_s, probe_s=settings.probe_interval_s,
            stopping=self.shutdown.is_set, clock=self.clock, sleep=self.shutdown.sleep,
        )  # fmt: skip


@asynccontextmanager
async def open_context(
    settings: Settings, *, celery: "Celery | None" = None, redis: Client | None = None, gateway: Gateway | None = None,
    shutdown: ShutdownSignal | None = None, wake: Wake | None = None, clock: Callable[[], float] = time.monotonic,
    worker_id: str = "", redis_timeout_s: float = BATCH_TIMEOUT_S,
) -> AsyncIterator[AppContext]:  # fmt: skip
    """Build the application context inside the event loop that uses it, and close it at the end.

    Without `redis` and `gateway` it connects to what the settings name. Without `wake` the calls go through
    `celery`; without either no call is sent, and the sweeper of a worker notices the lanes that are due.
    """
    disable_core_dumps()
    async with AsyncExitStack() as stack:

        def open_client(url: str, *, waits: bool = False) -> RedisClient:
            client = redis if redis is not None else connect_redis(url, waits=waits)
            opened = RedisClient(client, Keys(settings.key_prefix), timeout_s=redis_timeout_s)
            stack.push_async_callback(opened.aclose)
            return opened

        dispatcher = Dispatcher(celery)
        redis_url, broker_url = redis_addresses(settings)
        if gateway is None:
            connections = settings.worker_concurrency * SLACK_CONNECTIONS_PER_LANE
            gateway = SlackGateway(settings.slack_api_url, connections=connections)
            stack.push_async_callback(gateway.aclose)
        app = AppContext(
            settings=settings, redis=open_client(redis_url), blocking_redis=open_client(redis_url, waits=True),
            broker=open_client(broker_url), gateway=gateway, wake=wake or dispatcher.wake,
            shutdown=shutdown or ShutdownSignal(), clock=clock,
            worker_id=worker_id or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
            dispatcher=dispatcher,
        )  # fmt: skip
        stack.push_async_callback(app.directory_refresher.stop)
        yield app

"""The application context: builds every object of a process from the settings. Tests pass fakes as arguments."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from config.settings import Settings
from worker.bootstrap.dispatch import Dispatcher
from worker.bootstrap.stores import Stores, make_worker_id, open_redis_clients
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
from worker.store.dead_letters import FlowerSync
from worker.store.redis_client import BATCH_TIMEOUT_S, Client
from worker.templating.renderer_process import shared_renderer

if TYPE_CHECKING:
    from celery import Celery

SLACK_CONNECTIONS_PER_LANE = 2


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
class AppContext(Stores):
    """Every object that one event loop works with; `open_context` builds it and closes its connections."""

    gateway: Gateway
    wake: Wake  #: Sends a Celery wake-up call for each of the named lanes.
    shutdown: ShutdownSignal
    clock: Callable[[], float]  #: Monotonic seconds.
    dispatcher: Dispatcher  #: Sends the other messages through Celery.

    def __post_init__(self) -> None:
        super().__post_init__()
        self._build_pipeline()
        self.delivery = self._build_delivery()  #: What draining a lane needs.
        self.sweeper = self._build_sweeper()  #: Periodic maintenance; one worker at a time does it.

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
    async with AsyncExitStack() as stack:
        dispatcher = Dispatcher(celery)
        clients = open_redis_clients(settings, redis=redis, timeout_s=redis_timeout_s)
        main, blocking, broker = await stack.enter_async_context(clients)
        if gateway is None:
            connections = settings.worker_concurrency * SLACK_CONNECTIONS_PER_LANE
            gateway = SlackGateway(settings.slack_api_url, connections=connections)
            stack.push_async_callback(gateway.aclose)
        app = AppContext(
            settings=settings, redis=main, blocking_redis=blocking, broker=broker, gateway=gateway,
            wake=wake or dispatcher.wake, shutdown=shutdown or ShutdownSignal(), clock=clock,
            worker_id=worker_id or make_worker_id(), dispatcher=dispatcher,
        )  # fmt: skip
        stack.push_async_callback(app.directory_refresher.stop)
        yield app

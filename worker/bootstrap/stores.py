"""The stores of a process. Commands that only read open them without the pipeline, whose import takes longer."""

import os
import resource
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from config.settings import Settings
from worker.bootstrap.redis_urls import connect_redis, redis_addresses
from worker.store.dead_letters import DeadLetters, FlowerQueue
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

WORKSPACE_BURST_SHARE = 0.05
RATE_MARGIN = 1.02  # posts that leave a second apart may arrive a little closer


def disable_core_dumps() -> None:
    """Disable core dumps, which would contain decrypted tokens, for this process and its children."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard_limit))


def make_worker_id() -> str:
    """Return a new identity of this process."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


@dataclass(kw_only=True, eq=False)
class Stores:
    """Everything that is stored in Redis, for one event loop; `open_stores` builds it and closes its connections."""

    settings: Settings
    redis: RedisClient  #: Redis, where everything but Celery's messages is stored.
    blocking_redis: RedisClient  #: For blocking commands, which have no time-out.
    broker: RedisClient  #: The Redis of Celery's messages; the same server unless BROKER_URL is set.
    worker_id: str  #: Identity of this process in locks, heartbeats and the stream's consumer group.

    def __post_init__(self) -> None:
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


@asynccontextmanager
async def open_redis_clients(
    settings: Settings, *, redis: Client | None = None, timeout_s: float = BATCH_TIMEOUT_S
) -> AsyncIterator[tuple[RedisClient, RedisClient, RedisClient]]:
    """Open the clients of Redis, of its blocking commands and of the broker, all on `redis` if it is given."""
    disable_core_dumps()
    redis_url, broker_url = redis_addresses(settings)
    async with AsyncExitStack() as stack:

        def open_client(url: str, *, waits: bool = False) -> RedisClient:
            client = redis if redis is not None else connect_redis(url, waits=waits)
            opened = RedisClient(client, Keys(settings.key_prefix), timeout_s=timeout_s)
            stack.push_async_callback(opened.aclose)
            return opened

        yield open_client(redis_url), open_client(redis_url, waits=True), open_client(broker_url)


@asynccontextmanager
async def open_stores(settings: Settings, *, timeout_s: float = BATCH_TIMEOUT_S) -> AsyncIterator[Stores]:
    """Build the stores inside the event loop that uses them, and close their connections at the end."""
    async with open_redis_clients(settings, timeout_s=timeout_s) as (redis, blocking_redis, broker):
        yield Stores(
            settings=settings, redis=redis, blocking_redis=blocking_redis, broker=broker, worker_id=make_worker_id()
        )

"""The whole pipeline on fake Redis and FakeSlack, with a manual clock and failures on demand."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import fakeredis
import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.exceptions import ConnectionError as Disconnected

from config.settings import Settings
from support.fake_slack import FakeSlack
from worker.bootstrap.context import AppContext, open_context
from worker.domain.delivery import Delivery
from worker.domain.errors import RetryLater, SlackError
from worker.domain.integration import Integration, Secret
from worker.domain.subscription import Subscription
from worker.pipeline.delivery.session import DeliveryDeps, DrainResult, drain
from worker.pipeline.gateway import Gateway
from worker.pipeline.integration_setup import add_integration
from worker.store.dead_letters import DeadLetter
from worker.store.lanes import LaneStatus
from worker.store.ledger import Balance, take_ledger_snapshot
from worker.store.pagination import DeliveryFilter, take_rows
from worker.store.token_cipher import generate_key

KEY = generate_key()
OTHER_KEY = generate_key()
START_S = 1_786_400_000.0


async def ingest_stream(app: AppContext) -> None:
    """Ingest every event in the stream."""
    await app.stream.create_group()
    while entries := await app.stream.read(limit=500, wait_ms=1):
        await app.ingest.process(entries)


async def drain_all(app: AppContext, *, budget_s: float = 5.0) -> None:
    """Drain every lane that has pending deliveries."""
    lanes = (await take_ledger_snapshot(app.redis)).lanes
    deps = replace(app.delivery, budget_s=budget_s)
    await asyncio.gather(*(drain(lane.lane, deps) for lane in lanes))


class ManualClock:
    """A clock that a test moves; sleeping moves it, so nothing waits."""

    def __init__(self) -> None:
        self.now_s = START_S
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += max(seconds, 0.0)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextlib.contextmanager
def server_clock(hand: ManualClock) -> Any:
    """Make the fake Redis use the manual clock."""
    patch = pytest.MonkeyPatch()
    for name, module in list(sys.modules.items()):
        if name.startswith(fakeredis.__name__) and getattr(module, "time", None) is time:
            patch.setattr(module, "time", hand)
    try:
        yield
    finally:
        patch.undo()


@dataclass
class RedisFailures:
    """The round trips to Redis that fail, counted from now; with `reply_lost` the commands were executed."""

    fails: range = range(0)
    reply_lost: bool = False
    app: int = 0

    def fail(self, at: int, times: int = 1, *, reply_lost: bool = False) -> None:
        """Fail `times` round trips, beginning with the `at`-th from now (from 1)."""
        self.app, self.fails, self.reply_lost = 0, range(at, at + times), reply_lost

    def heal(self) -> None:
        self.fails = range(0)


class FragileRedis(FakeAsyncRedis):
    """A client whose round trips fail as `luck` says."""

    luck: RedisFailures

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        pipeline = super().pipeline(transaction, shard_hint)
        execute = pipeline.execute

        async def fragile(raise_on_error: bool = True) -> list[Any]:
            self.luck.app += 1
            away = self.luck.app in self.luck.fails
            if away and not self.luck.reply_lost:
                raise Disconnected("the server is away")
            answers = await execute(raise_on_error)
            if away:
                raise Disconnected("the reply was lost")
            return answers

        pipeline.execute = fragile
        return pipeline


@dataclass
class Pipeline:
    """The application context on fakes, and the actions of a test."""

    app: AppContext
    slack: FakeSlack
    hand: ManualClock
    luck: RedisFailures
    awake: list[str]
    redis: FragileRedis
    stopped: list[bool] = field(default_factory=list)
    integration: Integration | None = None
    _published: int = 0

    @property
    def deps(self) -> DeliveryDeps:
        return replace(
            self.app.delivery,
            sleep=self.hand.sleep,
            clock=self.hand.monotonic,
            is_stopping=lambda: bool(self.stopped),
        )

    async def connect(self, name: str = "acme", token: str = "xoxb-1") -> Integration:
        self.integration = await add_integration(self.app.integrations, self.app.gateway, name, Secret(token))
        return self.integration

    async def subscribe(
        self, destination: str = "#ops", id_: str = "", integration: str = "acme", **more: Any
    ) -> Subscription:
        one = Subscription(id_ or f"sub-{destination}", integration, destination, **more)
        await self.app.subscriptions.save_and_remove(save=[one])
        return one

    async def publish(self, *bodies: dict[str, Any] | bytes) -> list[str]:
        """Add entries to the stream, as producers do, and return their ids."""
        stream = self.app.stream.stream
        found = []
        for body in bodies:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            found.append((await self.redis.xadd(stream, {"event": raw})).decode())
        return found

    async def ingest(self) -> None:
        """Ingest everything that is in the stream."""
        stream = self.app.stream
        await stream.create_group()
        while entries := await stream.read_unfinished(limit=100):
            await self.app.ingest.process(entries)
        while entries := await self._read():
            await self.app.ingest.process(entries)

    async def _read(self) -> Sequence[Any]:
        stream = self.app.stream
        answer = await self.redis.xreadgroup(stream.group, stream.consumer, {stream.stream: ">"}, count=100)
        return [_entry(id_, pairs) for _, entries in answer for id_, pairs in entries]

    async def deliver(self, *bodies: dict[str, Any], lane: str = "acme/#ops", **changes: Any) -> DrainResult:
        """Publish, ingest and drain."""
        await self.publish(*bodies)
        await self.ingest()
        return await self.drain(lane, **changes)

    async def drain(self, lane: str = "acme/#ops", **changes: Any) -> DrainResult:
        return await drain(lane, replace(self.deps, **changes))

    async def balance(self) -> Balance:
        balance = (await take_ledger_snapshot(self.app.redis)).balance
        assert balance.unaccounted == 0
        return balance

    async def deliveries(self) -> list[Delivery]:
        """Return all deliveries, the oldest first."""
        return (await take_rows(partial(self.app.deliveries.page, DeliveryFilter())))[::-1]

    async def attempts(self) -> list[tuple[str, str]]:
        """Return outcome and code of every attempt of the oldest delivery."""
        oldest = (await self.deliveries())[0]
        return [(call.outcome.value, call.code) for call in await self.app.deliveries.list_attempts(oldest)]

    async def dead(self) -> list[DeadLetter]:
        return await self.app.dead_letters.list_all()

    async def note(self, lane: str = "acme/#ops") -> LaneStatus:
        return await self.app.lanes.get_status(lane)

    async def due_in_s(self, lane: str = "acme/#ops") -> float | None:
        """Return the seconds until the lane is due; None when it is not scheduled."""
        at = await self.redis.zscore("ik:due", lane)
        return None if at is None else at / 1000 - self.hand.now_s

    def pass_time(self, seconds: float) -> None:
        self.hand.now_s += seconds


def _entry(id_: bytes, pairs: dict[bytes, bytes]) -> Any:
    from worker.store.stream import StreamEntry

    return StreamEntry(id_.decode(), pairs)


def settings(**changes: Any) -> Settings:
    base: dict[str, Any] = {"redis_url": "redis://nowhere:1/0", "encryption_key": KEY}
    return Settings.model_validate({**base, **changes})


@contextlib.asynccontextmanager
async def open_pipeline(
    gateway: Gateway | None = None, hand: ManualClock | None = None, server: FakeServer | None = None, **changes: Any
) -> AsyncIterator[Pipeline]:
    """Open a pipeline, on FakeSlack unless a `gateway` is given; `changes` are of settings."""
    hand, luck, awake = hand or ManualClock(), RedisFailures(), []
    redis = FragileRedis(server=server or FakeServer(), protocol=2)
    redis.luck = luck
    slack = FakeSlack()
    slack.add_channel("C0000001", "ops")

    async def wake(lanes: Sequence[str]) -> None:
        awake.extend(lanes)

    with server_clock(hand):
        async with open_context(
            settings(**changes), redis=redis, gateway=gateway or slack, wake=wake, clock=hand.monotonic
        ) as app:
            app.resolver.sleep = app.directory_refresher.sleep = app.delivery.outcomes.sleep = hand.sleep
            app.ingest.sleep = app.sweeper.sleep = hand.sleep
            yield Pipeline(app, slack, hand, luck, awake, redis)


async def deliver_paced(pipeline: Pipeline, *bodies: dict[str, Any], **changes: Any) -> DrainResult:
    """Deliver events after a pause that satisfies the rate limit, and check the balance."""
    pipeline.pass_time(2)
    done = await pipeline.deliver(*bodies, **changes)
    await pipeline.balance()
    return done


async def refresh_directory(pipeline: Pipeline, **more: Any) -> int:
    """Refresh the directory and return the number of pages."""
    assert pipeline.integration is not None
    return await pipeline.app.directory_refresher.refresh(pipeline.integration, Secret("xoxb-1"), **more)


async def error_of(what: Awaitable[Any]) -> SlackError | RetryLater:
    """Return the error that a call raises."""
    with pytest.raises((SlackError, RetryLater)) as caught:
        await what
    return caught.value

"""The whole pipeline on a small Redis and a small Slack, clock and luck in the hand."""

import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import fakeredis
import pytest
from fake_slack import FakeSlack
from fakeredis import FakeAsyncRedis, FakeServer
from redis.exceptions import ConnectionError as Disconnected

from config.settings import Settings
from worker.bootstrap import Services, services
from worker.domain.delivery import Delivery
from worker.domain.errors import NotYet, Refusal
from worker.domain.integration import Integration, Secret
from worker.domain.subscription import Subscription
from worker.pipeline.connect import add_integration
from worker.pipeline.drain import Drained, drain
from worker.pipeline.gateway import Gateway
from worker.pipeline.telling import Tools
from worker.store.dead_letters import DeadLetter
from worker.store.ledger import Balance, take_census
from worker.store.vault import generate_key

KEY = generate_key()
OTHER_KEY = generate_key()
START_S = 1_700_000_000.0


class Hand:
    """A clock that moves when told; sleeping moves it, so nothing waits.."""

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
def server_clock(hand: Hand) -> Any:
    """The embedded server's time is the hand's."""
    patch = pytest.MonkeyPatch()
    for name, module in list(sys.modules.items()):
        if name.startswith(fakeredis.__name__) and getattr(module, "time", None) is time:
            patch.setattr(module, "time", hand)
    try:
        yield
    finally:
        patch.undo()


@dataclass
class Luck:
    """When Redis is away: round trips counted from now; with `reply_lost` they did their work."""

    fails: range = range(0)
    reply_lost: bool = False
    made: int = 0

    def fail(self, at: int, times: int = 1, *, reply_lost: bool = False) -> None:
        """The `at`-th round trip from now (from 1), and so many of them."""
        self.made, self.fails, self.reply_lost = 0, range(at, at + times), reply_lost

    def heal(self) -> None:
        self.fails = range(0)


class FragileRedis(FakeAsyncRedis):
    """A client whose round trips fail as its luck says."""

    luck: Luck

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        pipeline = super().pipeline(transaction, shard_hint)
        execute = pipeline.execute

        async def fragile(raise_on_error: bool = True) -> list[Any]:
            self.luck.made += 1
            away = self.luck.made in self.luck.fails
            if away and not self.luck.reply_lost:
                raise Disconnected("the server is away")
            answers = await execute(raise_on_error)
            if away:
                raise Disconnected("the reply was lost")
            return answers

        pipeline.execute = fragile
        return pipeline


@dataclass
class House:
    """Everything, and the words tests are told in."""

    made: Services
    slack: FakeSlack
    hand: Hand
    luck: Luck
    awake: list[str]
    redis: FragileRedis
    stopped: list[bool] = field(default_factory=list)
    integration: Integration | None = None
    _published: int = 0

    @property
    def tools(self) -> Tools:
        return replace(
            self.made.drain,
            sleep=self.hand.sleep,
            clock=self.hand.monotonic,
            stopping=lambda: bool(self.stopped),
        )

    async def connect(self, name: str = "acme", token: str = "xoxb-1") -> Integration:
        self.integration = await add_integration(
            self.made.integrations, self.made.gateway, name, Secret(token)
        )
        return self.integration

    async def subscribe(
        self, destination: str = "#ops", id_: str = "", integration: str = "acme", **more: Any
    ) -> Subscription:
        one = Subscription(id_ or f"sub-{destination}", integration, destination, **more)
        await self.made.subscriptions.change(save=[one])
        return one

    async def publish(self, *bodies: dict[str, Any] | bytes) -> list[str]:
        """Entries of the stream, as producers add them; their ids."""
        stream = self.made.stream.stream
        found = []
        for body in bodies:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            found.append((await self.redis.xadd(stream, {"event": raw})).decode())
        return found

    async def ingest(self) -> None:
        """Everything that is in the stream by now."""
        stream = self.made.stream
        await stream.join()
        while entries := await stream.unfinished(most=100):
            await self.made.ingest.accept(entries)
        while entries := await self._read():
            await self.made.ingest.accept(entries)

    async def _read(self) -> Sequence[Any]:
        stream = self.made.stream
        answer = await self.redis.xreadgroup(stream.group, stream.consumer, {stream.stream: ">"}, count=100)
        return [_entry(id_, pairs) for _, entries in answer for id_, pairs in entries]

    async def tell(self, *bodies: dict[str, Any], lane: str = "acme/#ops", **changes: Any) -> Drained:
        """Publish, ingest and drain."""
        await self.publish(*bodies)
        await self.ingest()
        return await self.drain(lane, **changes)

    async def drain(self, lane: str = "acme/#ops", **changes: Any) -> Drained:
        return await drain(lane, replace(self.tools, **changes))

    async def balance(self) -> Balance:
        balance, _ = await take_census(self.made.server)
        assert balance.unaccounted == 0
        return balance

    async def deliveries(self) -> list[Delivery]:
        """Oldest first."""
        return [one async for one in self.made.deliveries.newest()][::-1]

    async def attempts(self) -> list[tuple[str, str]]:
        """Outcome and code of every call that told the oldest delivery."""
        oldest = (await self.deliveries())[0]
        return [(call.outcome.value, call.code) for call in await self.made.deliveries.attempts(oldest)]

    async def dead(self) -> list[DeadLetter]:
        return await self.made.dead_letters.all()

    async def note(self, lane: str = "acme/#ops") -> dict[str, str]:
        return await self.made.upkeep.lane_note(lane)

    async def due_in_s(self, lane: str = "acme/#ops") -> float | None:
        """How long until someone should look at the lane; None when nobody should."""
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
async def house(
    gateway: Gateway | None = None, hand: Hand | None = None, server: FakeServer | None = None, **changes: Any
) -> AsyncIterator[House]:
    """A house; the small Slack unless a `gateway` is given; `changes` are of settings."""
    hand, luck, awake = hand or Hand(), Luck(), []
    redis = FragileRedis(server=server or FakeServer(), protocol=2)
    redis.luck = luck
    slack = FakeSlack()
    slack.add_channel("C0000001", "ops")

    async def wake(lanes: Sequence[str]) -> None:
        awake.extend(lanes)

    with server_clock(hand):
        async with services(
            settings(**changes), redis=redis, gateway=gateway or slack, wake=wake, clock=hand.monotonic
        ) as made:
            made.resolver.sleep = made.reader.sleep = made.drain.recorder.sleep = hand.sleep
            made.ingest.sleep = made.sweep.sleep = hand.sleep
            yield House(made, slack, hand, luck, awake, redis)


_ids = iter(range(1, 10**9))


def alert(
    name: str = "disk full", *, id_: str = "", severity: str = "critical", what: str = "firing", **data: Any
) -> dict[str, Any]:
    """An alert as InfraKitchen publishes it."""
    return cloud_event(f"alert.{what}", id_, {"name": name, "severity": severity, **data})


def workflow(run: str = "17", what: str = "started", *, id_: str = "", **data: Any) -> dict[str, Any]:
    """A workflow's event."""
    return cloud_event(f"workflow.{what}", id_, {"workflow_id": run, "name": "deploy", **data})


def cloud_event(what: str, id_: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = id_ or f"event-{next(_ids)}"
    return {
        "specversion": "1.0",
        "id": named,
        "source": "/ik",
        "type": f"io.infrakitchen.{what}",
        "data": data,
        **more,
    }


async def told(house: House, *bodies: dict[str, Any], **changes: Any) -> Drained:
    """They are told, each lane's time being enough; the balance holds."""
    house.pass_time(2)
    done = await house.tell(*bodies, **changes)
    await house.balance()
    return done


async def read(house: House, **more: Any) -> int:
    """The workspace's channels, by this worker: how many pages."""
    assert house.integration is not None
    return await house.made.reader.read(house.integration, Secret("xoxb-1"), **more)


async def ended(what: Awaitable[Any]) -> Refusal | NotYet:
    """What was raised instead of an answer."""
    with pytest.raises((Refusal, NotYet)) as caught:
        await what
    return caught.value

"""The bridge is killed at any step: each message is in the stream once, also where two have the same bytes."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest
from support.broker import Broker, Crash, Message, Steps, StepwiseStore
from support.infrakitchen import resource
from support.store import STREAM, World

from worker.bridge.consumer import Bridge
from worker.bridge.translator import translate
from worker.store.installation import InstallationMarker
from worker.store.redis_client import Client, texts

BODIES = {name: resource("provision", "queued", name=name) for name in "ABCDEF"}


@pytest.fixture
def world(real: Client) -> World:
    """Every store on a real server, which is faster."""
    return World(real)


class Run:
    """A bridge and its queue; `seconds` pass from one batch to the next."""

    def __init__(self, world: World, parts: Sequence[str], *, seconds: float) -> None:
        self.world = world
        self.published = Counter("".join(parts))
        self.broker = Broker([[BODIES[name] for name in part] for part in parts])
        self.now_s, self.seconds = 0.0, seconds

    def clock(self) -> float:
        self.now_s += self.seconds
        return self.now_s

    async def start(self, crash_at: int = 0) -> bool:
        """Run a bridge until the queue is empty or it is killed; return whether it was killed."""
        broker = self.broker
        broker.steps, broker.stop = Steps(crash_at), asyncio.Event()
        store = StepwiseStore(self.world.server, stream=STREAM, retention_s=604_800)
        store.broker = broker
        bridge = Bridge(
            url="", store=store, installation=InstallationMarker(self.world.server), processes=self.world.processes,
            worker_id="one", stop=broker.stop, clock=self.clock, connect=broker.connect,
        )  # fmt: skip
        try:
            await bridge.run()
        except Crash:
            return True
        return False

    async def taken(self) -> Counter[str]:
        entries = await self.world.redis.xrange(STREAM)
        return Counter(json.loads(fields[b"event"])["data"]["name"] for _, fields in entries)

    async def is_ambiguous(self) -> bool:
        """Return whether the first message that was not taken has the bytes of one that RabbitMQ may have kept."""
        unacked = self.broker.unacked
        kept = Counter(texts(await self.world.redis.lrange(self.world.keys.bridge("order"), 0, -1)))
        kept.subtract(_hash(message) for message in unacked if message.is_taken)
        first = next((message for message in unacked if not message.is_taken), None)
        return first is not None and kept[_hash(first)] > 0


def _hash(message: Message) -> str:
    translated = translate(message.body)
    assert translated
    return translated.body_hash


async def kill_everywhere(
    world: World, parts: Sequence[str], *, seconds: float = 1.0, again_at: int = 0, rabbitmq_too: bool = False
) -> AsyncIterator[tuple[bool, Counter[str], Counter[str]]]:
    """Kill a bridge at each of its steps, the next one at step `again_at`, and let a third one finish.

    Yields whether the first kill was ambiguous, what was published, and what was taken.
    """
    for crash_at in range(1, 1000):
        await world.redis.flushdb()
        run = Run(world, parts, seconds=seconds)
        if not await run.start(crash_at):
            return
        is_ambiguous = await run.is_ambiguous()
        run.broker.requeue(is_killed=rabbitmq_too)
        if await run.start(again_at):
            run.broker.requeue(is_killed=rabbitmq_too)
            assert not await run.start()
        yield is_ambiguous, run.published, await run.taken()


@pytest.mark.parametrize("seconds", [0.0, 1.0])
@pytest.mark.parametrize("again_at", [0, 5])
@pytest.mark.parametrize("rabbitmq_too", [False, True])
async def test_each_message_is_taken_once_wherever_the_bridge_is_killed(
    world: World, seconds: float, again_at: int, rabbitmq_too: bool
):
    parts = ["AB", "C", "DE", "F"]
    runs = kill_everywhere(world, parts, seconds=seconds, again_at=again_at, rabbitmq_too=rabbitmq_too)
    assert [taken async for _, published, taken in runs if taken != published] == []


async def test_messages_with_the_bytes_of_one_taken_seconds_before_are_all_taken(world: World):
    results = [(published, taken) async for _, published, taken in kill_everywhere(world, ["A", "B", "C", "AA", "B"])]
    assert len(results) > 20
    assert [taken for published, taken in results if taken != published] == []


@pytest.mark.parametrize("parts", [["A", "A"], ["AA", "A", "AA"], ["AB", "A", "B"], ["A", "BA", "A"]])
async def test_only_a_message_with_the_bytes_of_one_that_rabbitmq_may_have_kept_is_a_repeat(
    world: World, parts: Sequence[str]
):
    results = [result async for result in kill_everywhere(world, parts, seconds=0.0)]
    assert [taken for is_ambiguous, published, taken in results if taken != published and not is_ambiguous] == []
    assert [taken for _, published, taken in results if taken - published] == []

"""A load of InfraKitchen's messages, kills of the bridge and of RabbitMQ, and the check of every message."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import aio_pika

from support.infrakitchen import SAMPLES, entity, resource, secret_values, task
from support.installation import STREAM, Installation, Program, until
from support.pausing_bridge import PAUSED
from support.rabbitmq import RabbitServer, publish, queue_figures
from worker.store.events import decompress

WATCHER = "test"  # a group that reads nothing, so that the stream keeps every entry
BRIDGE = ("ik-slack", "bridge")
PAUSING_BRIDGE = ("python", "-m", "support.pausing_bridge", "bridge")


@dataclass(frozen=True, slots=True)
class Load:
    """Messages, and what must be in the stream once for each: a text that only its event has."""

    bodies: list[bytes]
    marks: list[str]


def make_load(count: int) -> Load:
    """Make messages of many entities: states, failures with their reason before or after, and reasons alone."""
    bodies: list[bytes] = []
    marks: list[str] = []
    for number in range(count // 2):
        id_, mark = f"id-{number:05}", f"mark-{number:05}."
        failure = resource("provision", "error", id=id_, name=f"db-{number:05}")
        reason = task("failed", reason=f"UnhandledException: {mark}", id_=id_)
        match number % 4:
            case 0:
                bodies += (
                    resource("provision", "in_progress", id=id_, name=mark),
                    task("succeeded", id_=f"other-{mark}"),
                )
                marks.append(f"other-{mark}")
            case 1:
                bodies += failure, reason
            case 2:
                bodies += reason, failure
            case _:
                bodies += reason, entity("b02", id=f"other-{mark}")
                marks.append(f"other-{mark}")
        marks.append(f'"{mark}' if number % 4 == 0 else f": {mark}" if number % 4 == 3 else f'"{mark}')
    return Load(bodies, marks)


def start_bridge(installation: Installation, server: RabbitServer, **more: str) -> Program:
    return installation.start("bridge", BRIDGE, **{"AMQP_URL": server.url, **more})


async def bridge_reads(server: RabbitServer) -> None:
    """Wait until the queue has a consumer."""

    async def has_consumer() -> bool:
        with suppress(OSError, aio_pika.exceptions.AMQPException):
            return bool((await queue_figures(server.url)).consumer_count)
        return False

    await until(has_consumer, "the bridge reads the queue", most_s=60)


async def keep_stream(installation: Installation) -> None:
    """Let the stream keep every entry."""
    await installation.redis.xgroup_create(STREAM, WATCHER, "0", mkstream=True)


async def stream_events(installation: Installation) -> list[dict[str, Any]]:
    return [json.loads(fields[b"event"]) for _, fields in await installation.redis.xrange(STREAM)]


async def run_with_kills(
    installation: Installation, server: RabbitServer, load: Load, *, seed: int, bridge_kills: int, server_kills: int
) -> None:
    """Publish the load in parts while the bridge and RabbitMQ are killed; wait until all is in the stream.

    Most kills fall between a write to Redis and its acknowledgement, the others at any time.
    """
    chance = Random(seed)
    kills = [*["bridge"] * bridge_kills, *["server"] * server_kills]
    chance.shuffle(kills)
    size = -(-len(load.bodies) // (len(kills) + 1))
    for number, kill in enumerate(kills):
        pause_s = 60 if kill == "bridge" else 3
        at = chance.choice((0, 1, 2, 3))
        bridge = _start_pausing_bridge(installation, server, at=at, pause_s=pause_s)
        await bridge_reads(server)
        publishing = asyncio.create_task(_publish_in_parts(server, load.bodies[number * size : (number + 1) * size]))
        if at:
            await until(lambda bridge=bridge: PAUSED in bridge.log, "the bridge has written a batch", most_s=60)
        else:
            await asyncio.sleep(chance.uniform(0, 0.4))
        if at or kill == "server":
            await publishing
        if kill == "server":
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await until(lambda bridge=bridge: bridge.lines("RabbitMQ does not answer"), "the bridge lost RabbitMQ")
            await bridge_reads(server)
        await bridge.kill()
        await publishing
    bridge = start_bridge(installation, server)
    await bridge_reads(server)
    await publish(server.url, load.bodies[len(kills) * size :])
    await until(lambda: _all_there(installation, load), "every message is in the stream", most_s=60)
    assert await bridge.stop() == 0


def _start_pausing_bridge(installation: Installation, server: RabbitServer, *, at: int, pause_s: float) -> Program:
    pause = {"PAUSE_AT": str(at), "PAUSE_S": str(pause_s), "PYTHONPATH": str(Path(__file__).parents[1])}
    return installation.start("bridge", PAUSING_BRIDGE, AMQP_URL=server.url, **pause)


async def _publish_in_parts(server: RabbitServer, bodies: list[bytes]) -> None:
    """Publish in three parts: a bridge that is slow enough reads more than one batch."""
    size = -(-len(bodies) // 3)
    for start in range(0, len(bodies), size):
        await publish(server.url, bodies[start : start + size])


async def _all_there(installation: Installation, load: Load) -> bool:
    return not missing(await stream_events(installation), load)


def missing(events: Iterable[dict[str, Any]], load: Load) -> set[str]:
    return set(load.marks) - set(_count(events, load))


def _count(events: Iterable[dict[str, Any]], load: Load) -> Counter[str]:
    text = [json.dumps(event) for event in events]
    joined = "\n".join(text)
    return Counter({mark: count for mark in load.marks if (count := joined.count(mark))})


async def assert_each_taken_once(installation: Installation, load: Load) -> None:
    """Assert that each mark is in one event, and that ingest has accounted for every entry of the stream."""
    events = await stream_events(installation)
    counts = _count(events, load)
    assert {mark: counts[mark] for mark in load.marks if counts[mark] != 1} == {}
    entries = len(events)

    async def balanced() -> bool:
        balance = await installation.balance()
        return balance.accepted + balance.repeats_ignored + balance.rejected == entries and not balance.unaccounted

    await until(balanced, "the ledger balances", told=lambda: entries)
    balance = await installation.balance()
    assert (balance.rejected, balance.repeats_ignored, balance.lost) == (0, 0, 0)


def all_samples() -> list[bytes]:
    return [path.read_bytes() for folder in ("entities", "notifications") for path in (SAMPLES / folder).glob("*.json")]


async def assert_no_secret(installation: Installation) -> None:
    """Assert that no secret of the samples is in Redis, its file, a log or a message."""
    places: dict[str, bytes] = {program.name: program.log.encode() for program in installation.programs}
    places["slack"] = json.dumps([installation.messages(name) for name in ("ops",)]).encode()
    for path in Path(installation.directory / "redis").rglob("*"):
        if path.is_file() and "appendonly" in str(path):
            places[path.name] = path.read_bytes()
    redis = installation.redis
    async for key in redis.scan_iter("ik:*"):
        if await redis.type(key) == b"hash":
            for value in (await redis.hgetall(key)).values():
                places[key.decode()] = places.get(key.decode(), b"") + (
                    decompress(value) if value[:1] in b"zj" else value
                )
    places["stream"] = json.dumps(await stream_events(installation)).encode()
    assert "appendonly" in "".join(places)
    assert [
        (place, value) for place, text in places.items() for value in secret_values() if value.encode() in text
    ] == []

"""The memory of a pending delivery in Redis."""

import json

from support.store import STREAM, World

from worker.domain.delivery import delivery_id, event_ref
from worker.domain.event import Entity, Event, Kind, Severity
from worker.store.events import AcceptedEvent
from worker.store.lanes import NewDelivery

MANY = 5_000
MOST_BYTES = 2_048


def body(n: int) -> bytes:
    """Return a typical event of about 700 bytes."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"alert-{n}",
            "source": "/infrakitchen/monitoring",
            "type": "io.infrakitchen.alert.firing",
            "time": "2026-01-01T00:00:00Z",
            "data": {
                "name": "HighCpu",
                "fingerprint": f"{n:016x}",
                "severity": "critical",
                "summary": f"CPU of node-{n} above 95 % for ten minutes",
                "description": "The node has been busy for longer than its neighbours. " * 5,
                "labels": {"cluster": "prod-eu-1", "node": f"node-{n}", "team": "platform"},
                "entity": {"type": "resource", "id": str(n), "name": f"node-{n}"},
            },
        }
    ).encode()


async def pending(world: World, count: int) -> None:
    for start in range(0, count, 100):
        events = [
            (
                Event(f"alert-{n}", "/infrakitchen/monitoring", "t", Kind.ALERT, f"{n + 1}-1", Entity("", ""),
                      Severity.CRITICAL, ""),
                body(n),
            )
            for n in range(start, start + 100)
        ]  # fmt: skip
        await world.events.save_bodies(events)
        refs = [event_ref(event.source, event.id) for event, _ in events]
        await world.lanes.append(
            "production/#infrastructure-alerts",
            [
                NewDelivery(delivery_id(event.source, event.id, "s1"), ref, "subscription-1", 1_700_000_000_000)
                for (event, _), ref in zip(events, refs, strict=True)
            ],
        )
        await world.events.accept(
            STREAM, "ik-slack", [AcceptedEvent(ref, "1-1", Kind.ALERT, is_repeat=False) for ref in refs]
        )


async def test_a_pending_delivery_takes_less_than_two_kilobytes(real):
    world = World(real)
    await pending(world, 100)  # what is there once: scripts, indexes
    before = int((await world.redis.info("memory"))["used_memory"])
    await real.flushdb()
    await pending(world, MANY)
    after = int((await world.redis.info("memory"))["used_memory"])
    each = (after - before) / (MANY - 100)
    print(f"{each:.0f} bytes of Redis per pending delivery; its event has {len(body(1234))} bytes")
    assert 650 <= len(body(1234)) <= 850
    assert each <= MOST_BYTES
    await world.check()
    await real.flushdb()

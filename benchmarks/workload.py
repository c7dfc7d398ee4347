"""The workload of the benchmarks: alerts, subscriptions, and lanes full of deliveries."""

from typing import Any

from worker.bootstrap.context import AppContext
from worker.domain.integration import Integration, Secret
from worker.domain.subscription import Filters, Subscription
from worker.publish import encode
from worker.store.redis_client import RedisClient

BATCH = 500


def alert(number: int, project: str = "payments") -> dict[str, Any]:
    """Return an alert of about 600 bytes, with a fingerprint of its own."""
    return {
        "specversion": "1.0", "id": f"bench-{number}", "source": "bench",
        "type": "io.infrakitchen.alert.firing",
        "data": {
            "name": f"HighCPU on node-{number}", "fingerprint": f"f{number:016x}", "severity": "critical",
            "summary": "CPU has been above 95 % for ten minutes", "project": project,
            "labels": {"team": "platform", "region": "eu-central-1", "node": f"node-{number}"},
            "starts_at": "2026-11-24T03:12:45Z", "generator_url": f"https://metrics.example.com/graph?g0.expr=cpu{number}",
        },
    }  # fmt: skip


def project_alert(number: int, lanes: int) -> dict[str, Any]:
    """Return an alert of the project of one of the lanes."""
    return alert(number, project=f"p{number % lanes}")


async def subscribe_nodes(app: AppContext, integration_id: str, nodes: int) -> None:
    """Add a subscription and channel for each node that `alert` names."""
    subscriptions = [
        Subscription(f"s{number}", integration_id, f"#c{number}", Filters(labels=(f"node=node-{number}",)))
        for number in range(nodes)
    ]
    await app.subscriptions.save_and_remove(save=subscriptions)


async def subscribe_projects(app: AppContext, lanes: int) -> list[str]:
    """Add an integration and a subscription per project; return the lanes."""
    await app.integrations.save(Integration("bench", "bench"), Secret("xoxb-bench"))
    subscriptions = [
        Subscription(f"sub-{number:08d}", "bench", f"#channel-{number}", Filters(projects=(f"p{number}",)))
        for number in range(lanes)
    ]
    await app.subscriptions.save_and_remove(save=subscriptions)
    await app.stream.create_group()
    return [subscription.lane for subscription in subscriptions]


async def fill_lanes(app: AppContext, events: int, lanes: int) -> int:
    """Publish and ingest alerts of all projects; return the bytes of the events."""
    size = 0
    for start in range(0, events, BATCH):
        bodies = [encode(project_alert(number, lanes)) for number in range(start, min(start + BATCH, events))]
        size += sum(map(len, bodies))
        await publish(app, bodies)
        await ingest(app)
        await app.stream.trim()
    return size


async def publish(app: AppContext, bodies: list[bytes]) -> None:
    """Add events to the stream."""
    await app.redis.pipeline([("XADD", app.settings.events_stream, "*", "event", body) for body in bodies])


async def ingest(app: AppContext) -> None:
    """Ingest every event in the stream."""
    while entries := await app.stream.read(limit=BATCH, wait_ms=1):
        await app.ingest.process(entries)


async def used_memory(redis: RedisClient) -> int:
    """Return the bytes of data in Redis."""
    info = await redis.command("INFO", "memory")
    return int(info["used_memory"])

"""Metrics over HTTP say exactly what happened, and hold no secret and no name."""

import asyncio
import json

import pytest
from aiohttp import ClientError, ClientSession
from prometheus_client.parser import text_string_to_metric_families
from support.events import numbered_alert, own_notification
from support.installation import Installation, Program, until

from worker.local_machine import free_port

POST = "chat.postMessage"


async def get(port: int, path: str) -> tuple[int, str]:
    try:
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, await answer.text()
    except ClientError:
        return 0, ""


async def metrics(port: int) -> dict[str, float]:
    """Samples by name and labels; of those with labels only what is not 0."""
    _, body = await get(port, "/metrics")
    return {
        " ".join([sample.name.removeprefix("ikslack_"), *sorted(sample.labels.values())]): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
        if not sample.name.endswith("_bucket") and (sample.value or not sample.labels)
    }


async def served(installation: Installation) -> tuple[Program, int]:
    port = free_port()
    web = installation.start("web", ("ik-slack", "web"), WEB_PORT=str(port))
    await until(lambda: _lives(port), "the web process lives")
    return web, port


async def _lives(port: int) -> bool:
    return await get(port, "/healthz") == (200, '{"status":"ok"}')


async def _parked(installation: Installation) -> bool:
    return await installation.app.integrations.get_parked_code("acme") == "token_revoked"


@pytest.mark.thorough
@pytest.mark.slow
async def test_metrics_count_deliveries_throttled_calls_and_parked_integrations(
    fast: Installation,
):
    web, port = await served(fast)
    assert (await get(port, "/readyz"))[0] == 503
    fast.workspace.add_channel("ops")
    await fast.connect("#ops", rules=[{"destination": "#ops", "kind": "workflow"}])
    ingest, worker = fast.ingest(), fast.worker()
    await fast.running(ingest, worker)
    assert await get(port, "/readyz") == (200, '{"ready":true,"missing":{}}')

    await fast.publish(numbered_alert(1))
    await fast.settled(1)
    fast.sandbox.fault("ratelimited", retry_after=1)
    await fast.publish(numbered_alert(2))
    await fast.settled(2)
    await fast.publish(own_notification(3), b"{", numbered_alert(4, "elsewhere"), numbered_alert(1))
    await fast.settled(3)
    fast.workspace.revoke(fast.workspace.token)
    await fast.publish(numbered_alert(5))
    await until(lambda: _parked(fast), "the integration parks")
    await worker.stop()  # what it counted is written down, and nothing changes any more

    expected = {
        "events_accepted_total alert": 4, "events_accepted_total workflow": 1,
        "events_rejected_total unreadable": 1,
        "events_lost_total": 0, "deliveries_total delivered": 3,
        f"attempts_total {POST} ok": 3, f"attempts_total {POST} ratelimited": 1,
        f"attempts_total {POST} token_revoked": 1, f"throttled_total {POST}": 1,
        "parkings_total integration token_revoked": 1,
        "event_to_post_seconds_count": 3, "post_seconds_count": 5, "pace_wait_seconds_count": 5,
        "lane_pending": 0, "lanes_parked token_revoked": 1, "dead_letters unreadable": 1,
        "alive ingest": 1, "stream_lag": 0, "unaccounted": 0,
    }  # fmt: skip

    async def as_expected() -> bool:
        found = await metrics(port)
        return {name: count for name, count in found.items() if not name.endswith("_sum")} == expected

    await until(as_expected, "the metrics say it", most_s=10, told=lambda: json.dumps(expected))
    found = await metrics(port)
    assert 1 < found["event_to_post_seconds_sum"] < 60
    assert 0 < found["post_seconds_sum"] < 30
    _, body = await get(port, "/metrics")
    for secret in ("xox", fast.workspace.token.partition("-")[2], "ops", "acme", "elsewhere"):
        assert secret not in body
    assert (await get(port, "/readyz"))[0] == 503
    assert await web.stop(most_s=10) == 0
    link, *lines = web.log.splitlines()
    assert "/login?key=" in link
    assert [json.loads(line)["message"] for line in lines] == ["web server listening"]


@pytest.mark.slow
async def test_while_redis_is_away_the_web_process_is_alive_and_not_ready(fast: Installation):
    web, port = await served(fast)
    ingest, worker = fast.ingest(), fast.worker()
    await fast.running(ingest, worker)
    await fast.kill_redis()
    assert (await get(port, "/healthz"))[0] == 200
    status, body = await get(port, "/readyz")
    assert (status, list(json.loads(body)["missing"])) == (503, ["redis"])
    assert (await get(port, "/metrics"))[0] == 503
    await fast.start_redis()

    async def ready() -> bool:
        return (await get(port, "/readyz"))[0] == 200

    await until(ready, "everything is there again")
    assert await asyncio.wait_for(web.stop(most_s=10), 15) == 0
    assert "Traceback" not in web.log

"""Health: alive without Redis; ready when an event published now would be posted."""

from support.web import Web


async def test_the_process_is_alive_without_redis(web: Web) -> None:
    web.redis.connected = False
    assert await web.json("/healthz") == (200, {"status": "ok"})


async def test_without_redis_the_process_is_not_ready(web: Web) -> None:
    web.redis.connected = False
    status, said = await web.json("/readyz")
    assert (status, said["ready"], list(said["missing"])) == (503, False, ["redis"])


async def test_a_new_installation_lacks_the_stream_and_a_worker(web: Web) -> None:
    status, said = await web.json("/readyz")
    assert (status, said["ready"]) == (503, False)
    assert set(said["missing"]) == {"stream", "worker"}
    assert "ik-slack ingest" in said["missing"]["stream"]


async def test_with_the_stream_only_a_worker_is_missing(web: Web) -> None:
    await web.app.stream.create_group()
    status, said = await web.json("/readyz")
    assert (status, list(said["missing"])) == (503, ["worker"])


async def test_with_redis_the_stream_and_a_worker_the_process_is_ready(web: Web) -> None:
    await web.app.stream.create_group()
    await web.app.processes.record_heartbeat("worker", "one")
    assert await web.json("/readyz") == (200, {"ready": True, "missing": {}})


async def test_a_worker_that_ended_is_missing(web: Web) -> None:
    await web.app.stream.create_group()
    await web.app.processes.record_heartbeat("worker", "one")
    await web.app.processes.remove_heartbeat("worker", "one")
    assert (await web.json("/readyz"))[0] == 503

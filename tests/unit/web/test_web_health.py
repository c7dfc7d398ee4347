"""Health: the process lives whatever Redis does; ready means that an event published now is told."""

from web_house import Web


async def test_the_process_lives_even_without_redis(web: Web) -> None:
    web.redis.connected = False
    assert await web.json("/healthz") == (200, {"status": "ok"})


async def test_without_redis_nothing_is_ready(web: Web) -> None:
    web.redis.connected = False
    status, said = await web.json("/readyz")
    assert (status, said["ready"], list(said["missing"])) == (503, False, ["redis"])


async def test_a_new_installation_lacks_the_stream_and_a_worker(web: Web) -> None:
    status, said = await web.json("/readyz")
    assert (status, said["ready"]) == (503, False)
    assert set(said["missing"]) == {"stream", "worker"}
    assert "ik-slack ingest" in said["missing"]["stream"]


async def test_with_the_stream_there_only_a_worker_is_missing(web: Web) -> None:
    await web.made.stream.join()
    status, said = await web.json("/readyz")
    assert (status, list(said["missing"])) == (503, ["worker"])


async def test_with_redis_the_stream_and_a_worker_everything_is_ready(web: Web) -> None:
    await web.made.stream.join()
    await web.made.upkeep.beat("worker", "one")
    assert await web.json("/readyz") == (200, {"ready": True, "missing": {}})


async def test_a_worker_that_ended_is_missing(web: Web) -> None:
    await web.made.stream.join()
    await web.made.upkeep.beat("worker", "one")
    await web.made.upkeep.leave("worker", "one")
    assert (await web.json("/readyz"))[0] == 503

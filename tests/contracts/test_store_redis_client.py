"""The Redis client: batches of many coroutines, errors of single commands, and restarts."""

import asyncio
import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ResponseError
from support.store import LANE, World
from tenacity import AsyncRetrying, stop_after_delay, wait_fixed

from worker.domain.errors import UserError
from worker.sandbox.embedded_redis import EmbeddedRedis, find_server
from worker.store.keys import Keys
from worker.store.redis_client import (
    BATCH_COMMANDS,
    CONCURRENT_TRANSACTIONS,
    PackingSSLConnection,
    RedisClient,
    connect,
    connect_by_sentinels,
    fields,
    script_source,
    text,
    texts,
)
from worker.store.redis_errors import RedisFailure, StoreUnavailable


class CountingClient:
    """A client that counts its pipelines and can answer late, never or with an error."""

    def __init__(self, redis: Any, *, error: BaseException | None = None) -> None:
        self.redis, self.error, self.sizes = redis, error, []
        self.open, self.most_open = 0, 0
        self.before: Callable[[], object] = lambda: None

    def pipeline(self, *, transaction: bool) -> "CountingClient._Pipeline":
        return CountingClient._Pipeline(self, self.redis.pipeline(transaction=transaction))

    async def aclose(self) -> None:
        await self.redis.aclose()

    class _Pipeline:
        def __init__(self, client: "CountingClient", pipeline: Any) -> None:
            self.client, self.pipeline = client, pipeline

        def execute_command(self, *words: Any) -> None:
            self.pipeline.execute_command(*words)

        async def execute(self, *, raise_on_error: bool) -> list[Any]:
            self.client.sizes.append(len(self.pipeline.command_stack))
            self.client.before()
            if self.client.error:
                raise self.client.error
            self.client.open += 1
            self.client.most_open = max(self.client.most_open, self.client.open)
            await asyncio.sleep(0)
            try:
                return await self.pipeline.execute(raise_on_error=raise_on_error)
            finally:
                self.client.open -= 1


def fake_client(error: BaseException | None = None) -> tuple[RedisClient, CountingClient]:
    client = CountingClient(FakeAsyncRedis(server=FakeServer(), protocol=2), error=error)
    return RedisClient(client, Keys("t")), client


async def test_commands_of_many_coroutines_share_a_batch_and_each_gets_its_reply(world: World):
    server = world.server
    await server.pipeline([("SET", f"k{n}", n) for n in range(1_000)])
    assert await server.pipeline([("GET", f"k{n}") for n in range(1_000)]) == [b"%d" % n for n in range(1_000)]


async def test_a_batch_has_a_maximum_and_further_commands_go_into_the_next():
    server, client = fake_client()
    await server.pipeline([("INCR", "k")] * (BATCH_COMMANDS + 10))
    assert client.sizes == [BATCH_COMMANDS, 10]
    await server.aclose()


async def test_a_failed_command_does_not_fail_the_others(world: World):
    server = world.server
    await server.command("SET", "k", "text")
    answers = await asyncio.gather(
        server.command("INCR", "n"),
        server.command("LPUSH", "k", 1),
        server.command("NONSENSE"),
        server.command("GET", "k"),
        return_exceptions=True,
    )
    assert (answers[0], answers[3]) == (1, b"text")
    assert [type(answer) for answer in answers[1:3]] == [ResponseError, ResponseError]


async def test_a_lone_surrogate_is_replaced(world: World):
    await world.server.pipeline([("SET", "k", "a\udcffb"), ("SET", "l", "ü")])
    assert await world.server.pipeline([("GET", "k"), ("GET", "l")]) == [b"a?b", "ü".encode()]


async def test_a_transaction_applies_all_commands_or_none(world: World):
    assert await world.server.transaction(("SET", "k", 1), ("INCR", "k")) == [True, 2]
    await world.redis.set("text", "x")
    with pytest.raises(ResponseError, match="not an integer"):
        await world.server.transaction(("INCR", "text"), ("SET", "k", 7))
    with pytest.raises(ResponseError, match="unknown command"):
        await world.server.transaction(("SET", "k", 8), ("NONSENSE",))
    assert await world.server.command("GET", "k") == b"7"


async def test_only_a_few_transactions_use_a_connection_of_their_own():
    server, client = fake_client()
    await asyncio.gather(*(server.transaction(("INCR", "k")) for _ in range(3 * CONCURRENT_TRANSACTIONS)))
    assert client.most_open == CONCURRENT_TRANSACTIONS
    assert await server.command("GET", "k") == b"%d" % (3 * CONCURRENT_TRANSACTIONS)
    await server.aclose()


async def test_an_unknown_script_is_loaded_into_the_server(world: World):
    await world.append("a")
    await world.redis.script_flush()
    counts = await asyncio.gather(*(world.append(f"d{n}") for n in range(5)))
    assert [result.created for result in counts] == [1] * 5


async def test_every_script_documents_its_keys_arguments_and_result():
    for path in Path("worker/store/scripts").glob("*.lua"):
        source = path.read_text("utf-8")
        assert source.startswith("-- "), path
        if path.name not in ("clock.lua", "lane.lua", "waiting_lanes.lua"):
            assert "\n-- Returns " in source, path
            code = re.sub("--.*", "", script_source(path.stem))
            assert "redis.call('TIME')" in code or not re.search(r"\b(now|time)\b", code), path
            assert script_source(path.stem).endswith(source)
            assert ("-- What all lane scripts" in script_source(path.stem)) == path.stem.startswith("lane_")


async def test_a_command_cancelled_before_it_is_sent_is_not_sent_and_fails_no_other(world: World):
    server = world.server
    gone = asyncio.ensure_future(server.command("SET", "gone", 1))
    stays = asyncio.ensure_future(server.command("SET", "stays", 1))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await server.command("EXISTS", "stays") == 1


async def test_a_command_cancelled_while_it_is_sent_fails_no_other(world: World):
    server = world.server
    tasks = [asyncio.ensure_future(server.command("INCR", "n")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, int) for answer in answers[1::2])
    assert await server.command("GET", "n")


@pytest.mark.parametrize("error", [OSError("no route"), Disconnected("down")])
async def test_a_server_that_cannot_be_reached_is_unavailable_to_every_command(error: Exception):
    server, _ = fake_client(error)
    commands = (server.command("PING"), server.command("PING"), server.transaction(("PING",)))
    for answer in await asyncio.gather(*commands, return_exceptions=True):
        assert isinstance(answer, StoreUnavailable)
        assert (answer.failure, str(answer)) == (RedisFailure.NO_ANSWER, str(error))
    await server.aclose()


async def test_an_error_that_is_a_bug_keeps_its_class():
    server, _ = fake_client(ValueError("odd"))
    with pytest.raises(ValueError, match="odd"):
        await server.command("PING")
    with pytest.raises(ValueError, match="odd"):
        await server.transaction(("PING",))
    await server.aclose()


async def test_a_server_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch):
    server, _ = fake_client(TimeoutError())
    with pytest.raises(StoreUnavailable, match="TimeoutError"):
        await server.command("PING")
    with pytest.raises(StoreUnavailable, match="TimeoutError"):
        await server.transaction(("PING",))
    await server.aclose()


@pytest.mark.parametrize("at_once", [True, False], ids=["before it began", "while a batch is on its way"])
async def test_when_the_sending_task_is_cancelled_every_waiting_command_ends(at_once: bool):
    server, client = fake_client()
    waiting = [asyncio.create_task(server.command("INCR", "k")) for _ in range(BATCH_COMMANDS + 10)]
    await asyncio.sleep(0)
    (sending,) = (one for one in asyncio.all_tasks() if "_flush" in repr(one.get_coro()))
    if at_once:
        sending.cancel()
    client.before = sending.cancel
    answered, silent = await asyncio.wait(waiting, timeout=1.0)
    assert not silent
    assert all(one.cancelled() for one in answered)
    client.before = lambda: None
    assert await server.command("INCR", "k") == 1
    await server.aclose()


async def test_a_command_cancelled_while_the_connection_breaks_is_the_only_cancelled_one():
    server, client = fake_client()
    tasks = [asyncio.ensure_future(server.command("PING")) for _ in range(2)]
    await asyncio.sleep(0)
    client.error = OSError("gone")
    tasks[0].cancel()
    client.before = tasks[1].cancel
    answers = await asyncio.gather(*tasks, server.command("PING"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
        StoreUnavailable,
    ]
    await server.aclose()


async def test_when_the_event_loop_ends_no_command_waits_forever():
    server, _ = fake_client(asyncio.CancelledError())
    waiting = asyncio.ensure_future(server.command("PING"))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await server.aclose()


async def test_closing_waits_for_the_commands_being_sent(redis):
    server = RedisClient(redis)
    sets = [asyncio.ensure_future(server.command("SET", f"k{n}", n)) for n in range(10)]
    await asyncio.sleep(0)
    await server.aclose()
    assert all(await asyncio.gather(*sets))
    await server.aclose()


async def test_data_and_connections_survive_a_restart_of_the_server(tmp_path: Path):
    embedded = EmbeddedRedis(tmp_path / "redis")
    client = connect(embedded.start())
    world = World(client)
    try:
        await world.append("a", "b")
        held = await world.hold()
        await world.take(held)
        pid = (await client.info("server"))["process_id"]
        os.kill(pid, 9)
        with pytest.raises(StoreUnavailable):
            await world.server.command("PING")
        embedded.stop()
        embedded.start()
        await world.check()
        await world.lose_lease()
        assert (await world.append("c")).created == 1
        assert await world.deliver(token="h2") == ["a", "b", "c"]
        await world.check()
    finally:
        await world.server.aclose()
        embedded.stop()


async def test_a_connection_closed_by_the_server_is_opened_again_immediately(real):
    world = World(real)
    await world.append("a")
    other = connect(f"redis://:{real.connection_pool.connection_kwargs['password']}@127.0.0.1:"
                    f"{real.connection_pool.connection_kwargs['port']}/0", blocking=True)  # fmt: skip
    await other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await other.aclose()
    assert (await world.append("b")).created == 1
    assert await world.deliver() == ["a", "b"]
    assert LANE in texts(list(await real.smembers("t:lanes")))


def test_a_rediss_address_uses_tls():
    client = connect("rediss://example.com:6390/1")
    assert client.connection_pool.connection_class is PackingSSLConnection


def test_the_address_of_the_master_comes_from_sentinel():
    client = connect_by_sentinels([("one", 26379), ("two", 26380)], "mymaster", db=3, username="u", password="secret")
    pool = client.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert (pool.service_name, pool.is_master) == ("mymaster", True)
    known = pool.connection_kwargs
    assert (known["db"], known["username"], known["password"], known["protocol"]) == (3, "u", "secret", 2)
    assert [one.connection_pool.connection_kwargs["host"] for one in pool.sentinel_manager.sentinels] == [
        "one",
        "two",
    ]


async def test_commands_reach_the_master_that_sentinel_names(redis_url: str, tmp_path: Path):
    where = urlsplit(redis_url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor mymaster 127.0.0.1 {where.port} 1\nsentinel auth-pass mymaster {where.password}\n"
    )
    sentinel = subprocess.Popen([find_server(), str(config), "--sentinel"], stdout=subprocess.DEVNULL)
    client = connect_by_sentinels([("127.0.0.1", port)], "mymaster", db=0, username=None, password=where.password)
    world = World(client)
    try:
        async for attempt in AsyncRetrying(stop=stop_after_delay(20), wait=wait_fixed(0.1), reraise=True):
            with attempt:
                await client.flushdb()
        await world.append("a\udcff")
        assert await world.deliver() == ["a?"]
    finally:
        await world.server.aclose()
        sentinel.terminate()
        sentinel.wait()


def test_replies_are_decoded_to_text():
    assert [text(value) for value in (b"a\xff", "b", None, 3)] == ["a\ufffd", "b", "", "3"]
    assert fields({b"a": 1}) == fields([b"a", 1]) == {"a": "1"}
    assert fields(None) == {}


@pytest.mark.parametrize("query", ["nonsense=1", "socket_timeout=soon", "max_connections=many", "ssl_keyfile=/x"])
def test_a_wrong_parameter_of_the_address_is_one_line_without_its_value(query: str):
    with pytest.raises(UserError, match="A parameter of the Redis address is unknown or has a wrong value") as caught:
        connect(f"redis://:secret@h/0?{query}")
    assert query.partition("=")[0] in str(caught.value)
    assert "secret" not in str(caught.value)

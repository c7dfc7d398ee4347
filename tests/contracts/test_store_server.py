"""The one connection: many coroutines in one batch, faults that hurt only their own command, and restarts."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio.sentinel import SentinelConnectionPool
from store_world import LANE, World
from tenacity import AsyncRetrying, stop_after_delay, wait_fixed

from worker.sandbox.program import find_server
from worker.sandbox.redis import EmbeddedRedis
from worker.store.connection import PackingSSLConnection, connect, connect_by_sentinels
from worker.store.keys import Keys
from worker.store.server import BATCH, TRANSACTIONS, Server, Unavailable, fields, script_source, text, texts


class Counting:
    """A client that counts its pipelines, and may answer late, never, or with an error."""

    def __init__(self, redis: Any, *, error: BaseException | None = None) -> None:
        self.redis, self.error, self.sizes = redis, error, []
        self.open, self.most_open = 0, 0
        self.before: Callable[[], object] = lambda: None

    def pipeline(self, *, transaction: bool) -> "Counting._Pipeline":
        return Counting._Pipeline(self, self.redis.pipeline(transaction=transaction))

    async def aclose(self) -> None:
        await self.redis.aclose()

    class _Pipeline:
        def __init__(self, client: "Counting", pipeline: Any) -> None:
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


def fake(error: BaseException | None = None) -> tuple[Server, Counting]:
    client = Counting(FakeAsyncRedis(server=FakeServer(), protocol=2), error=error)
    return Server(client, Keys("t")), client


async def test_commands_of_many_coroutines_go_out_together_and_each_gets_its_answer(world: World):
    server = world.server
    await server.each([("SET", f"k{n}", n) for n in range(1_000)])
    assert await server.each([("GET", f"k{n}") for n in range(1_000)]) == [b"%d" % n for n in range(1_000)]


async def test_a_batch_has_a_most_and_what_is_asked_meanwhile_leaves_in_the_next():
    server, client = fake()
    await server.each([("INCR", "k")] * (BATCH + 10))
    assert client.sizes == [BATCH, 10]
    await server.aclose()


async def test_a_command_that_fails_hurts_no_other(world: World):
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
    assert all(isinstance(answer, Unavailable) for answer in answers[1:3])


async def test_a_command_that_cannot_be_sent_hurts_no_other(world: World):
    server = world.server
    answers = await asyncio.gather(
        server.command("INCR", "n"),
        server.command("SET", "k", None),  # what types forbid
        server.command("INCR", "n"),
        return_exceptions=True,
    )
    assert (answers[0], answers[2]) == (1, 2)
    assert isinstance(answers[1], Unavailable)


async def test_a_lone_surrogate_is_replaced(world: World):
    await world.server.each([("SET", "k", "a\udcffb"), ("SET", "l", "ü")])
    assert await world.server.each([("GET", "k"), ("GET", "l")]) == [b"a?b", "ü".encode()]


async def test_several_commands_are_one_step_or_none(world: World):
    assert await world.server.together(("SET", "k", 1), ("INCR", "k")) == [True, 2]
    await world.redis.set("text", "x")
    with pytest.raises(Unavailable):
        await world.server.together(("INCR", "text"), ("SET", "k", 7))


async def test_only_a_few_steps_take_a_connection_of_their_own():
    server, client = fake()
    await asyncio.gather(*(server.together(("INCR", "k")) for _ in range(3 * TRANSACTIONS)))
    assert client.most_open == TRANSACTIONS
    assert await server.command("GET", "k") == b"%d" % (3 * TRANSACTIONS)
    await server.aclose()


async def test_a_script_is_loaded_when_the_server_does_not_know_it(world: World):
    await world.append("a")
    await world.redis.script_flush()
    counts = await asyncio.gather(*(world.append(f"d{n}") for n in range(5)))
    assert [created for created, _, _ in counts] == [1] * 5


async def test_every_script_says_what_it_takes_and_returns():
    for path in Path("worker/store/lua").glob("*.lua"):
        source = path.read_text("utf-8")
        assert source.startswith("-- "), path
        if path.name != "lane.lua":
            assert "\n-- Returns " in source, path
            assert script_source(path.stem).endswith(source)
            assert script_source(path.stem).startswith("-- What every lane script") == path.stem.startswith(
                "lane_"
            )


async def test_who_is_cancelled_hurts_no_other_and_what_was_not_sent_is_not_sent(world: World):
    server = world.server
    gone = asyncio.ensure_future(server.command("SET", "gone", 1))
    stays = asyncio.ensure_future(server.command("SET", "stays", 1))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await server.command("EXISTS", "stays") == 1


async def test_who_is_cancelled_while_its_command_is_on_its_way_hurts_no_other(world: World):
    server = world.server
    tasks = [asyncio.ensure_future(server.command("INCR", "n")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, int) for answer in answers[1::2])
    assert await server.command("GET", "n")


@pytest.mark.parametrize("error", [OSError("no route"), ValueError("odd"), Unavailable("down")])
async def test_a_server_that_cannot_be_reached_is_unavailable_to_everyone(error: Exception):
    server, _ = fake(error)
    answers = await asyncio.gather(*(server.command("PING") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert str(error) in str(answers[0])
    await server.aclose()


async def test_a_server_that_is_silent_is_unavailable(monkeypatch: pytest.MonkeyPatch):
    server, _ = fake(TimeoutError())
    with pytest.raises(Unavailable, match="TimeoutError"):
        await server.command("PING")
    with pytest.raises(Unavailable, match="no answer in time"):
        await server.together(("PING",))
    await server.aclose()


@pytest.mark.parametrize("at_once", [True, False], ids=["before it began", "while a batch is on its way"])
async def test_when_what_sends_is_cancelled_everybody_who_waits_is_answered(at_once: bool):
    server, client = fake()
    waiting = [asyncio.create_task(server.command("INCR", "k")) for _ in range(BATCH + 10)]
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


async def test_who_is_cancelled_while_the_server_goes_away_is_cancelled_and_nobody_else():
    server, client = fake()
    tasks = [asyncio.ensure_future(server.command("PING")) for _ in range(2)]
    await asyncio.sleep(0)
    client.error = OSError("gone")
    tasks[0].cancel()
    client.before = tasks[1].cancel
    answers = await asyncio.gather(*tasks, server.command("PING"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
        Unavailable,
    ]
    await server.aclose()


async def test_when_the_loop_ends_nobody_waits_for_ever():
    server, _ = fake(asyncio.CancelledError())
    waiting = asyncio.ensure_future(server.command("PING"))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await server.aclose()


async def test_closing_lets_what_is_on_its_way_arrive(redis):
    server = Server(redis)
    sets = [asyncio.ensure_future(server.command("SET", f"k{n}", n)) for n in range(10)]
    await asyncio.sleep(0)
    await server.aclose()
    assert all(await asyncio.gather(*sets))
    await server.aclose()


async def test_a_restart_of_the_server_is_survived_with_everything_in_place(tmp_path: Path):
    embedded = EmbeddedRedis(tmp_path / "redis")
    client = connect(embedded.start())
    world = World(client)
    try:
        await world.append("a", "b")
        held = await world.hold()
        await world.take(held)
        pid = (await client.info("server"))["process_id"]
        os.kill(pid, 9)
        with pytest.raises(Unavailable):
            await world.append("c")
        embedded.stop()
        embedded.start()
        await world.check()
        await world.lose_lease()
        assert (await world.append("c"))[0] == 1
        assert await world.tell(token="h2") == ["a", "b", "c"]
        await world.check()
    finally:
        await world.server.aclose()
        embedded.stop()


async def test_a_connection_the_server_closed_is_made_anew_at_once(real):
    world = World(real)
    await world.append("a")
    other = connect(f"redis://:{real.connection_pool.connection_kwargs['password']}@127.0.0.1:"
                    f"{real.connection_pool.connection_kwargs['port']}/0", waits=True)  # fmt: skip
    await other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await other.aclose()
    assert (await world.append("b"))[0] == 1
    assert await world.tell() == ["a", "b"]
    assert LANE in texts(list(await real.smembers("t:lanes")))


def test_a_secured_address_is_reached_by_tls():
    client = connect("rediss://example.com:6390/1")
    assert client.connection_pool.connection_class is PackingSSLConnection


def test_sentinels_say_where_the_master_is():
    client = connect_by_sentinels(
        [("one", 26379), ("two", 26380)], "mymaster", db=3, username="u", password="secret"
    )
    pool = client.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert (pool.service_name, pool.is_master) == ("mymaster", True)
    known = pool.connection_kwargs
    assert (known["db"], known["username"], known["password"], known["protocol"]) == (3, "u", "secret", 2)
    assert [one.connection_pool.connection_kwargs["host"] for one in pool.sentinel_manager.sentinels] == [
        "one",
        "two",
    ]


async def test_a_server_is_reached_where_its_sentinel_says_it_is(redis_url: str, tmp_path: Path):
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
    client = connect_by_sentinels(
        [("127.0.0.1", port)], "mymaster", db=0, username=None, password=where.password
    )
    world = World(client)
    try:
        async for attempt in AsyncRetrying(stop=stop_after_delay(20), wait=wait_fixed(0.1), reraise=True):
            with attempt:
                await client.flushdb()
        await world.append("a\udcff")
        assert await world.tell() == ["a?"]
    finally:
        await world.server.aclose()
        sentinel.terminate()
        sentinel.wait()


def test_replies_become_text():
    assert [text(value) for value in (b"a\xff", "b", None, 3)] == ["a\ufffd", "b", "", "3"]
    assert fields({b"a": 1}) == fields([b"a", 1]) == {"a": "1"}
    assert fields(None) == {}

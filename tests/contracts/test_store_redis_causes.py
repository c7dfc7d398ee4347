"""Every refusal of a real Redis names its own cause; none that answered is said not to answer."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import InvalidResponse, ResponseError
from test_store_redis_errors import serve_redis

from worker.store.keys import Keys
from worker.store.redis_client import RedisClient, connect
from worker.store.redis_errors import RedisFailure, StoreUnavailable, find_failure
from worker.store.stream import LAST_POSSIBLE_ID, EventStream

STREAM = "events"


def find_cause(port: int, *, db: int = 0) -> RedisFailure | None:
    """Return why this server cannot do what an installation does; None when it can."""

    async def use() -> None:
        server = RedisClient(connect(f"redis://127.0.0.1:{port}/{db}"), Keys("t"))
        try:
            await server.command("SET", "a", "1")
            await server.transaction(("SET", "a", "1"), ("SET", "b", "1"))
            await server.run_script("lock", ("t:lock:a",), ("me", 1_000, 0))
            await EventStream(server, server.redis, stream=STREAM, group="g", consumer="c").require_writable()
        finally:
            await server.aclose()

    try:
        asyncio.run(use())
    except StoreUnavailable as error:
        return error.failure
    return None


@pytest.mark.parametrize(
    ("options", "commands", "cause"),
    [
        ((), (), None),
        (("--cluster-enabled", "yes"), (), RedisFailure.CLUSTER),
        (("--cluster-enabled", "yes"), ("CLUSTER ADDSLOTSRANGE 0 16383",), RedisFailure.CLUSTER),
        (("--maxclients", "1"), (), RedisFailure.MAX_CLIENTS),
        (("--rename-command", "EVALSHA", ""), (), RedisFailure.COMMAND),
        ((), ("CONFIG SET maxmemory 1",), RedisFailure.NO_MEMORY),
        ((), ("REPLICAOF 127.0.0.1 1",), RedisFailure.READ_ONLY),
        ((), ("CONFIG SET min-replicas-to-write 1",), RedisFailure.FEW_REPLICAS),
        ((), ("CONFIG SET requirepass x",), RedisFailure.LOGIN),
        ((), ("ACL SETUSER default -xadd",), RedisFailure.PERMISSION),
        ((), ("ACL SETUSER default resetkeys ~t:* ~a ~b",), RedisFailure.PERMISSION),
        ((), (f"XADD {STREAM} {LAST_POSSIBLE_ID} event x",), RedisFailure.EXHAUSTED),
        ((), (f"XADD {STREAM} {2**64 - 1}-5 event x",), None),
    ],
    ids=str,
)
def test_a_server_that_refuses_names_its_cause(
    tmp_path: Path, options: Sequence[str], commands: Sequence[str], cause: RedisFailure | None
) -> None:
    with serve_redis(tmp_path, *options) as (client, port):
        for command in commands:
            client.execute_command(*command.split())
        found = find_cause(client.connection_pool.connection_kwargs["port"])
        may_be_cut_off = cause is RedisFailure.MAX_CLIENTS  # the server closes the connection behind its error
        assert found is cause or (may_be_cut_off and found is RedisFailure.CLOSED), port


def test_a_database_that_does_not_exist_names_its_cause(tmp_path: Path) -> None:
    with serve_redis(tmp_path) as (client, _):
        assert find_cause(client.connection_pool.connection_kwargs["port"], db=99) is RedisFailure.DATABASE


async def answer_as_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def close_at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(
    ("server", "cause"), [(answer_as_http, RedisFailure.NOT_REDIS), (close_at_once, RedisFailure.CLOSED)]
)
async def test_another_server_names_its_cause(server: object, cause: RedisFailure) -> None:
    async with await asyncio.start_server(server, "127.0.0.1", 0) as serving:
        port = serving.sockets[0].getsockname()[1]
        client = RedisClient(connect(f"redis://127.0.0.1:{port}/0"))
        with pytest.raises(StoreUnavailable) as refused:
            await client.command("PING")
        await client.aclose()
    assert refused.value.failure is cause


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (
            Disconnected("Error 1 connecting to h:1. [SSL: WRONG_VERSION_NUMBER] wrong version number."),
            RedisFailure.TLS,
        ),
        (ResponseError("MOVED 1 127.0.0.1:7000"), RedisFailure.CLUSTER),
        (ResponseError("DENIED Redis is running in protected mode because"), RedisFailure.PROTECTED),
        (InvalidResponse("Protocol Error: HTTP/1.1 400"), RedisFailure.NOT_REDIS),
    ],
)
def test_an_error_names_its_cause(error: Exception, cause: RedisFailure) -> None:
    assert find_failure(error) is cause


def test_every_cause_is_short_and_says_what_to_do() -> None:
    for failure in RedisFailure:
        assert len(f"{failure.reason}. {failure.fix}") < 250
        assert failure.fix.endswith(".")
        assert failure is RedisFailure.NO_ANSWER or "not answer" not in failure.reason

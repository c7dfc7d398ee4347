"""Errors of a Redis that cannot serve are recognised, from a command, a script and a transaction."""

import logging
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis as client_library
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    DataError,
    MasterDownError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from worker.local_machine import free_port
from worker.sandbox.embedded_redis import EmbeddedRedis, find_server
from worker.store.redis_client import RedisClient, connect
from worker.store.redis_errors import RedisFailure, StoreUnavailable, find_failure, log_redis_error, to_store_error

FOREVER = "while true do end"
WRITE = "return redis.call('SET', KEYS[1], 'x')"


@pytest.fixture
def broken_server(tmp_path: Path) -> Iterator[client_library.Redis]:
    """Start a server whose settings a test may break; it is killed at the end."""
    server = EmbeddedRedis(tmp_path / "redis")
    with client_library.Redis.from_url(server.start()) as client:
        pid = client.info("server")["process_id"]
        yield client
    os.kill(pid, signal.SIGKILL)
    server.stop()


@contextmanager
def serve_redis(folder: Path, *options: str) -> Iterator[tuple[Any, int]]:
    """Start a server with these options; a write beyond its file size limit is an error and does not end it."""
    port = free_port()
    words = (
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--appendonly",
        "yes",
        "--save",
        "",
        "--logfile",
        "redis.log",
        *options,
    )
    with (
        subprocess.Popen([find_server(), *words], cwd=folder, restore_signals=False) as server,
        client_library.Redis(port=port, retry=None) as client,
    ):
        try:
            for attempt in retry_for_a_while():
                with attempt, suppress(BusyLoadingError):
                    client.ping()
            yield client, server.pid
        finally:
            server.kill()


def retry_for_a_while() -> Retrying:
    """Repeat a call until it succeeds or the time is over."""
    return Retrying(stop=stop_after_delay(10), wait=wait_fixed(0.05), reraise=True)


def wait_for_refusal(client: Any, *words: str) -> RedisError:
    """Return the error of a command as soon as the server refuses it."""

    def refused() -> RedisError | None:
        try:
            client.execute_command(*words)
        except RedisError as error:
            return error
        return None

    again = Retrying(stop=stop_after_delay(10), wait=wait_fixed(0.05), retry=retry_if_result(lambda got: not got))
    found = again(refused)
    assert found
    return found


def write_failures(client: Any) -> set[RedisFailure | None]:
    """Return why a write fails, as a command and in a script."""
    failures = set()
    for words in (("SET", "a", "x"), ("EVAL", WRITE, 1, "a")):
        with pytest.raises(RedisError) as refused:
            client.execute_command(*words)
        failures.add(find_failure(refused.value))
    return failures


def test_redis_without_memory_refuses_a_write(broken_server: Any) -> None:
    broken_server.config_set("maxmemory", 1)
    assert write_failures(broken_server) == {RedisFailure.NO_MEMORY}


def test_a_replica_refuses_a_write(broken_server: Any) -> None:
    broken_server.replicaof("127.0.0.1", free_port())
    assert write_failures(broken_server) == {RedisFailure.READ_ONLY}
    broken_server.config_set("replica-serve-stale-data", "no")
    with pytest.raises(RedisError) as refused:
        broken_server.get("a")
    assert find_failure(refused.value) is RedisFailure.MASTER_DOWN


def test_redis_with_too_few_replicas_refuses_a_write(broken_server: Any) -> None:
    broken_server.config_set("min-replicas-to-write", 1)
    assert write_failures(broken_server) == {RedisFailure.FEW_REPLICAS}


def test_redis_that_cannot_save_its_snapshot_refuses_a_write(broken_server: Any, tmp_path: Path) -> None:
    broken_server.config_set("appendonly", "no")
    broken_server.config_set("save", "3600 1000")
    shutil.rmtree(tmp_path / "redis")
    broken_server.bgsave()
    for attempt in retry_for_a_while():
        with attempt:
            assert broken_server.info("persistence")["rdb_last_bgsave_status"] == "err"
    assert write_failures(broken_server) == {RedisFailure.DISK}
    (tmp_path / "redis").mkdir()  # the server is stopped by its files there


def test_redis_that_cannot_write_its_append_only_file_refuses_a_write(tmp_path: Path) -> None:
    """A limit of the file size stands for a full disk: writes fail in the same way."""
    with serve_redis(tmp_path) as (client, pid):
        for_good = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, for_good[1]))
        assert "AOF" in str(wait_for_refusal(client, "SET", "a", "x"))
        assert write_failures(client) == {RedisFailure.DISK}
        resource.prlimit(pid, resource.RLIMIT_FSIZE, for_good)
        for attempt in retry_for_a_while():
            with attempt:
                client.set("a", "x")


def test_redis_that_loads_its_data_is_recognized(tmp_path: Path) -> None:
    with serve_redis(tmp_path, "--appendonly", "no") as (client, _):
        client.execute_command("MSET", *(f"{what} {number}" for number in range(2000) for what in ("key", "value")))
        client.save()
    slowly = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
    with serve_redis(tmp_path, "--appendonly", "no", *slowly) as (client, _):
        assert find_failure(wait_for_refusal(client, "GET", "a")) is RedisFailure.LOADING


def test_redis_that_runs_an_endless_script_is_recognized(broken_server: Any) -> None:
    broken_server.config_set("lua-time-limit", 1)
    holding = broken_server.client(), broken_server.client()
    for one in holding:
        one.ping()
    holding[0].connection.send_command("EVAL", FOREVER, 0)
    for attempt in retry_for_a_while():
        with attempt, pytest.raises(RedisError) as refused:
            holding[1].get("a")
    holding[1].execute_command("SCRIPT KILL")
    assert find_failure(refused.value) is RedisFailure.BUSY


def test_a_redis_user_without_write_permission_is_recognized(broken_server: Any) -> None:
    broken_server.acl_setuser("reader", enabled=True, nopass=True, commands=["+get", "+eval", "+hello"], keys=["*"])
    port = broken_server.get_connection_kwargs()["port"]
    with client_library.Redis(port=port, username="reader", password="any", protocol=2) as client:
        assert write_failures(client) == {RedisFailure.PERMISSION}


def test_a_wrong_redis_password_is_recognized(broken_server: Any) -> None:
    port = broken_server.get_connection_kwargs()["port"]
    for password in ("wrong", None):
        with (
            client_library.Redis(port=port, password=password, retry=None) as client,
            pytest.raises(RedisError) as refused,
        ):
            client.ping()
        assert find_failure(refused.value) is RedisFailure.LOGIN


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (BusyLoadingError("Redis is loading the dataset in memory"), RedisFailure.LOADING),
        (MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
         RedisFailure.MASTER_DOWN),
        (ResponseError("ERR Error running script (call to f_1): @user_script:9: -OOM command not allowed "
                       "when used memory > 'maxmemory'."), RedisFailure.NO_MEMORY),
        (ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
         RedisFailure.DISK),
        (AuthenticationError("WRONGPASS invalid username-password pair or user is disabled."),
         RedisFailure.LOGIN),
        (ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"),
         RedisFailure.UNBLOCKED),
    ],
)  # fmt: skip
def test_error_texts_of_other_redis_versions_are_recognized(error: RedisError, failure: RedisFailure) -> None:
    assert find_failure(error) is failure


@pytest.mark.parametrize(
    "error",
    [
        Disconnected("Connection refused."),
        TimedOut("Timeout reading from socket"),
        TimeoutError(),
        OSError(111, "Connect call failed"),
    ],
)
def test_a_failed_connection_is_not_an_error_reply_of_redis(error: Exception) -> None:
    assert find_failure(error) is RedisFailure.NO_ANSWER


@pytest.mark.parametrize(
    "error",
    [
        ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value script: on @user_script:1."),
        ResponseError("user_script:3: attempt to index a nil value script: f1, on @user_script:3."),
        ResponseError("Error running script (call to f_1): @user_script:9: -WRONGTYPE Operation against a key"),
        ResponseError("Command # 1 (SET a: BUSY b) of pipeline caused error: ('WRONGTYPE Operation against a key',)"),
        DataError("Invalid input of type: 'NoneType'."),
        ValueError("odd"),
    ],
)
def test_an_unknown_redis_error_keeps_its_class(error: Exception) -> None:
    assert find_failure(error) is None
    assert to_store_error(error) is error


def test_a_redis_failure_is_logged_with_its_fix_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    error = to_store_error(ResponseError("BUSY Redis is busy running a script."))
    assert isinstance(error, StoreUnavailable)
    log_redis_error(logging.getLogger("worker.test"), error, lane="ops/#alerts")
    (record,) = caplog.records
    assert record.getMessage() == RedisFailure.BUSY.reason == "Redis is blocked by a long script of another client"
    assert str(StoreUnavailable()) == "Redis does not answer"


async def test_a_refused_transaction_raises_the_error_with_its_reason(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as url:
        server = RedisClient(connect(url))
        await server.command("CONFIG", "SET", "min-replicas-to-write", 1)
        with pytest.raises(StoreUnavailable) as refused:
            await server.transaction(("SET", "a", 1))
        assert refused.value.failure is RedisFailure.FEW_REPLICAS
        await server.aclose()

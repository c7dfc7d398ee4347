"""What Redis says when it refuses is understood, from a plain command and from inside a script."""

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
    MasterDownError,
    RedisError,
    ResponseError,
)
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from worker.sandbox.machine import free_port
from worker.sandbox.program import find_server
from worker.sandbox.redis import EmbeddedRedis
from worker.store.outage import AWAY, outage_of

FOREVER = "while true do end"
WRITE = "return redis.call('SET', KEYS[1], 'x')"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[client_library.Redis]:
    """A server whose settings may be spoilt; it ends by being killed, whatever was done to it."""
    server = EmbeddedRedis(tmp_path / "redis")
    with client_library.Redis.from_url(server.start()) as client:
        pid = client.info("server")["process_id"]
        yield client
    os.kill(pid, signal.SIGKILL)
    server.stop()


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[Any, int]]:
    """A server of other options, and its process; a file grown too large is an error to it, not its end."""
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
            for attempt in patiently():
                with attempt, suppress(BusyLoadingError):
                    client.ping()
            yield client, server.pid
        finally:
            server.kill()


def patiently() -> Retrying:
    """Again and again for a while."""
    return Retrying(stop=stop_after_delay(10), wait=wait_fixed(0.05), reraise=True)


def refusal(client: Any, *words: str) -> RedisError:
    """What it says, as soon as it refuses."""

    def refused() -> RedisError | None:
        try:
            client.execute_command(*words)
        except RedisError as error:
            return error
        return None

    again = Retrying(
        stop=stop_after_delay(10), wait=wait_fixed(0.05), retry=retry_if_result(lambda got: not got)
    )
    found = again(refused)
    assert found
    return found


def reasons(client: Any) -> set[str]:
    """What a write is refused for, plain and in a script."""
    found = set()
    for words in (("SET", "a", "x"), ("EVAL", WRITE, 1, "a")):
        with pytest.raises(RedisError) as refused:
            client.execute_command(*words)
        found.add(outage_of(refused.value).reason)
    return found


def test_no_memory_left(own: Any) -> None:
    own.config_set("maxmemory", 1)
    assert reasons(own) == {"Redis has no memory left"}


def test_a_replica(own: Any) -> None:
    own.replicaof("127.0.0.1", free_port())
    assert reasons(own) == {"Redis is a replica, which takes no writes"}
    own.config_set("replica-serve-stale-data", "no")
    with pytest.raises(RedisError) as refused:
        own.get("a")
    assert outage_of(refused.value).reason == "Redis is a replica that has lost the one it follows"


def test_too_few_replicas(own: Any) -> None:
    own.config_set("min-replicas-to-write", 1)
    assert reasons(own) == {"Redis wants more replicas before it takes writes"}


def test_a_disk_that_takes_nothing(own: Any, tmp_path: Path) -> None:
    own.config_set("appendonly", "no")
    own.config_set("save", "3600 1000")
    shutil.rmtree(tmp_path / "redis")
    own.bgsave()
    for attempt in patiently():
        with attempt:
            assert own.info("persistence")["rdb_last_bgsave_status"] == "err"
    assert reasons(own) == {"Redis cannot write to its disk"}


def test_an_append_only_file_on_a_full_disk(tmp_path: Path) -> None:
    """A limit to the size of its files stands for the disk: writing fails the same way."""
    with served(tmp_path) as (client, pid):
        for_good = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, for_good[1]))
        assert "AOF" in str(refusal(client, "SET", "a", "x"))
        assert reasons(client) == {"Redis cannot write to its disk"}
        resource.prlimit(pid, resource.RLIMIT_FSIZE, for_good)
        for attempt in patiently():
            with attempt:
                client.set("a", "x")


def test_a_server_that_reads_its_files(tmp_path: Path) -> None:
    with served(tmp_path, "--appendonly", "no") as (client, _):
        client.execute_command(
            "MSET", *(f"{what} {number}" for number in range(2000) for what in ("key", "value"))
        )
        client.save()
    slowly = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
    with served(tmp_path, "--appendonly", "no", *slowly) as (client, _):
        assert outage_of(refusal(client, "GET", "a")).reason == "Redis is reading its files"


def test_a_script_that_does_not_end(own: Any) -> None:
    own.config_set("lua-time-limit", 1)
    holding = own.client(), own.client()
    for one in holding:
        one.ping()
    holding[0].connection.send_command("EVAL", FOREVER, 0)
    for attempt in patiently():
        with attempt, pytest.raises(RedisError) as refused:
            holding[1].get("a")
    holding[1].execute_command("SCRIPT KILL")
    assert outage_of(refused.value).reason == "Redis is held up by a script of somebody's"


def test_a_user_that_may_not_write(own: Any) -> None:
    own.acl_setuser("reader", enabled=True, nopass=True, commands=["+get", "+eval", "+hello"], keys=["*"])
    port = own.get_connection_kwargs()["port"]
    with client_library.Redis(port=port, username="reader", password="any", protocol=2) as client:
        assert reasons(client) == {"Redis does not allow this to its user"}


def test_a_wrong_password(own: Any) -> None:
    port = own.get_connection_kwargs()["port"]
    for password in ("wrong", None):
        with (
            client_library.Redis(port=port, password=password, retry=None) as client,
            pytest.raises(RedisError) as refused,
        ):
            client.ping()
        assert outage_of(refused.value).reason == "Redis does not take the password"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BusyLoadingError("Redis is loading the dataset in memory"), "Redis is reading its files"),
        (MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
         "Redis is a replica that has lost the one it follows"),
        (ResponseError("ERR Error running script (call to f_1): @user_script:9: -OOM command not allowed "
                       "when used memory > 'maxmemory'."), "Redis has no memory left"),
        (ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
         "Redis cannot write to its disk"),
        (AuthenticationError("WRONGPASS invalid username-password pair or user is disabled."),
         "Redis does not take the password"),
    ],
)  # fmt: skip
def test_what_other_versions_say(error: RedisError, reason: str) -> None:
    assert outage_of(error).reason == reason


@pytest.mark.parametrize("said", ["Connection refused.", "no answer in time", "Error 111 connecting", ""])
def test_all_else_is_that_it_does_not_answer(said: str) -> None:
    assert outage_of(RedisError(said)) is AWAY

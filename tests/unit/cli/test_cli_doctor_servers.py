"""`ik-slack doctor` on servers that answer but cannot serve, with weak secrets, and with two installations."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
import redis
from support.cli import Shell, record_heartbeats, set_up
from support.events import failed_workflow
from tenacity import Retrying, stop_after_delay, wait_fixed

from config.settings import Settings
from worker.bootstrap.context import AppContext
from worker.local_machine import free_port
from worker.sandbox.embedded_redis import EmbeddedRedis, find_server
from worker.services.diagnostics import check_secrets
from worker.store.redis_errors import RedisFailure
from worker.store.stream import LAST_POSSIBLE_ID
from worker.store.token_cipher import generate_key

pytestmark = pytest.mark.slow


@pytest.fixture
def healthy(shell: Shell) -> Shell:
    return set_up(shell)


def find_problems(shell: Shell) -> dict[str, tuple[str, str, str]]:
    """Return level, detail and fix of each check that did not pass."""
    lines = shell("doctor", "--json").json
    return {line["check"]: (line["level"], line["detail"], line["fix"]) for line in lines if line["level"] != "ok"}


def run_on_redis(shell: Shell, *words: str) -> None:
    async def work(app: AppContext) -> None:
        await app.redis.command(*words)

    shell.store(work)


def test_an_exhausted_stream_fails(healthy: Shell) -> None:
    run_on_redis(healthy, "XADD", "infrakitchen:events", LAST_POSSIBLE_ID, "event", "x")
    level, detail, fix = find_problems(healthy)["stream"]
    assert (level, "highest possible id" in detail, "redis-cli RENAME" in fix) == ("failed", True, True)


def test_a_full_memory_fails(healthy: Shell) -> None:
    run_on_redis(healthy, "CONFIG", "SET", "maxmemory", "1")
    try:
        assert find_problems(healthy)["writing"][:1] == ("failed",)
    finally:
        run_on_redis(healthy, "CONFIG", "SET", "maxmemory", "0")


def test_a_user_without_channels_fails_with_the_right_it_needs(healthy: Shell, redis_url: str) -> None:
    run_on_redis(healthy, "ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "resetchannels")
    healthy.env.setenv("REDIS_URL", f"redis://bob:pw@{redis_url.rpartition('@')[2]}")
    level, _, fix = find_problems(healthy)["broker"]
    assert (level, "allchannels" in fix) == ("failed", True)


def test_a_process_with_another_key_is_another_installation(healthy: Shell) -> None:
    own = healthy.env
    key = os.environ["ENCRYPTION_KEY"]
    own.setenv("ENCRYPTION_KEY", f"{generate_key()},{key}")
    record_heartbeats(healthy, "worker")
    assert find_problems(healthy) == {}, "a rotation shares a key"
    own.setenv("ENCRYPTION_KEY", generate_key())
    record_heartbeats(healthy, "worker")
    own.setenv("ENCRYPTION_KEY", key)
    level, _, fix = find_problems(healthy)["installation"]
    assert (level, "KEY_PREFIX" in fix) == ("failed", True)


def test_a_token_setting_of_another_workspace_is_another_installation(healthy: Shell) -> None:
    healthy.env.setenv("SLACK_BOT_TOKEN", healthy.acme.add_token())
    assert find_problems(healthy) == {}, "another token of the same workspace"
    healthy.env.setenv("SLACK_BOT_TOKEN", healthy.slack.add_workspace("Globex").token)
    level, detail, _ = find_problems(healthy)["SLACK_BOT_TOKEN"]
    assert (level, "Globex" in detail) == ("failed", True)
    healthy.env.setenv("SLACK_BOT_TOKEN", "xoxb-0")
    assert find_problems(healthy)["SLACK_BOT_TOKEN"][0] == "note"


def test_weak_secrets_are_notes(healthy: Shell) -> None:
    healthy.env.setenv("API_TOKEN", "short")
    healthy.env.setenv("ADMIN_PASSWORD", "admin")
    (healthy.folder / ".env").write_text("LOG_LEVEL=INFO\n")
    (healthy.folder / ".env").chmod(0o644)
    healthy.env.setenv("INFRAKITCHEN_URL", "http://infrakitchen.example.com")
    problems = find_problems(healthy)
    assert set(problems) == {"API_TOKEN", "ADMIN_PASSWORD", ".env", "INFRAKITCHEN_URL"}
    assert {level for level, _, _ in problems.values()} == {"note"}
    assert "chmod 600 .env" in problems[".env"][2]
    (healthy.folder / ".env").chmod(0o600)
    healthy.env.setenv("INFRAKITCHEN_URL", "http://127.0.0.1:8000")
    assert set(find_problems(healthy)) == {"API_TOKEN", "ADMIN_PASSWORD"}


@pytest.mark.parametrize(
    ("address", "is_unchecked"),
    [
        ("rediss://h?ssl_cert_reqs=none", True),
        ("rediss://h/0?a=b&ssl_cert_reqs=CERT_NONE&c=d", True),
        ("rediss://:ssl_cert_reqs=none@h", False),
        ("rediss://h?ssl_cert_reqs=required", False),
        ("redis://h", False),
    ],
)
def test_a_redis_whose_certificate_is_not_checked_is_a_note(address: str, is_unchecked: bool) -> None:
    names = [finding.check for finding in check_secrets(Settings.load(redis_url=address))]
    assert names == (["REDIS_URL"] if is_unchecked else ["secrets"])


@pytest.fixture
def frozen(shell: Shell, tmp_path: Path) -> Iterator[Shell]:
    """Freeze a server of its own."""
    server = EmbeddedRedis(tmp_path / "own")
    url = server.start()
    with redis.Redis.from_url(url) as client:
        pid = int(client.info("server")["process_id"])
    shell.env.setenv("REDIS_URL", url)
    os.kill(pid, signal.SIGSTOP)
    yield shell
    os.kill(pid, signal.SIGCONT)
    server.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [("status",), ("ledger",), ("deliveries", "list"), ("publish", "-"), ("doctor",), ("integrations", "test", "acme")],
    ids=" ".join,
)
def test_a_frozen_redis_ends_a_command_within_five_seconds(frozen: Shell, words: tuple[str, ...]) -> None:
    began_s = monotonic()
    ended = frozen(*words, stdin=failed_workflow())
    assert monotonic() - began_s < 4.5, "a process takes half a second to start"
    assert ended.code == 1
    assert "not answer" in ended.err + ended.out


@pytest.mark.slow
def test_a_redis_that_freezes_meanwhile_ends_the_command(shell: Shell, tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "own")
    url = server.start()
    with redis.Redis.from_url(url) as client:
        pid = int(client.info("server")["process_id"])
    shell.env.setenv("REDIS_URL", url)

    async def freeze(app: AppContext) -> None:
        await app.redis.command("PING")
        os.kill(pid, signal.SIGSTOP)
        await app.redis.command("PING")

    from worker.cli.context import run
    from worker.store.redis_errors import StoreUnavailable

    began_s = monotonic()
    try:
        with pytest.raises(StoreUnavailable):
            run(freeze)
        assert monotonic() - began_s < 4.5
    finally:
        os.kill(pid, signal.SIGCONT)
        server.stop()


@pytest.fixture
def cluster_url(tmp_path: Path) -> Iterator[str]:
    """Start a server that is part of a cluster."""
    port, bus = free_port(), free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus)]
    server = subprocess.Popen([find_server(), *options], cwd=tmp_path, stdout=subprocess.DEVNULL)
    with redis.Redis(port=port) as client:
        for attempt in Retrying(stop=stop_after_delay(10), wait=wait_fixed(0.05), reraise=True):
            with attempt:
                client.ping()
    yield f"redis://127.0.0.1:{port}"
    server.kill()
    server.wait()


def test_a_cluster_is_refused_by_doctor_up_and_every_command_with_one_line(shell: Shell, cluster_url: str) -> None:
    shell.env.setenv("REDIS_URL", cluster_url)
    level, detail, fix = find_problems(shell)["Redis"]
    assert (level, detail) == ("failed", RedisFailure.CLUSTER.reason)
    assert fix == RedisFailure.CLUSTER.fix
    for command in (("status",), ("up", "--only", "ingest")):
        refused = shell(*command)
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert RedisFailure.CLUSTER.reason in refused.err

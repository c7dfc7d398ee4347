"""One embedded Redis for all tests of the command line, emptied before each; a sandbox Slack for each."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.cli import Shell, serve_in_thread

from worker.sandbox.embedded_redis import EmbeddedRedis
from worker.sandbox.slack.server import SlackSandbox
from worker.store.token_cipher import generate_key


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Restore logging afterwards: commands configure it for a whole process."""
    root, quiet = logging.getLogger(), logging.getLogger("asyncio")
    handlers, levels = root.handlers[:], (root.level, quiet.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    quiet.setLevel(levels[1])


@pytest.fixture
def shell(
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    logging_as_before: None,
) -> Iterator[Shell]:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    sandbox = SlackSandbox(rate_per_channel=0)
    acme = sandbox.add_workspace("Acme")
    acme.add_channel("ops")
    acme.add_channel("lobby", member=False)
    acme.add_user("ada@example.com")
    monkeypatch.chdir(tmp_path)
    for name in ("SLACK_BOT_TOKEN", "BROKER_URL", "KEY_PREFIX", "EVENTS_STREAM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("ENCRYPTION_KEY", generate_key())
    monkeypatch.setenv("COLUMNS", "200")
    with serve_in_thread(sandbox) as url:
        monkeypatch.setenv("SLACK_API_URL", url)
        yield Shell(sandbox, acme, tmp_path, monkeypatch, capsys)


@pytest.fixture
def connected(shell: Shell) -> Shell:
    """Return a shell with an integration."""
    shell.connect()
    return shell

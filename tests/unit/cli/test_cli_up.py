"""`ik-slack up`: the Procfile is read, what dies is started again, all end when asked."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from config.settings import Settings
from worker.cli import main
from worker.cli.before import only_one, redis_answers, refuse_namesakes
from worker.cli.procfile import Program, parse, procfile
from worker.cli.supervise import Supervisor, with_our_programs
from worker.cli.up import chosen
from worker.domain.errors import Problem
from worker.sandbox.redis import EmbeddedRedis

LIVES = f"{sys.executable} -u -c \"import time; print('lives'); time.sleep(600)\""
DIES = f"{sys.executable} -u -c \"print('dies')\""
STUBBORN = (
    f'{sys.executable} -u -c "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); '
    "print('lives'); time.sleep(600)\""
)


class Heard:
    """What the processes said, and waiting for it."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.more = asyncio.Event()

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self.more.set()

    async def until(self, there: Callable[[list[tuple[str, str]]], bool]) -> None:
        async with asyncio.timeout(20):
            while not there(self.lines):
                self.more.clear()
                await self.more.wait()


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return int(end.value.code or 0)


def test_our_procfile_names_ingest_worker_web_and_flower(tmp_path: Path) -> None:
    assert [program.name for program in procfile(tmp_path)] == ["ingest", "worker", "web", "flower"]


def test_a_procfile_in_the_folder_wins(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("# ours\n\nworker2: celery worker\n")
    assert procfile(tmp_path) == [Program("worker2", "celery worker")]


@pytest.mark.parametrize(
    ("text", "said"), [("oops", "line 1 is not"), ("a: x\na: y", "line 2 names a a second time")]
)
def test_a_wrong_line_of_a_procfile_is_named(text: str, said: str) -> None:
    with pytest.raises(Problem, match=said):
        parse(text, Path("Procfile"))


def test_only_chooses_by_name() -> None:
    programs = [Program("a", "x"), Program("b", "y")]
    assert chosen(programs, "b") == [Program("b", "y")]
    assert chosen(programs, None) == programs


def test_only_with_an_unknown_name_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("up", "--only", "ingest,wrker") == 2
    assert "no process wrker; there is: ingest, worker, web, flower" in capsys.readouterr().err


def test_two_of_one_data_dir_are_refused(tmp_path: Path) -> None:
    with (
        only_one(tmp_path),
        pytest.raises(Problem, match=f"runs here already.*{os.getpid()}"),
        only_one(tmp_path),
    ):
        pass
    with only_one(tmp_path):
        pass


def test_what_is_made_in_data_dir_is_for_its_owner_alone(tmp_path: Path) -> None:
    with only_one(tmp_path / "var" / "demo"):
        modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("var", "var/demo", "var/demo/up.lock")]
    assert modes == [0o700, 0o700, 0o600]


@pytest.mark.parametrize(("mode", "is_said"), [(0o777, True), (0o1777, False), (0o755, False)])
def test_a_data_dir_that_everybody_may_change_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, is_said: bool
) -> None:
    tmp_path.chmod(mode)  # with the sticky bit, as /tmp has it, nobody replaces what is another's
    with only_one(tmp_path):
        pass
    said = [
        f"`chmod 700 {tmp_path}`, or set another DATA_DIR" in line.getMessage() for line in caplog.records
    ]
    assert said == [True] * is_said


def test_a_taken_port_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from worker.store.vault import generate_key

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("FLOWER_PORT", str(port))
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        monkeypatch.setenv("ENCRYPTION_KEY", generate_key())
        assert code_of("up") == 1
    assert f"Port {port} is in use" in capsys.readouterr().err


@pytest.mark.parametrize("namesake", ["worker.py", "config/__init__.py"])
def test_a_directory_with_another_worker_of_its_own_is_refused(tmp_path: Path, namesake: str) -> None:
    refuse_namesakes(tmp_path)
    (tmp_path / namesake).parent.mkdir(exist_ok=True)
    (tmp_path / namesake).touch()
    with pytest.raises(Problem, match="from another directory"):
        refuse_namesakes(tmp_path)


async def test_a_redis_that_does_not_answer_is_waited_for_and_said_once(tmp_path: Path) -> None:
    with socket.socket() as nobody:  # bound, not listening
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        said: list[str] = []
        settings = Settings.load(redis_url=f"redis://:secret@127.0.0.1:{port}/0")
        waiting = asyncio.create_task(redis_answers(settings, said.append, lambda: False))
        async with asyncio.timeout(10):
            while not said:
                await asyncio.sleep(0.01)
    server = EmbeddedRedis(tmp_path / "redis", port)
    url = await asyncio.to_thread(server.start)
    try:
        settings = Settings.load(redis_url=url)
        async with asyncio.timeout(10):
            await redis_answers(settings, said.append, lambda: False)
    finally:
        waiting.cancel()
        await asyncio.to_thread(server.stop)
    assert said == [
        f"Redis at 127.0.0.1:{port}/0 does not answer: waiting for it. Start it, or correct REDIS_URL."
    ]


async def test_waiting_for_redis_ends_when_asked_to() -> None:
    said: list[str] = []
    async with asyncio.timeout(10):
        await redis_answers(Settings.load(redis_url="redis://127.0.0.1:1"), said.append, lambda: bool(said))
    assert len(said) == 1


def test_without_a_key_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("ENCRYPTION_KEY", raising=False)
    assert code_of("up") == 1
    assert "ik-slack keys generate" in capsys.readouterr().err


def test_our_programs_come_first_on_the_path() -> None:
    assert with_our_programs({"PATH": "/usr/bin"})["PATH"].split(os.pathsep)[0] == str(
        Path(sys.executable).parent
    )


async def test_what_dies_is_started_again_and_said() -> None:
    heard = Heard()
    supervisor = Supervisor([Program("short", DIES)], os.environ, heard)
    running = asyncio.create_task(supervisor.run())
    await heard.until(lambda lines: lines.count(("short", "dies")) >= 2)
    supervisor.stop()
    await running
    assert ("short", "ended (exit code 0), starts again in 0.5 s") in heard.lines


async def test_all_end_when_asked_to() -> None:
    heard = Heard()
    supervisor = Supervisor([Program("one", LIVES), Program("two", LIVES)], os.environ, heard)
    running = asyncio.create_task(supervisor.run())
    await heard.until(lambda lines: len(lines) == 2)
    supervisor.stop()
    async with asyncio.timeout(10):
        await running


async def test_what_does_not_end_can_be_killed() -> None:
    heard = Heard()
    supervisor = Supervisor([Program("stubborn", STUBBORN)], os.environ, heard)
    running = asyncio.create_task(supervisor.run())
    await heard.until(lambda lines: len(lines) == 1)
    supervisor.stop()
    supervisor.kill()
    async with asyncio.timeout(10):
        await running

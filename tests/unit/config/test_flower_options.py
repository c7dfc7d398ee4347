"""Flower's options, its texts of tasks, and its file access."""

import logging
import os
import runpy
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from flower.api import BaseApiHandler
from flower.options import default_options
from flower.utils.broker import Broker
from flower.views import BaseHandler
from flower.views.tasks import visible_task_columns
from tornado.log import enable_pretty_logging

import config.flower_options
from config.celeryconfig import celery_config
from config.flower_options import flower_options, format_task, list_all_queues
from config.logging_config import QUIET, JsonLines
from config.settings import Settings, SettingsError

FLOWERCONFIG = str(Path(config.flower_options.__file__).with_name("flowerconfig.py"))


@pytest.fixture(autouse=True)
def flower_as_it_was() -> Iterator[None]:
    before = [(kind, vars(kind).copy()) for kind in (BaseHandler, BaseApiHandler)]
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    mask = os.umask(0o022)
    yield
    os.umask(mask)
    for kind, attributes in before:
        for name in ("prepare", "on_finish", "get_active_queue_names"):
            if name in attributes:
                setattr(kind, name, attributes[name])
            elif name in vars(kind):
                delattr(kind, name)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET)


def options(folder: Path, **settings: Any) -> dict[str, Any]:
    return flower_options(Settings.load(data_dir=folder, **settings))


def test_every_option_exists_in_flower(tmp_path: Path) -> None:
    assert set(options(tmp_path)) <= set(default_options.as_dict())


def test_flower_without_credentials_listens_on_loopback(tmp_path: Path) -> None:
    found = options(tmp_path)
    assert (found["address"], found["basic_auth"]) == ("127.0.0.1", [])
    assert options(tmp_path, flower_basic_auth="a:1")["address"] == "127.0.0.1"


def test_flower_listens_elsewhere_with_credentials_alone(tmp_path: Path) -> None:
    found = options(tmp_path, flower_basic_auth="a:1,b:2", flower_port=7000, flower_host="0.0.0.0")
    assert (found["address"], found["basic_auth"], found["port"]) == ("0.0.0.0", ["a:1", "b:2"], 7000)
    for host in ("0.0.0.0", "::", "10.0.0.1", "flower.example.com", "127.0.0.1.example.com"):
        with pytest.raises(SettingsError, match="FLOWER_BASIC_AUTH is not set"):
            options(tmp_path, flower_host=host)


def test_without_credentials_for_another_host_flower_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWER_HOST", "0.0.0.0")
    with pytest.raises(SystemExit, match=r"FLOWER_HOST .*FLOWER_BASIC_AUTH"):
        runpy.run_path(FLOWERCONFIG)


def test_a_data_dir_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"DATA_DIR .*Flower keeps its state there"):
        options(tmp_path / "file")


def test_flower_remembers_a_limited_number_of_tasks(tmp_path: Path) -> None:
    assert options(tmp_path)["max_tasks"] == 10_000


def test_the_directory_of_flowers_state_is_private(tmp_path: Path) -> None:
    found = options(tmp_path / "var")
    folder = Path(found["db"]).parent
    assert found["persistent"]
    assert found["state_save_interval"] > 0
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)] == [0o700, 0o700]


def test_an_existing_directory_of_flowers_state_is_made_private(tmp_path: Path) -> None:
    (tmp_path / "flower").mkdir()
    (tmp_path / "flower").chmod(0o755)
    options(tmp_path)
    assert stat.S_IMODE((tmp_path / "flower").stat().st_mode) == 0o700


def test_files_that_flower_creates_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(FLOWERCONFIG)
    (tmp_path / "state.dat").touch()
    assert stat.S_IMODE((tmp_path / "state.dat").stat().st_mode) == 0o600


def test_retries_and_exceptions_are_columns_of_flower(tmp_path: Path) -> None:
    columns = options(tmp_path)["tasks_columns"]
    shown = [name for name, _ in visible_task_columns(columns)]
    assert shown == columns.split(",")
    assert {"retries", "exception"} <= set(shown)


def test_a_queue_without_a_consumer_is_listed() -> None:
    class Page:
        """The attributes of a page that the function uses: one worker consumes one queue."""

        capp = Celery(set_as_current=False)
        application = type("Flower", (), {"workers": {"w": {"active_queues": [{"name": "lanes"}]}}})

    Page.capp.conf.update(celery_config(Settings.load(), "redis://h"))
    list_all_queues()
    assert BaseHandler.get_active_queue_names(Page()) == ["dead_letters", "lanes", "upkeep"]


async def test_the_broker_page_uses_the_certificates_of_the_address() -> None:
    celery = celery_config(Settings.load(), "rediss://ada:p%40ss@h:6380/2?ssl_ca_certs=/own/ca.pem")
    broker = Broker(celery["broker_url"], broker_options={}, broker_use_ssl=celery["broker_use_ssl"])
    given = broker.redis.connection_pool.connection_kwargs
    assert (given["ssl_ca_certs"], given["ssl_cert_reqs"]) == ("/own/ca.pem", ssl.CERT_REQUIRED)
    assert (given["host"], given["port"], given["db"], given["password"]) == ("h", 6380, 2, "p@ss")


def test_flowerconfig_sets_only_the_intended_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = set(runpy.run_path(FLOWERCONFIG))
    assert names & set(default_options.as_dict()) == set(options(tmp_path))


def test_flower_logs_in_the_common_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    enable_pretty_logging(default_options)  # as Tornado does before Flower reads the options
    assert runpy.run_path(FLOWERCONFIG)["logging"] == "none"
    root = logging.getLogger()
    assert [type(handler.formatter) for handler in root.handlers] == [JsonLines]
    assert root.level == logging.DEBUG


def test_flower_options_as_a_module_prints_the_path_of_flowerconfig(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(config.flower_options.__file__, run_name="__main__")
    assert Path(capsys.readouterr().out.strip()).name == "flowerconfig.py"


class Task:
    """A task with the attributes that Flower gives it."""

    def __init__(
        self, args: str = "()", kwargs: str = "{}", result: str = "", exception: str = "", state: str = ""
    ) -> None:
        self.state = state
        self.args, self.kwargs, self.result, self.exception = args, kwargs, result, exception


def test_a_dead_letter_in_flower_starts_with_reason_and_channel() -> None:
    kwargs = "{'reason': 'overflow', 'channel': '#ops', 'delivery_id': 'd1', 'hint': \"See what's there\"}"
    assert format_task(Task(kwargs=kwargs)).kwargs == ("overflow  #ops  delivery_id=d1  hint=See what's there")


def test_a_snoozed_lane_in_flower_shows_its_reason_alone() -> None:
    exception = "Retry(Retry(...), LaneWaits('acme/#ops: Slack failed; next try in 5 s'), 5)"
    shown = format_task(Task("(acme/#ops)", result="'1 delivered'", exception=exception))
    assert (shown.exception, shown.args) == ("acme/#ops: Slack failed; next try in 5 s", "acme/#ops")
    assert (shown.result, shown.kwargs) == ("1 delivered", "")


def test_a_drained_lane_in_flower_shows_no_reason() -> None:
    exception = "Retry(Retry(...), LaneWaits('Slack failed; next try at 10:00:00 UTC'), 5)"
    assert format_task(Task(exception=exception, state="SUCCESS")).exception == ""


def test_other_exceptions_in_flower_are_unchanged() -> None:
    assert format_task(Task(exception="ValueError('x')")).exception == "ValueError('x')"

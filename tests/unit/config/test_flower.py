"""Flower shows what matters, keeps it, and serves this machine only unless there are credentials."""

import logging
import os
import runpy
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from flower.options import default_options
from flower.views import BaseHandler
from flower.views.tasks import visible_task_columns
from tornado.log import enable_pretty_logging

import config.flower
from config.celeryconfig import celery_config
from config.flower import as_people_read_it, flower_options, list_all_queues
from config.logs import QUIET, JsonLines
from config.settings import Settings

FLOWERCONFIG = str(Path(config.flower.__file__).with_name("flowerconfig.py"))


@pytest.fixture(autouse=True)
def flower_as_it_was() -> Iterator[None]:
    before = BaseHandler.get_active_queue_names
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    mask = os.umask(0o022)
    yield
    os.umask(mask)
    BaseHandler.get_active_queue_names = before
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET)


def options(folder: Path, **settings: Any) -> dict[str, Any]:
    return flower_options(Settings.load(data_dir=folder, **settings))


def test_every_option_is_one_of_flowers(tmp_path: Path) -> None:
    assert set(options(tmp_path)) <= set(default_options.as_dict())


def test_without_credentials_it_serves_this_machine_only(tmp_path: Path) -> None:
    found = options(tmp_path)
    assert (found["address"], found["basic_auth"]) == ("127.0.0.1", [])


def test_with_credentials_it_serves_everyone_who_has_them(tmp_path: Path) -> None:
    found = options(tmp_path, flower_basic_auth="a:1,b:2", flower_port=7000)
    assert (found["address"], found["basic_auth"], found["port"]) == ("0.0.0.0", ["a:1", "b:2"], 7000)


def test_it_remembers_as_many_tasks_as_a_small_machine_can_hold(tmp_path: Path) -> None:
    assert options(tmp_path)["max_tasks"] == 10_000


def test_its_state_is_kept_where_only_we_can_read_it(tmp_path: Path) -> None:
    found = options(tmp_path / "var")
    folder = Path(found["db"]).parent
    assert found["persistent"]
    assert found["state_save_interval"] > 0
    assert [stat.S_IMODE(each.stat().st_mode) for each in (folder, folder.parent)] == [0o700, 0o700]


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "flower").mkdir()
    (tmp_path / "flower").chmod(0o755)
    options(tmp_path)
    assert stat.S_IMODE((tmp_path / "flower").stat().st_mode) == 0o700


def test_what_flower_writes_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(FLOWERCONFIG)
    (tmp_path / "state.dat").touch()
    assert stat.S_IMODE((tmp_path / "state.dat").stat().st_mode) == 0o600


def test_retries_and_exceptions_are_columns(tmp_path: Path) -> None:
    columns = options(tmp_path)["tasks_columns"]
    shown = [name for name, _ in visible_task_columns(columns)]
    assert shown == columns.split(",")
    assert {"retries", "exception"} <= set(shown)


def test_the_queue_nobody_consumes_is_listed() -> None:
    class Page:
        """What the patched function needs of a page: one worker consumes two queues."""

        capp = Celery(set_as_current=False)
        application = type("Flower", (), {"workers": {"w": {"active_queues": [{"name": "lanes"}]}}})

    Page.capp.conf.update(celery_config(Settings.load(broker_url="redis://h")))
    list_all_queues()
    assert BaseHandler.get_active_queue_names(Page()) == ["dead_letters", "lanes", "upkeep"]


def test_the_file_for_conf_sets_options_and_nothing_else_of_flowers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = set(runpy.run_path(FLOWERCONFIG))
    assert names & set(default_options.as_dict()) == set(options(tmp_path))


def test_its_log_lines_are_like_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    enable_pretty_logging(default_options)  # what Tornado does before it reads our options
    assert runpy.run_path(FLOWERCONFIG)["logging"] == "none"
    root = logging.getLogger()
    assert [type(one.formatter) for one in root.handlers] == [JsonLines]
    assert root.level == logging.DEBUG


def test_run_as_a_module_it_prints_where_the_file_is(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(config.flower.__file__, run_name="__main__")
    assert Path(capsys.readouterr().out.strip()).name == "flowerconfig.py"


class Task:
    """What Flower knows of a task."""

    def __init__(
        self, args: str = "()", kwargs: str = "{}", result: str = "", exception: str = "", state: str = ""
    ) -> None:
        self.state = state
        self.args, self.kwargs, self.result, self.exception = args, kwargs, result, exception


def test_a_dead_letter_begins_with_its_reason_and_channel() -> None:
    kwargs = "{'reason': 'overflow', 'channel': '#ops', 'delivery_id': 'd1', 'hint': \"See what's there\"}"
    assert as_people_read_it(Task(kwargs=kwargs)).kwargs == (
        "overflow  #ops  delivery_id=d1  hint=See what's there"
    )


def test_a_lane_that_waits_says_why_and_no_more() -> None:
    exception = "Retry(Retry(...), LaneWaits('acme/#ops: Slack failed; next try in 5 s'), 5)"
    shown = as_people_read_it(Task("(acme/#ops)", result="'1 told'", exception=exception))
    assert (shown.exception, shown.args) == ("acme/#ops: Slack failed; next try in 5 s", "acme/#ops")
    assert (shown.result, shown.kwargs) == ("1 told", "")


def test_a_lane_that_has_told_what_waited_waits_for_nothing_any_more() -> None:
    exception = "Retry(Retry(...), LaneWaits('Slack failed; next try at 10:00:00 UTC'), 5)"
    assert as_people_read_it(Task(exception=exception, state="SUCCESS")).exception == ""


def test_other_exceptions_are_shown_as_they_are() -> None:
    assert as_people_read_it(Task(exception="ValueError('x')")).exception == "ValueError('x')"

"""The demo's story, and that its settings are its own."""

import io
import json
import re
import subprocess
import tempfile
from itertools import islice
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import Settings
from worker import sources
from worker.cli import cli, demo
from worker.cli.alone import alone, environment_of, write_environment
from worker.cli.demo_quiet import afternoon
from worker.cli.demo_story import MALFORMED, Sample, Scene, Writer, story
from worker.cli.demo_words import Progress
from worker.cli.failing import told_in_one_line
from worker.domain.event import Event, Kind, Severity

WRITER = Writer("ab12", 1_800_000_000.0)


def samples(scenes: list[Scene]) -> list[Sample]:
    return [sample for scene in scenes for sample in scene.samples]


def events(scenes: list[Scene]) -> list[Event]:
    """Every sample that can be read, in its order."""
    entries = enumerate(one for one in samples(scenes) if not isinstance(one, bytes))
    return [sources.read(json.dumps(one).encode(), f"1-{place}") for place, one in entries]


@pytest.mark.parametrize("count", [1, 7, 26, 27, 60, 3000])
def test_the_story_has_so_many_samples_and_no_id_twice(count: int) -> None:
    told = story(WRITER, count)
    ids = [event.id for event in events(told)]
    assert len(samples(told)) == count
    assert len(set(ids)) == len(ids)


def test_one_entry_cannot_be_read_and_one_is_infrakitchens_own() -> None:
    told = samples(story(WRITER, 60))
    assert [one for one in told if isinstance(one, bytes)] == [MALFORMED]
    with pytest.raises(sources.Unreadable):
        sources.read(MALFORMED, "1-1")
    assert [
        one["entity_type"] for one in told if not isinstance(one, bytes) and "specversion" not in one
    ] == ["source_code"]


def test_one_workflow_fails_at_a_step_and_one_completes() -> None:
    runs = [event for event in events(story(WRITER, 60)) if event.kind is Kind.WORKFLOW]
    assert sorted(event.title for event in runs if event.status in ("error", "done")) == [
        "Workflow create search-cluster completed",
        "Workflow deploy checkout-api failed",
    ]
    failed = next(event for event in runs if event.status == "error")
    assert [step.name for step in failed.steps if step.status == "error"] == ["terraform apply"]
    assert "InstanceQuotaExceeded" in failed.error


def test_the_storm_has_one_critical_alert_and_most_of_it_resolves() -> None:
    alerts = [event for event in events(story(WRITER, 60)) if event.kind is Kind.ALERT]
    firing = {event.about for event in alerts if event.status == "firing"}
    resolved = {event.about for event in alerts if event.status == "resolved"}
    assert len({event.about for event in alerts if event.severity is Severity.CRITICAL}) == 1
    assert resolved < firing
    assert len(resolved) > len(firing) / 2


def test_states_of_one_thing_come_in_their_order() -> None:
    newest: dict[str, float] = {}
    for event in events(story(WRITER, 200)):
        assert newest.get(event.about, 0.0) <= (event.time_s or event.order[0])
        newest[event.about] = event.time_s or event.order[0]


def test_the_afternoon_never_tells_the_same_event_twice() -> None:
    told = list(islice(afternoon(lambda: 1_800_000_000.0), 100))
    assert len({event.id for event in events(told)}) == 100


def test_the_demos_settings_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = {"REDIS_URL": "redis://real", "API_TOKEN": "t", "SLACK_BOT_TOKEN_FILE": "/x", "LOG_LEVEL": "LOUD"}
    for name, value in real.items():
        monkeypatch.setenv(name, value)
    settings = alone(tmp_path, "redis://demo", "http://127.0.0.1:1/api/", 5555, 8765, 20_000)
    environment = environment_of(settings, tmp_path)
    assert settings.redis_url == settings.broker_url == SecretStr("redis://demo")
    assert (settings.api_token, settings.slack_bot_token, settings.lane_max_length) == (None, None, 20_000)
    assert environment["REDIS_URL"] == environment["BROKER_URL"] == "redis://demo"
    assert not {"API_TOKEN", "SLACK_BOT_TOKEN_FILE", "LOG_LEVEL", "ENCRYPTION_KEY"} & set(environment)


def test_a_terminal_that_reads_the_file_has_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = alone(tmp_path, "redis://:a'b@demo", "http://127.0.0.1:1/api/", 5555, 8765, 10)
    write_environment(tmp_path, environment_of(settings, tmp_path))
    script = f"API_TOKEN=real; . {tmp_path}/env; env"
    said = subprocess.run(
        ["sh", "-c", script], env={"REDIS_URL": "redis://real"}, capture_output=True, check=True
    )
    found = dict(line.split("=", 1) for line in said.stdout.decode().splitlines())
    assert "API_TOKEN" not in found
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == settings
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "env": 0o600,
        "key": 0o600,
    }


def test_progress_is_shown_on_a_terminal_only() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    pipe, terminal = io.StringIO(), Terminal()
    for out in (pipe, terminal):
        Progress(out).published(3, 60)
    assert pipe.getvalue() == ""
    assert "published 3 of 60" in terminal.getvalue()


@pytest.mark.slow
def test_what_is_not_told_in_time_is_one_line_that_says_what_is_missing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    logging_as_before: None,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "DEADLINE_S", -1000.0)
    assert told_in_one_line(cli, ["demo", "--once", "--events", "3"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"Error: Not all was told: .+ instead of .+\. What the programs said is in .+\.\n", err
    )
    assert len(list(tmp_path.glob("ik-slack-demo-*/log"))) == 1

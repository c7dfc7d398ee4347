"""The demo's story, and its isolated settings."""

import json
import re
import subprocess
import tempfile
from itertools import islice
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.infrakitchen import entity, notification

from config.settings import Settings
from worker import sources
from worker.bridge.translator import translate
from worker.cli import cli, demo, run_cli
from worker.demo.environment import demo_settings, environment_of, write_environment
from worker.demo.infrakitchen import life
from worker.demo.scenario import MALFORMED, EventFactory, Sample, Scene, endless_scenes, story
from worker.domain.event import Event, Kind, Severity

FACTORY = EventFactory("ab12", 1_800_000_000.0)


def samples(scenes: list[Scene]) -> list[Sample]:
    return [sample for scene in scenes for sample in scene.samples]


def events(scenes: list[Scene]) -> list[Event]:
    """Return the events of the demo that can be read, in order."""
    entries = enumerate(one for one in samples(scenes) if not isinstance(one, bytes))
    return [sources.parse(json.dumps(one).encode(), f"1-{place}") for place, one in entries]


@pytest.mark.parametrize("count", [1, 7, 26, 27, 60, 3000])
def test_a_story_has_the_wanted_number_of_samples_and_no_id_twice(count: int) -> None:
    scenes = story(FACTORY, count)
    ids = [event.id for event in events(scenes)]
    assert len(samples(scenes)) == count
    assert len(set(ids)) == len(ids)


def test_one_entry_cannot_be_read_and_one_is_infrakitchens_own() -> None:
    scenes = samples(story(FACTORY, 60))
    assert [one for one in scenes if isinstance(one, bytes)] == [MALFORMED]
    with pytest.raises(sources.Unreadable):
        sources.parse(MALFORMED, "1-1")
    assert [one["entity_type"] for one in scenes if not isinstance(one, bytes) and "specversion" not in one] == [
        "source_code"
    ]


def test_one_workflow_fails_at_a_step_and_one_completes() -> None:
    runs = [event for event in events(story(FACTORY, 60)) if event.kind is Kind.WORKFLOW]
    assert sorted(event.title for event in runs if event.status in ("error", "done")) == [
        "Workflow create search-cluster completed",
        "Workflow deploy checkout-api failed",
    ]
    failed = next(event for event in runs if event.status == "error")
    assert [step.name for step in failed.steps if step.status == "error"] == ["terraform apply"]
    assert "InstanceQuotaExceeded" in failed.error


def test_the_storm_has_one_critical_alert_and_most_of_it_resolves() -> None:
    alerts = [event for event in events(story(FACTORY, 60)) if event.kind is Kind.ALERT]
    firing = {event.subject_key for event in alerts if event.status == "firing"}
    resolved = {event.subject_key for event in alerts if event.status == "resolved"}
    assert len({event.subject_key for event in alerts if event.severity is Severity.CRITICAL}) == 1
    assert resolved < firing
    assert len(resolved) > len(firing) / 2


def test_states_of_one_entity_come_in_order() -> None:
    newest: dict[str, float] = {}
    for event in events(story(FACTORY, 200)):
        assert newest.get(event.subject_key, 0.0) <= (event.time_s or event.order[0])
        newest[event.subject_key] = event.time_s or event.order[0]


def test_endless_scenes_never_repeat_an_event() -> None:
    scenes = list(islice(endless_scenes(lambda: 1_800_000_000.0), 100))
    assert len({event.id for event in events(scenes)}) == 100


def test_the_life_of_a_resource_has_the_shape_of_infrakitchens_messages() -> None:
    bodies = [one for one in samples(life()) if not isinstance(one, bytes)]
    sample = json.loads(notification("01"))
    own = [body for body in bodies if "event_type" in body]
    assert {frozenset(body) for body in own} == {frozenset(sample) - {"_metadata"}}
    resources = [body for body in bodies if body.get("_entity_name") == "resource"]
    assert all(set(body) <= set(json.loads(entity("b09"))) for body in resources)
    left_out = [body["title"] for body in bodies if translate(json.dumps(body).encode()) is None]
    assert left_out == ["Workflow execute succeeded"] * 2


def test_the_demo_does_not_use_the_settings_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = {"REDIS_URL": "redis://real", "API_TOKEN": "t", "SLACK_BOT_TOKEN_FILE": "/x", "LOG_LEVEL": "LOUD"}
    for name, value in real.items():
        monkeypatch.setenv(name, value)
    settings = demo_settings(tmp_path, redis_url="redis://demo", lane_max_length=20_000)
    environment = environment_of(settings, tmp_path)
    assert settings.redis_url == settings.broker_url == SecretStr("redis://demo")
    assert (settings.api_token, settings.slack_bot_token, settings.lane_max_length) == (None, None, 20_000)
    assert environment["REDIS_URL"] == environment["BROKER_URL"] == "redis://demo"
    assert not {"API_TOKEN", "SLACK_BOT_TOKEN_FILE", "ENCRYPTION_KEY"} & set(environment)
    assert environment["LOG_LEVEL"] == "INFO"


def test_a_terminal_that_reads_the_file_has_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = demo_settings(tmp_path, redis_url="redis://:a'b@demo", lane_max_length=10, web_port=8766)
    write_environment(tmp_path, environment_of(settings, tmp_path))
    script = f"API_TOKEN=real; . {tmp_path}/env; env"
    said = subprocess.run(["sh", "-c", script], env={"REDIS_URL": "redis://real"}, capture_output=True, check=True)
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


@pytest.mark.slow
def test_a_timeout_is_one_line_that_names_the_missing_deliveries(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    logging_as_before: None,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "TIMEOUT_S", -1000.0)
    assert run_cli(cli, ["demo", "--once", "--events", "3"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"Error: Not every event was delivered: .+ instead of .+\. The programs' output is in .+\.\n", err
    )
    assert len(list(tmp_path.glob("ik-slack-demo-*/log"))) == 1

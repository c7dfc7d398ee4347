"""Settings come from the environment, `.env` and secret files; a wrong one is said in one line."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.settings import Settings, SettingsError

SECRET = "hunter2-very-secret"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty environment and a directory without `.env`."""
    for name in list(os.environ):
        if name.removesuffix("_FILE").lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def complaint() -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    return str(caught.value)


def test_without_any_setting_the_defaults_hold() -> None:
    settings = Settings.load()
    assert settings.redis_url is None
    assert settings.broker is None
    assert settings.slack_api_url == "https://slack.com/api/"
    assert (settings.post_rate_per_channel, settings.post_rate_per_workspace) == (1.0, 300)
    assert settings.probe_interval_s == 60
    assert settings.data_dir == Path("var")


def test_the_environment_wins_over_the_dotenv_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("WEB_PORT=1000\nFLOWER_PORT=2000\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("WEB_PORT", "3000")
    settings = Settings.load()
    assert (settings.web_port, settings.flower_port) == (3000, 2000)


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_PORT", "3000")
    assert Settings.load(web_port=4000).web_port == 4000


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("WORKER_CONCURRENCY", "")
    settings = Settings.load()
    assert settings.redis_url is None
    assert settings.worker_concurrency == 64


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings.load().web_port = 1  # type: ignore[misc]


def test_the_broker_is_redis_unless_it_lives_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://one/0")
    broker = Settings.load().broker
    assert broker
    assert broker.get_secret_value() == "redis://one/0"
    monkeypatch.setenv("BROKER_URL", "redis://two/0")
    broker = Settings.load().broker
    assert broker
    assert broker.get_secret_value() == "redis://two/0"


def test_a_base_address_gets_the_slash_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_API_URL", "http://localhost:1/api")
    monkeypatch.setenv("INFRAKITCHEN_URL", "https://ik.example/")
    settings = Settings.load()
    assert settings.slack_api_url == "http://localhost:1/api/"
    assert settings.infrakitchen_url == "https://ik.example"


@pytest.mark.parametrize("level", ["debug", "Debug", "DEBUG"])
def test_the_log_level_may_be_written_in_any_case(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("LOG_LEVEL", level)
    monkeypatch.setenv("LOG_FORMAT", "JSON")
    settings = Settings.load()
    assert (settings.log_level, settings.log_format) == ("DEBUG", "json")


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"\n  {SECRET}\n")
    monkeypatch.setenv("API_TOKEN_FILE", str(file))
    token = Settings.load().api_token
    assert token
    assert token.get_secret_value() == SECRET


def test_a_secret_given_twice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", SECRET)
    monkeypatch.setenv("API_TOKEN_FILE", "/somewhere")
    assert complaint() == "API_TOKEN_FILE: API_TOKEN is set too; keep one of the two"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "the file cannot be read (No such file or directory)"),
        (b"  \n", "the file is empty"),
        (b"\xff\xfe", "the file is not text"),
        (b"x" * 65537, "the file is over 64 KiB"),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("ENCRYPTION_KEY_FILE", str(file))
    assert complaint().startswith(f"ENCRYPTION_KEY_FILE: {reason}; ")


def test_a_secret_written_where_its_file_belongs_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN_FILE", SECRET)
    assert SECRET not in complaint()


def test_every_wrong_setting_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "REDIS_URL": f"http://:{SECRET}@host",
        "KEY_PREFIX": "a{b",
        "SLACK_API_URL": "slack.com",
        "FLOWER_BASIC_AUTH": SECRET,
        "POST_RATE_PER_CHANNEL": "0",
        "POST_RATE_PER_WORKSPACE": "nan",
        "WORKER_CONCURRENCY": "many\nmore",
        "LOG_LEVEL": "loud",
        "WEB_PORT": "70000",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    lines = complaint().splitlines()
    assert {line.partition(":")[0] for line in lines} == set(wrong)
    assert len(lines) == len(wrong)
    assert SECRET not in complaint()
    assert any("unset it for the default (64)" in line for line in lines)


@pytest.mark.parametrize(
    "address", ["http://", "http:///api", "http://[::1/api", "https://slack.com]/", "http://slack.com:x/"]
)
def test_an_address_that_leads_nowhere_is_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("SLACK_API_URL", address)
    assert complaint().startswith("SLACK_API_URL: ")
    assert "must name a host and at most a port" in complaint()


@pytest.mark.parametrize("name", ["DELIVERY_MAX_AGE_S", "LANE_MAX_LENGTH", "PROBE_INTERVAL_S", "RETENTION_S"])
def test_numbers_must_be_above_zero(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "-1")
    assert complaint().startswith(f"{name}: '-1' ")


def test_a_dotenv_file_that_cannot_be_read_is_said() -> None:
    Path(".env").write_bytes(b"\xff\xfe=1")
    assert complaint() == ".env is not UTF-8 text; save it as such"


def test_no_secret_shows_in_the_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "BROKER_URL"):
        monkeypatch.setenv(name, f"redis://:{SECRET}@host")
    for name in ("ENCRYPTION_KEY", "SLACK_BOT_TOKEN", "API_TOKEN", "ADMIN_PASSWORD"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("FLOWER_BASIC_AUTH", f"me:{SECRET}")
    settings = Settings.load()
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.model_dump())


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())

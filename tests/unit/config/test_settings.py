"""Settings come from the environment, `.env` and secret files; an invalid one is reported in one line."""

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.settings import Settings, SettingsError

SECRET = "hunter2-very-secret"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty environment and a directory without `.env`."""
    for name in list(os.environ):
        if name.removesuffix("_FILE").lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def load_error() -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    return str(caught.value)


def test_settings_have_defaults() -> None:
    settings = Settings.load()
    assert settings.redis_url is None
    assert settings.broker is None
    assert settings.slack_api_url == "https://slack.com/api/"
    assert (settings.post_rate_per_channel, settings.post_rate_per_workspace) == (1.0, 300)
    assert settings.probe_interval_s == 60
    assert settings.data_dir == Path("var")


def test_the_environment_overrides_the_dotenv_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("WEB_PORT=1000\nFLOWER_PORT=2000\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("WEB_PORT", "3000")
    settings = Settings.load()
    assert (settings.web_port, settings.flower_port) == (3000, 2000)


def test_arguments_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_PORT", "3000")
    assert Settings.load(web_port=4000).web_port == 4000


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("WORKER_CONCURRENCY", "")
    settings = Settings.load()
    assert settings.redis_url is None
    assert settings.worker_concurrency == 64


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError):
        Settings.load().web_port = 1  # type: ignore[misc]


def test_the_broker_defaults_to_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://one/0")
    broker = Settings.load().broker
    assert broker
    assert broker.get_secret_value() == "redis://one/0"
    monkeypatch.setenv("BROKER_URL", "redis://two/0")
    broker = Settings.load().broker
    assert broker
    assert broker.get_secret_value() == "redis://two/0"


def test_trailing_slashes_of_addresses_are_normalized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_API_URL", "http://localhost:1/api")
    monkeypatch.setenv("INFRAKITCHEN_URL", "https://ik.example/")
    settings = Settings.load()
    assert settings.slack_api_url == "http://localhost:1/api/"
    assert settings.infrakitchen_url == "https://ik.example"


@pytest.mark.parametrize("level", ["debug", "Debug", "DEBUG"])
def test_the_log_level_is_case_insensitive(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("LOG_LEVEL", level)
    monkeypatch.setenv("LOG_FORMAT", "JSON")
    settings = Settings.load()
    assert (settings.log_level, settings.log_format) == ("DEBUG", "json")


def test_a_secret_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"\n  {SECRET}\n")
    monkeypatch.setenv("API_TOKEN_FILE", str(file))
    token = Settings.load().api_token
    assert token
    assert token.get_secret_value() == SECRET


def test_a_secret_given_twice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", SECRET)
    monkeypatch.setenv("API_TOKEN_FILE", "/somewhere")
    assert load_error() == "API_TOKEN_FILE: API_TOKEN is set too; keep one of the two"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "the file cannot be read (No such file or directory)"),
        (b"  \n", "the file is empty"),
        (b"\xff\xfe", "the file is not text"),
        (b"x" * 65537, "the file is over 64 KiB"),
    ],
)
def test_an_unusable_secret_file_is_an_error_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("ENCRYPTION_KEY_FILE", str(file))
    assert load_error().startswith(f"ENCRYPTION_KEY_FILE: {reason}; ")


def test_a_secret_given_as_a_file_name_is_not_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN_FILE", SECRET)
    assert SECRET not in load_error()


def test_every_invalid_setting_has_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
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
    lines = load_error().splitlines()
    assert {line.partition(":")[0] for line in lines} == set(wrong)
    assert len(lines) == len(wrong)
    assert SECRET not in load_error()
    assert any("unset it for the default (64)" in line for line in lines)


@pytest.mark.parametrize(
    "address", ["http://", "http:///api", "http://[::1/api", "https://slack.com]/", "http://slack.com:x/"]
)
def test_an_address_without_a_host_is_rejected(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("SLACK_API_URL", address)
    assert load_error().startswith("SLACK_API_URL: ")
    assert "must name a host and at most a port" in load_error()


@pytest.mark.parametrize("name", ["DELIVERY_MAX_AGE_S", "LANE_MAX_LENGTH", "PROBE_INTERVAL_S", "RETENTION_S"])
def test_numbers_must_be_positive(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "-1")
    assert load_error().startswith(f"{name}: '-1' ")


def test_an_unreadable_dotenv_file_is_an_error() -> None:
    Path(".env").write_bytes(b"\xff\xfe=1")
    assert load_error() == ".env is not UTF-8 text; save it as UTF-8"


def test_the_repr_of_settings_has_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "BROKER_URL"):
        monkeypatch.setenv(name, f"redis://:{SECRET}@host")
    for name in ("ENCRYPTION_KEY", "SLACK_BOT_TOKEN", "API_TOKEN", "ADMIN_PASSWORD"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("FLOWER_BASIC_AUTH", f"me:{SECRET}")
    settings = Settings.load()
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.model_dump())


REDIS_SETTINGS, WEB_SETTINGS = ("REDIS_URL", "BROKER_URL"), ("SLACK_API_URL", "INFRAKITCHEN_URL", "CONSOLE_URL")
PASSWORDS = [f"{SECRET}{sign}tail" for sign in "#/?[] "] + [f"{sign}{SECRET}" for sign in "#/?["]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("name", [*REDIS_SETTINGS, *WEB_SETTINGS])
def test_an_unencoded_password_is_one_line_that_names_the_encoding(
    monkeypatch: pytest.MonkeyPatch, name: str, password: str
) -> None:
    schemes = ("redis", "rediss", "sentinel") if name in REDIS_SETTINGS else ("https", "http")
    for scheme in schemes:
        monkeypatch.setenv(name, f"{scheme}://user:{password}@host:1234/1")
        error = load_error()
        assert error.startswith(f"{name}: ")
        assert "\n" not in error
        assert not re.search("hunter2|tail|user:", error)
        assert "%23" in error or "at most a port" in error


@pytest.mark.parametrize(
    "address",
    [
        "h:x",
        "h:0",
        "h:70000",
        "h:-1",
        "h:",
        ":secret",
        "h/x",
        "h/1/2",
        "h/99999999",
        "[::1",
        "::1",
        "h?x",
        "h?x=1?",
        "h#",
        "h,h2",
    ],
)
@pytest.mark.parametrize("name", REDIS_SETTINGS)
def test_a_wrong_redis_address_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> None:
    for login in ("", f"me:{SECRET}@"):
        monkeypatch.setenv(name, f"redis://{login}{address}")
        error = load_error()
        assert error.startswith(f"{name}: ")
        assert "\n" not in error
        assert "hunter2" not in error


@pytest.mark.parametrize(
    "address",
    ["h", "h:1", "h/0", "[::1]:6379/0", ":p%23@h", "me:p%2F%3F@h:1/2?health_check_interval=5", "me@h", "", "h/"],
)
def test_a_redis_address_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("REDIS_URL", f"rediss://{address}")
    url = Settings.load().redis_url
    assert url
    assert url.get_secret_value() == f"rediss://{address}"


@pytest.mark.parametrize("name", WEB_SETTINGS)
def test_the_login_of_a_wrong_web_address_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for address in (f"https://me:{SECRET}@h:x", f"me:{SECRET}@h", f"https://me:{SECRET}", f"https://h/?key={SECRET}:1"):
        monkeypatch.setenv(name, address)
        assert "hunter2" not in load_error()


@pytest.mark.parametrize("name", ["ADMIN_PASSWORD", "API_TOKEN"])
def test_the_space_around_a_password_does_not_count(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, f"  {SECRET} with space\t")
    secret = getattr(Settings.load(), name.lower())
    assert secret.get_secret_value() == f"{SECRET} with space"
    for wrong in ("   ", "a\nb", "x" * 1001):
        monkeypatch.setenv(name, wrong)
        assert load_error().startswith(f"{name}: must have 1 to 1000 printable characters")


def test_a_token_that_no_header_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "schlüssel")
    assert load_error().startswith("API_TOKEN: must have ASCII characters only")


def test_a_broker_of_infrakitchens_own_environment_is_its_rabbitmq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://one/0")
    monkeypatch.setenv("BROKER_URL", "amqp://ik:secret@rabbitmq:5672/%2Fik")
    settings = Settings.load()
    assert settings.rabbitmq == "amqp://ik:secret@rabbitmq:5672/%2Fik"
    assert settings.broker == settings.redis_url
    monkeypatch.setenv("AMQP_URL", "amqps://other/")
    assert Settings.load().rabbitmq == "amqps://other/"


def test_without_an_amqp_address_there_is_no_rabbitmq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "redis://two/0")
    assert not Settings.load().rabbitmq


@pytest.mark.parametrize("address", ["rabbitmq:5672", "redis://rabbitmq/", "amqp://u:se#cret@rabbitmq/", "amqp://h:x/"])
def test_an_address_of_rabbitmq_that_cannot_work_is_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("AMQP_URL", address)
    with pytest.raises(SettingsError, match=r"^AMQP_URL: \w+") as error:
        Settings.load()
    assert "cret" not in str(error.value)

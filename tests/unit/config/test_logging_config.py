"""A log line is JSON or short, in UTC, and has no secret."""

import io
import json
import logging
import logging.config
from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from config import logging_config as logs
from config.logging_config import QUIET, log_config, redact
from config.settings import Settings

TOKENS = (
    "xoxb-123456789012-abcDEF",
    "xoxp-1-2-3",
    "xoxe.xoxb-1-MQ",
    "xoxe-1-abc",
    "xapp-1-A0-1-ff",
    "XOXB-17-AbCdE",
    "xoxc-1%2Babc",
    "iks_AbC-1_2345678901234567890",
)

Lines = Callable[[str], io.StringIO]


@pytest.fixture
def logging_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Return a function that configures logging and returns the stream of its lines."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)

    def configure(log_format: str, **settings: Any) -> io.StringIO:
        stderr = io.StringIO()
        monkeypatch.setattr("sys.stderr", stderr)
        logging.config.dictConfig(log_config(Settings.load(log_format=log_format, **settings)))
        return stderr

    yield configure
    root.handlers[:], root.level = before
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_json_line_has_all_fields_of_the_record(logging_to: Lines) -> None:
    out = logging_to("json")
    logging.getLogger("x").info("posted %s", "a\nb", extra={"channel": "C1", "wait_s": 1.5})
    line = json.loads(out.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {"level": "INFO", "logger": "x", "message": "posted a\nb", "channel": "C1", "wait_s": 1.5}
    assert out.getvalue().count("\n") == 1


def test_control_characters_in_a_text_line_are_escaped(logging_to: Lines) -> None:
    out = logging_to("text")
    logging.getLogger("x").info("wrong token", extra={"path": f"/\x1b[2J\r\x9b1A\u2028\u202e{TOKENS[0]}"})
    assert out.getvalue().endswith("path=/\\x1b[2J\\r\\x9b1A\\u2028\\u202exoxb-…\n")


def test_a_text_line_is_one_line_in_utc(logging_to: Lines) -> None:
    out = logging_to("text")
    record = logging.makeLogRecord(
        {"name": "x", "levelno": 20, "levelname": "INFO", "msg": "a\nb", "created": 3661.0, "lane": "L"}
    )
    logging.getLogger().handle(record)
    assert out.getvalue() == "01:01:01Z INFO x a\\nb lane=L\n"


def test_log_format_auto_is_json_without_a_terminal(logging_to: Lines) -> None:
    out = logging_to("auto")
    logging.getLogger("x").warning("hello")
    assert json.loads(out.getvalue())["message"] == "hello"


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("before", ["", "at ", "\n", "\t", "'", "token=", "Bearer ", "token%3D", "a_", "\\n"])
def test_a_token_is_redacted_after_any_character(logging_to: Lines, log_format: str, before: str) -> None:
    out = logging_to(log_format)
    for token in TOKENS:
        logging.getLogger("some.library").warning("%s%s", before, token, extra={"more": [before + token]})
        assert token[5:] not in out.getvalue()


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_redacted_in_every_part_of_a_record(logging_to: Lines, log_format: str, token: str) -> None:
    out = logging_to(log_format)
    logger = logging.getLogger("x")
    try:
        int(token)
    except ValueError:
        logger.exception("in %s and %r", token, {"token": token}, extra={"token": token}, stack_info=True)
    written = out.getvalue()
    assert token not in written
    assert token[5:] not in written
    assert "ValueError: invalid literal" in written


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize(
    "shape",
    [
        "https://slack.example/api/auth.test?token=xoxb-1-SECRET&pretty=1",
        "https://slack.example/api/auth.test?token=xoxb%2D1%2DSECRET",
        "token='xoxb-1' '-SECRET'",
        "(b'xoxb-1'\n    b'-SECRET')",
        '"xoxp-1-2-" + "SECRET"',
        r"{\"token\": \"xoxb-1-\" \"SECRET\"}",
        r"xoxb\u002d1\u002dSECRET",
        "xapp-1-A0-2-SECRET",
        "xoxe.xoxb-1-SECRET",
        "xoxe-1-SECRET",
        "d=xoxd-abc+def/SECRET==",
        "https://hooks.slack.com/services/T0/B0/SECRET",
        "redis://:p@SECRET@host:6379/0",
        "REDIS://:SECRET@host:6379/0",
        "Rediss://:p/SECRET@host:6379/0",
        r"redis:\/\/:SECRET@host:6379\/0",
        "AMQP://guest:SECRET@rabbit:5672/",
        "https://me:SECRET@slack.example/api/",
        r"https:\/\/hooks.slack.com\/services\/T0\/B0\/SECRET",
        "HTTPS://HOOKS.SLACK.COM/services/T0/B0/SECRET",
        "https%3A%2F%2Fhooks.slack.com%2Fservices%2FT0%2FB0%2FSECRET",
        r"d=xoxd-abc\/SECRET",
        "xoxb-1-2-\nSECRET",
        "xoxb-1-2-AB\n    SECRET",
        "xoxb-1-2-AB\r\nSECRETx9",
        r"xoxb-1-2-AB\nSECRET",
        r"iks\u005fAbCdEfGhIjKlMnOpQrSt\u002dSECRET",
        "iks_AbCdEfGhIjKlMnOpQrSt\nSECRET",
    ],
)
def test_every_form_of_a_secret_is_redacted(logging_to: Lines, log_format: str, shape: str) -> None:
    out = logging_to(log_format)
    try:
        {}[shape]
    except KeyError:
        logging.getLogger("x").exception("%s", shape, extra={"a": shape, "b": [shape], "c": {"d": shape}})
    logging.getLogger("x").warning("%r", shape)
    assert "SECRET" not in out.getvalue()
    if log_format == "json":
        assert all(json.loads(line)["level"] for line in out.getvalue().splitlines())


def test_text_beside_a_token_is_kept() -> None:
    line = json.dumps({"token": "xoxb-1-2", "lane": "acme/#ops", "tokens": ["xoxb-1", "b"], "said": "'xoxb-1' is"})
    assert redact(line) == (
        '{"token": "xoxb-…", "lane": "acme/#ops", "tokens": ["xoxb-…", "b"], "said": "\'xoxb-…\' is"}'
    )


def test_the_login_of_a_redis_address_on_its_own_line_is_redacted(logging_to: Lines) -> None:
    out = logging_to("json")
    logging.getLogger("x").warning("cannot reach\nredis://me:secret@host:1/0")
    assert "cannot reach\\nredis://…@host:1/0" in out.getvalue()


def test_the_login_of_a_redis_address_is_redacted() -> None:
    assert redact("at rediss://me:secret@host:1/0 and redis://host") == "at rediss://…@host:1/0 and redis://host"


def test_text_without_a_token_is_unchanged() -> None:
    text = "A bot token starts with xoxb-, an app token with xapp-, or `xoxb-…`; see relaxapp-server."
    assert redact(text) == text


def test_slack_sdk_does_not_log_requests(logging_to: Lines) -> None:
    out = logging_to("json", log_level="DEBUG")
    logging.getLogger("slack_sdk.web.async_client").debug("Sending a request")
    assert out.getvalue() == ""


def test_a_quiet_logger_follows_a_higher_log_level(logging_to: Lines) -> None:
    out = logging_to("json", log_level="ERROR")
    logging.getLogger("celery.app.trace").warning("x")
    assert out.getvalue() == ""


def test_repeated_reconnect_messages_of_celery_are_logged_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = {"s": 100.0}
    monkeypatch.setattr(logs.time, "monotonic", lambda: clock["s"])
    repeat_filter = logs.RepeatFilter()

    def passes(name: str, message: str) -> bool:
        record = logging.LogRecord(name, logging.WARNING, "", 0, message, (), (ValueError, ValueError(), None))
        passed = repeat_filter.filter(record)
        assert (record.exc_info is None) == name.startswith("celery")
        return passed

    consumer = "celery.worker.consumer.consumer"
    assert [passes(consumer, "lost"), passes(consumer, "lost"), passes(consumer, "found")] == [
        True,
        False,
        True,
    ]
    assert [passes("worker.sweep", "lost"), passes("worker.sweep", "lost")] == [True, True]
    clock["s"] += 10
    assert passes(consumer, "lost")


@pytest.mark.parametrize("token", ["xoxb-1-2-SECRETsecret", "XOXP-1-SECRETsecret", "iks_AbC-1_2345678901234567890"])
@pytest.mark.parametrize("before", ["", ":", "me:", "user:", "a longer name of a user:"])
@pytest.mark.parametrize("after", ["", "x", "\n", " and more"])
def test_the_base64_of_a_token_is_redacted(token: str, before: str, after: str) -> None:
    raw = (before + token + after).encode()
    for encoded in (b64encode(raw), urlsafe_b64encode(raw), b64encode(raw).rstrip(b"="), encodebytes(raw * 9)):
        text = encoded.decode().strip()
        for shown in (f"Authorization: Basic {text}", json.dumps({"a": text}), f"x={text}&y=1"):
            redacted = redact(shown)
            assert all(part not in redacted for part in text.split("\n"))


@pytest.mark.parametrize(
    "text",
    [
        "sha256 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "worker-7f9d8c6b5-abcde/0123456789abcdef",
        "https://grafana.example.com/d/abc/dashboard?orgId=1@now",
        'xoxb-…\nFile "worker/tasks.py", line 3',
        "someone@example.com wrote to #ops at https://example.com/@team",
        b64encode(b"a harmless text of some length").decode(),
    ],
)
def test_what_is_no_secret_is_kept(text: str) -> None:
    assert redact(text) == text

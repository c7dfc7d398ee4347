"""Logging: JSON lines for machines, short lines for people, and never a token in either."""

import json
import logging
import re
import sys
import time
from datetime import UTC, datetime

from config.settings import Settings

# No word boundary in front: in JSON a token on a line of its own stands behind the n of `\n`. Letters of both
# cases are written out: that is several times faster than IGNORECASE, for every line. A dash may be escaped,
# for an address or for JSON; a token may be several texts, as in a line of source in a traceback.
_DASH = r"(?:[-.]|%2[dDeE]|\\+u002[dDeE])"
_PART = r"(?:[\w.%+/=-]|\\+u00[0-9a-fA-F]{2})+"
_NEXT_TEXT = r"""\\*["'](?:\s|\\+[nrt]|\+)*[bBfFrRuU]{0,2}\\*["'](?=[\w%+/=-])"""
_TOKEN = re.compile(
    r"([xX](?:[oO][xX][a-zA-Z]|[aA][pP]{2}(?=(?:-|%2[dD]|\\+u002[dD])\d)|[wW][fF][pP]))"
    rf"{_DASH}{_PART}(?:{_NEXT_TEXT}{_PART})*"
)
_OURS = re.compile(r"(iks_)[\w-]{16,}")
_WEBHOOK = re.compile(r"(hooks\.slack(?:-gov)?\.com/)[\w/.%-]+")  # whoever has the whole address may post
_LOGIN = re.compile(r"""((?:rediss?|sentinel)://)[^\s/"']*@""")  # to the last @: a password may hold others
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "exc_text"}

RECONNECTING, AGAIN_S = "celery.worker.consumer", 10.0

QUIET = {
    # One line a task says less than our one line an attempt.
    "celery.worker.strategy": "WARNING",
    "celery.app.trace": "WARNING",
    # A stack a second while Redis refuses writes, which our own lines say with the mend.
    "kombu.transport.redis": "ERROR",
    # What developers are warned of; Celery warns of its own settings with each new connection.
    "py.warnings": "ERROR",
    "aiohttp.access": "WARNING",
    # It would tell its own start and end in five lines.
    "uvicorn": "WARNING",
    # At DEBUG it writes out requests and answers.
    "slack_sdk": "INFO",
}


def log_config(settings: Settings) -> dict[str, object]:
    """For `logging.config.dictConfig`; lines go to stderr."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": JsonLines if as_json else TextLines}},
        "filters": {"repeats": {"()": LessOften}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["repeats"]}
        },
        "root": {"level": settings.log_level, "handlers": ["stderr"]},
        "loggers": {
            name: {"level": max(level, settings.log_level, key=_rank)} for name, level in QUIET.items()
        },
    }


class LessOften(logging.Filter):
    """Lets what Celery says of its connection pass once in `AGAIN_S`, which else is many times a second.

    Without the stack: where in Celery it noticed that Redis is away helps nobody.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Everything else passes as it is."""
        if not record.name.startswith(RECONNECTING):
            return True
        record.exc_info = None
        what, now = f"{record.name} {record.msg}", time.monotonic()
        again = now - self._said.get(what, -AGAIN_S) >= AGAIN_S
        if again:
            self._said[what] = now
        return again


def redact(text: str) -> str:
    """Without what looks like a token of Slack or of ours, a Slack webhook, or a login in a Redis address."""
    return _LOGIN.sub(r"\1…@", _WEBHOOK.sub(r"\1…", _OURS.sub(r"\1…", _TOKEN.sub(r"\1-…", text))))


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, what came as `extra`, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """The whole line, redacted last, so that nothing that came to it slips through."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        return redact(json.dumps(fields, ensure_ascii=False, default=str))


class TextLines(logging.Formatter):
    """`10:15:02Z INFO worker.telemetry posted channel=C1`, a traceback below."""

    converter = time.gmtime  # type: ignore[assignment]  # typeshed leaves out its default argument

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", "%H:%M:%SZ")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The first line; what was given as `extra` follows the message. Nothing in it moves a terminal."""
        line = super().formatMessage(record)
        line += "".join(f" {key}={value}" for key, value in _extra(record).items())
        if line.isprintable():
            return line
        return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)

    def format(self, record: logging.LogRecord) -> str:
        """The line and what is below it, redacted."""
        return redact(super().format(record))


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _rank(level: str) -> int:
    return logging.getLevelNamesMapping()[level]

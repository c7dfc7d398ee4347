"""Logging: JSON lines for machines, short lines for a terminal, and no secret in either."""

import base64
import json
import logging
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from config.settings import Settings

# No word boundary at the start: in JSON a token on a line of its own follows the n of `\n`. Both cases of a letter
# are written out, which is several times faster than IGNORECASE. A character may be escaped for a URL or for JSON, and
# a token may be split into several literals, as in a source line of a traceback, or broken over lines: the word on the
# next line belongs to it unless it looks like one of a sentence.
_DASH = r"(?:[-.]|%2[dDeE]|\\+u002[dDeE])"
_PART = r"(?:[\w.%+/=-]|\\+u00[0-9a-fA-F]{2}|\\+/)+"
_NEXT_LITERAL = r"""\\*["'](?:\s|\\+[nrt]|\+)*[bBfFrRuU]{0,2}\\*["'](?=[\w%+/=-])"""
_BREAK = r"(?:\\+[nr]|[\r\n])[\\nrt \t\r\n]*"
_NEXT_LINE = rf"{_BREAK}(?![A-Z]?[a-z]*[,.:;!?)]*(?:[\s\\\"']|$))(?=[\w%+/=-])"
_NEXT = rf"(?:{_NEXT_LITERAL}|{_NEXT_LINE}|(?<=-){_BREAK}(?=[\w%+/=-]))"
_TOKEN = re.compile(
    r"([xX](?:[oO][xX][a-zA-Z]|[aA][pP]{2}(?=(?:-|%2[dD]|\\+u002[dD])\d)|[wW][fF][pP]))"
    rf"{_DASH}{_PART}(?:{_NEXT}{_PART})*"
)
_OURS = re.compile(rf"(iks(?:_|%5[fF]|\\+u005[fF]))(?:(?:[\w%-]|\\+u00[0-9a-fA-F]{{2}}){{16,}})(?:{_NEXT}{_PART})*")
_SLASH = r"(?:\\*/|%2[fF]|\\+u002[fF])"
_WEBHOOK = re.compile(rf"((?i:hooks\.slack(?:-gov)?\.com){_SLASH})(?:[\w.%-]|{_SLASH})+")  # all of it is a secret
# To the last @: a password may hold others, and a slash that should have been encoded.
_LOGIN = re.compile(rf"""((?i:rediss?|sentinel|amqps?):{_SLASH}{{2}})[^\s"']{{0,500}}@""")
_WEB_LOGIN = re.compile(rf"""((?i:https?):{_SLASH}{{2}})[^\s/"'@\\]{{0,500}}:[^\s/"']{{0,500}}@""")
_BASE64 = re.compile(rf"[A-Za-z0-9+/_-]{{20,}}=*(?:{_BREAK}[A-Za-z0-9+/_-]{{4,}}=*)*")


def _base64_traces(text: str) -> Iterator[str]:
    """Yield the base64 of a text as it stands in that of a longer one, at each of the three possible places."""
    for skipped in range(3):
        encoded = base64.b64encode(b"\0" * skipped + text.encode()).decode()
        yield encoded[(skipped * 8 + 5) // 6 : (skipped + len(text)) * 8 // 6]


_TRACES = re.compile(
    "|".join(trace for word in ("xox", "XOX", "xapp-", "xwfp-", "iks_") for trace in _base64_traces(word))
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "exc_text"}

#: Celery logs many times a second while it reconnects.
RECONNECT_LOGGER, REPEAT_S = "celery.worker.consumer", 10.0

QUIET = {
    # The log line of each attempt has more details than Celery's line of each task.
    "celery.worker.strategy": "WARNING",
    "celery.app.trace": "WARNING",
    # Logs a traceback a second while Redis rejects writes; other lines name that error with its fix.
    "kombu.transport.redis": "ERROR",
    # Warnings are for developers; Celery warns of its own settings with each new connection.
    "py.warnings": "ERROR",
    "aiohttp.access": "WARNING",
    # Its start and end are five lines.
    "uvicorn": "WARNING",
    # They log each lost connection with a traceback; the bridge logs it in a line.
    "aio_pika": "CRITICAL",
    "aiormq": "CRITICAL",
    # At DEBUG it logs whole requests and responses.
    "slack_sdk": "INFO",
}


def log_config(settings: Settings) -> dict[str, object]:
    """Return the configuration for `logging.config.dictConfig`; lines go to stderr."""
    rank = logging.getLevelNamesMapping().__getitem__
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": JsonLines if as_json else TextLines}},
        "filters": {"repeats": {"()": RepeatFilter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["repeats"]}},
        "root": {"level": settings.log_level, "handlers": ["stderr"]},
        "loggers": {name: {"level": max(level, settings.log_level, key=rank)} for name, level in QUIET.items()},
    }


class RepeatFilter(logging.Filter):
    """Passes each message of Celery's reconnects once in `REPEAT_S`, without the traceback, which is of no use."""

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged; records of other loggers always are."""
        if not record.name.startswith(RECONNECT_LOGGER):
            return True
        record.exc_info = None
        message, now = f"{record.name} {record.msg}", time.monotonic()
        if now - self._logged_at.get(message, -REPEAT_S) < REPEAT_S:
            return False
        self._logged_at[message] = now
        return True


def redact(text: str) -> str:
    """Remove Slack tokens, API tokens, Slack webhook addresses and the logins of addresses from a text."""
    text = _WEBHOOK.sub(r"\1…", _OURS.sub(r"\1…", _TOKEN.sub(r"\1-…", text)))
    if "@" in text:
        text = _WEB_LOGIN.sub(r"\1…@", _LOGIN.sub(r"\1…@", text))
    return _BASE64.sub(_redact_base64, text)


def _redact_base64(match: re.Match[str]) -> str:
    """Return `…` for the base64 of a text with a token, anything else as it is."""
    if not _TRACES.search(match[0]):
        return match[0]
    encoded = re.sub(rf"{_BREAK}|=", "", match[0]).translate(_URL_SAFE)
    for start in range(4):  # the characters before it may belong to something else
        part = encoded[start:]
        decoded = base64.b64decode(part[: len(part) // 4 * 4]).decode("latin-1")
        if _TOKEN.search(decoded) or _OURS.search(decoded):
            return "…"
    return match[0]


_URL_SAFE = str.maketrans("-_", "+/")


class JsonLines(logging.Formatter):
    """One JSON object per line: `time`, `level`, `logger`, `message`, the `extra` fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the whole line and then redact it, so that no field is missed."""
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
    """Lines such as `10:15:02Z INFO worker.telemetry posted channel=C1`, followed by a traceback."""

    converter = time.gmtime  # type: ignore[assignment]  # typeshed omits its default argument

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", "%H:%M:%SZ")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """Format the first line with its `extra` fields, and escape control characters, which a terminal would obey."""
        line = super().formatMessage(record)
        line += "".join(f" {key}={value}" for key, value in _extra(record).items())
        if line.isprintable():
            return line
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)

    def format(self, record: logging.LogRecord) -> str:
        """Format the line and its traceback, redacted."""
        return redact(super().format(record))


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}

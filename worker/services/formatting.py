"""Times, time spans, counts and untrusted texts: parsed from what a user wrote, formatted for a user."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

from worker.domain.mrkdwn import clean, cut

MAX_SPAN_DAYS = 3650
#: Times between these two can be written in every time zone.
MIN_TIME, MAX_TIME = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
TIME_FORMS = "'2026-11-25 08:00' or '08:00' by this machine's clock, or '2026-11-25T08:00+01:00'"
_SPAN = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m)?")


def parse_span_ms(text: str) -> int:
    """Return a time span such as `1h30m` in ms. Raises ValueError with the accepted forms."""
    match = _SPAN.fullmatch(re.sub(r"\s", "", text.lower()))
    days, hours, minutes = (int(part or 0) for part in (match.groups() if match else ("0", "0", "0")))
    span = timedelta(days=days, hours=hours, minutes=minutes)
    if not timedelta() < span <= timedelta(days=MAX_SPAN_DAYS):
        raise ValueError(f"{text!r} is not a time span; write 30m, 2h, 3d or 1h30m, at most {MAX_SPAN_DAYS}d")
    return int(span.total_seconds()) * 1000


def parse_time_ms(text: str, now_ms: int = 0) -> int:
    """Return a time in Unix ms, in whole seconds. Raises ValueError with the accepted forms.

    A time without a zone is read by this machine's clock. With `now_ms`, a time of day is its next occurrence.
    """
    try:
        if now_ms and re.fullmatch(r"\d{1,2}:\d\d", text.strip()):
            now = datetime.fromtimestamp(now_ms / 1000)  # noqa: DTZ006  # by this machine's clock
            hour, minute = map(int, text.split(":"))
            at = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
            at += timedelta(days=at <= now)
        else:
            at = datetime.fromisoformat(text.strip())
        at_s = int(at.timestamp())
    except (ValueError, OverflowError, OSError):
        at_s = -1
    if not MIN_TIME.timestamp() <= at_s < MAX_TIME.timestamp():
        raise ValueError(f"{text!r} is not a time; write {TIME_FORMS}")
    return at_s * 1000


def parse_since_ms(text: str, now_ms: int) -> int:
    """Return the start of a list in Unix ms: a time, or a span before now; 0 for no text. Raises ValueError."""
    if not text:
        return 0
    try:
        return now_ms - parse_span_ms(text)
    except ValueError:
        with_clock = now_ms - 86_400_000 if re.fullmatch(r"\d{1,2}:\d\d", text.strip()) else 0  # the last such time
    try:
        return parse_time_ms(text, with_clock)
    except ValueError:
        raise ValueError(f"{text!r} is neither a time span such as 30m, 2h or 3d, nor a time: {TIME_FORMS}") from None


def format_stored_time(ms: int) -> str:
    """Return a time as files hold it, in UTC; empty for 0."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z") if ms else ""


def format_json_time(ms: int) -> str | None:
    """Return a time as JSON holds it, ISO 8601 in UTC with milliseconds; None for 0."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")[:23] + "Z" if ms else None


def format_time(ms: int) -> str:
    """Return a time in this machine's time zone; empty for 0."""
    return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S") if ms else ""


def pluralize(number: int, noun: str, plural: str = "") -> str:
    """Return `1 event`, `2,500 events`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def printable(text: str, limit: int = 300) -> str:
    """Return a text of an event on one line, without characters that control a terminal."""
    line = " ".join(clean(text).split())
    return cut("".join(char for char in line if char.isprintable()), limit)


def printable_bytes(raw: bytes, limit: int) -> str:
    """Return bytes as text in which everything that cannot be printed is escaped."""
    text = raw[: 4 * limit].decode("utf-8", "backslashreplace")
    chars = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return cut("".join(chars), limit)


def format_validation_error(fault: Mapping[str, Any], fields: Iterable[str] = ()) -> str:
    """Return the message of one pydantic error; that of a validator's own ValueError without pydantic's prefix.

    The message of an unknown field names the most similar one of `fields`.
    """
    if fault["type"] == "extra_forbidden":
        similar = get_close_matches(str(fault["loc"][-1]).lower().replace("-", "_"), list(fields), n=1, cutoff=0.5)
        return f"is unknown (did you mean {similar[0]}?)" if similar else "is unknown"
    return str(fault["ctx"]["error"] if fault["type"] == "value_error" else fault["msg"])

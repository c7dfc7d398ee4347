"""Times and spans as people write them; a time without a zone is by this machine's clock."""

import re
from datetime import UTC, datetime, timedelta

LONGEST_DAYS = 3650
FIRST, LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""Within these a moment can be written in every zone."""
FORMS = "'2026-11-25 08:00' or '08:00', as this machine's clock shows it, or '2026-11-25T08:00+01:00'"
_SPAN = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m)?")


def span_ms(written: str) -> int:
    """A span in ms; ValueError says how to write one."""
    found = _SPAN.fullmatch(re.sub(r"\s", "", written.lower()))
    days, hours, minutes = (int(part or 0) for part in (found.groups() if found else ("0", "0", "0")))
    span = timedelta(days=days, hours=hours, minutes=minutes)
    if not timedelta() < span <= timedelta(days=LONGEST_DAYS):
        raise ValueError(f"{written!r} is no span; write 30m, 2h, 3d or 1h30m, {LONGEST_DAYS}d at most")
    return int(span.total_seconds()) * 1000


def moment_ms(written: str, now_ms: int = 0) -> int:
    """A moment in Unix ms, whole seconds; ValueError says how to write one.

    With `now_ms`, a time of day is the next such.
    """
    try:
        if now_ms and re.fullmatch(r"\d{1,2}:\d\d", written.strip()):
            now = datetime.fromtimestamp(now_ms / 1000)  # noqa: DTZ006  # as this machine's clock shows it
            hour, minute = map(int, written.split(":"))
            at = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
            at += timedelta(days=at <= now)
        else:
            at = datetime.fromisoformat(written.strip())
        at_s = int(at.timestamp())
    except (ValueError, OverflowError, OSError):
        at_s = -1
    if not FIRST.timestamp() <= at_s < LAST.timestamp():
        raise ValueError(f"{written!r} is no time; write {FORMS}")
    return at_s * 1000


def written_moment(ms: int) -> str:
    """A moment as files hold it, in UTC; nothing for 0."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z") if ms else ""

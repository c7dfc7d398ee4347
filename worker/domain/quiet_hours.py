"""Quiet hours: a daily period, in one time zone, in which deliveries are delayed."""

import re
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

_HOURS = re.compile(r"(\d{1,2}):(\d\d)\s*[-–]\s*(\d{1,2}):(\d\d)")
QUIET_HOURS_EXAMPLE = "22:00-07:00"


def quiet_hours_end_ms(written: str, zone: str, now_ms: int) -> int:
    """Return when the quiet hours that contain `now_ms` end, in Unix ms; 0 outside quiet hours.

    Quiet hours span midnight when their end is earlier than their begin. When clocks change, a skipped end moves to the
    end of the gap, and an ambiguous one is its next occurrence. Raises ValueError for quiet hours or a time zone that
    cannot be parsed.
    """
    begin, end = parse_times(written)
    now = datetime.fromtimestamp(now_ms / 1000, find_zone(zone))
    clock = now.time()
    is_quiet = begin <= clock < end if begin < end else not end <= clock < begin
    if not is_quiet:
        return 0
    first = datetime.combine(now.date() + timedelta(days=clock >= end), end, now.tzinfo)
    ends_ms = [int(at.timestamp()) * 1000 for at in (first, first.replace(fold=1))]
    return ends_ms[0] if ends_ms[0] > now_ms else ends_ms[1]


def parse_times(written: str) -> tuple[time, time]:
    """Parse the begin and the end of quiet hours; raise ValueError that says how to write them."""
    if match := _HOURS.fullmatch(written.strip()):
        hour, minute, end_hour, end_minute = map(int, match.groups())
        with suppress(ValueError):
            begin, end = time(hour, minute), time(end_hour, end_minute)
            if begin != end:
                return begin, end
    raise ValueError(f"{written!r} is not a period of time; write {QUIET_HOURS_EXAMPLE}")


def find_zone(name: str) -> ZoneInfo:
    """Return a time zone by its name; raise ValueError when this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(
            f"this machine does not know the time zone {name!r}; write a name such as Europe/Stockholm, and if "
            "that is not known either, install the system's tzdata package (or `pip install tzdata`)"
        ) from None


def format_quiet_reason(until_ms: int, zone: str) -> str:
    """Return why a delivery waits until `until_ms`, with the time in the subscription's zone, or UTC."""
    try:
        at, zone_name = datetime.fromtimestamp(until_ms / 1000, find_zone(zone)), zone
    except ValueError:
        at, zone_name = datetime.fromtimestamp(until_ms / 1000, UTC), "UTC"
    return f"held: quiet hours until {at:%H:%M} ({zone_name})"

"""Quiet hours: when a channel is to be left in peace, by the clock on the wall of one time zone."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

_HOURS = re.compile(r"(\d{1,2}):(\d\d)\s*[-–]\s*(\d{1,2}):(\d\d)")
FORM = "22:00-07:00"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From one time of day to another, over midnight when that is earlier."""

    begin: time
    end: time
    zone: ZoneInfo

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def until_ms(self, now_ms: int) -> int:
        """When they end, in Unix ms; 0 when it is not quiet now.

        An end that the clocks jump over is when they have jumped, one that comes twice the next of the two.
        """
        now = datetime.fromtimestamp(now_ms / 1000, self.zone)
        clock = now.time()
        if self.begin < self.end:
            if not self.begin <= clock < self.end:
                return 0
        elif self.end <= clock < self.begin:
            return 0
        day = now.date() + timedelta(days=clock >= self.end)
        first = datetime.combine(day, self.end, self.zone)
        ends_ms = [int(end.timestamp()) * 1000 for end in (first, first.replace(fold=1))]
        return ends_ms[0] if ends_ms[0] > now_ms else ends_ms[1]


def quiet_hours(written: str, zone: str) -> QuietHours:
    """Quiet hours from `22:00-07:00` and a zone's name; ValueError when they are none."""
    return QuietHours(*times(written), known_zone(zone))


def times(written: str) -> tuple[time, time]:
    """Begin and end; ValueError says how to write them."""
    if found := _HOURS.fullmatch(written.strip()):
        hour, minute, end_hour, end_minute = map(int, found.groups())
        with suppress(ValueError):
            begin, end = time(hour, minute), time(end_hour, end_minute)
            if begin != end:
                return begin, end
    raise ValueError(f"{written!r} are no quiet hours; write {FORM}")


def known_zone(name: str) -> ZoneInfo:
    """A time zone by its name; ValueError when this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(
            f"this machine knows no time zone {name!r}; write one such as Europe/Stockholm, and if that is "
            "not known either, install the system's tzdata package (or `pip install tzdata`)"
        ) from None


def in_words(until_ms: int, zone: str) -> str:
    """Until when something is held, as people there read their clocks."""
    try:
        at, where = datetime.fromtimestamp(until_ms / 1000, known_zone(zone)), zone
    except ValueError:
        at, where = datetime.fromtimestamp(until_ms / 1000, UTC), "UTC"
    return f"held: quiet hours until {at:%H:%M} ({where})"

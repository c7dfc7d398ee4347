"""Times as Slack shows them, in this machine's zone.

https://docs.slack.dev/messaging/formatting-message-text#date-formatting
"""

import re
from datetime import UTC, datetime


def local(at_s: float) -> datetime:
    """A Unix time here."""
    return datetime.fromtimestamp(at_s, UTC).astimezone()


def time_of_day(at: datetime, *, seconds: bool = False) -> str:
    """As in `9:05 AM`."""
    exact = f":{at.second:02d}" if seconds else ""
    return f"{at.hour % 12 or 12}:{at.minute:02d}{exact} {'AM' if at.hour < 12 else 'PM'}"


def day(at: datetime, now: datetime) -> str:
    """The label of a day between messages: `Today`, `Yesterday`, `Monday, November 23rd`."""
    return _near(at, now) or f"{at:%A}, {at:%B} {_ordinal(at.day)}"


def formatted(at: datetime, form: str, now: datetime) -> str:
    """The format of a `<!date^…>`; what it does not know stays as it is."""
    pretty = _near(at, now)
    long = f"{at:%A}, {at:%B} {_ordinal(at.day)}, {at.year}"
    parts = {
        "date_num": f"{at:%Y-%m-%d}",
        "date_slash": f"{at:%m/%d/%Y}",
        "date": f"{at:%B} {_ordinal(at.day)}, {at.year}",
        "date_short": f"{at:%b} {at.day}, {at.year}",
        "date_long": long,
        "time": time_of_day(at),
        "time_secs": time_of_day(at, seconds=True),
        "ago": _ago((now - at).total_seconds()),
    }
    parts |= {f"{name}_pretty": pretty or parts[name] for name in ("date", "date_short", "date_long")}
    return re.sub(r"\{(\w+)\}", lambda found: parts.get(found[1], found[0]), form)


def _near(at: datetime, now: datetime) -> str:
    return {-1: "Tomorrow", 0: "Today", 1: "Yesterday"}.get((now.date() - at.date()).days, "")


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 11 <= number <= 13 else endings.get(number % 10, 'th')}"


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if abs(seconds) >= size:
            count = int(abs(seconds) // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"

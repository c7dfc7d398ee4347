"""Words that every answer shares: counts, and moments by this machine's clock."""

from datetime import datetime


def count(number: int, noun: str, several: str = "") -> str:
    """`1 event`, `2,500 events`."""
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"


def when(ms: int) -> str:
    """A moment in this machine's time zone; nothing for 0."""
    return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S") if ms else ""

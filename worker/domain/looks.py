"""How a state looks: its sign, its colour, and how urgent it is for the one who reads."""

from worker.domain.event import Event, Kind, Severity
from worker.domain.message import Colour

Look = tuple[str, Colour]

_GOOD: Look = ("✅", Colour.GOOD)
_BAD: Look = ("❌", Colour.DANGER)
_BUSY: Look = ("⏳", Colour.BUSY)
_QUIET: Look = ("⚪", Colour.QUIET)
_ASKS: Look = ("🟡", Colour.WARNING)
_INFO: Look = ("🔵", Colour.BUSY)

_BY_STATUS: dict[str, Look] = {
    "done": _GOOD, "ready": _GOOD, "success": _GOOD, "completed": _GOOD, "enabled": _GOOD,
    "provisioned": _GOOD,
    "error": _BAD, "failed": _BAD,
    "in_progress": _BUSY, "queued": _BUSY, "pending": _BUSY, "started": _BUSY,
    "approval_pending": _ASKS, "warning": _ASKS, "unknown": _ASKS,
    "cancelled": _QUIET, "rejected": _QUIET, "disabled": _QUIET,
    "info": _INFO,
}  # fmt: skip

_BY_SEVERITY: dict[Severity, Look] = {
    Severity.CRITICAL: ("🔴", Colour.DANGER),
    Severity.ERROR: ("🟠", Colour.DANGER),
    Severity.WARNING: _ASKS,
    Severity.INFO: _INFO,
}


def look(event: Event) -> Look:
    """Sign and colour of an event."""
    if event.kind is Kind.ALERT and event.type.endswith(".resolved"):
        return ("🟢", Colour.GOOD)
    if event.kind is Kind.ALERT and event.status in ("", "firing"):
        return _BY_SEVERITY[event.severity]
    return _BY_STATUS.get(event.status, _BY_SEVERITY[event.severity])


def headline(event: Event) -> str:
    """What happened, in a few words: the title, with what the sign alone would leave open."""
    if event.kind is Kind.ALERT and event.type.endswith(".resolved"):
        return f"{event.title} resolved"
    if event.kind is Kind.WORKFLOW and has_failed(event):
        failed = next((step.name for step in event.steps if step.status in ("error", "failed")), "")
        return f"{event.title} at {failed}" if failed else event.title
    return event.title


def urgency(event: Event) -> int:
    """What comes first in a digest: the severity; what is over comes after everything that is not."""
    return -1 if look(event)[1] in (Colour.GOOD, Colour.QUIET) else int(event.severity)


def has_failed(event: Event) -> bool:
    """Whether it ended badly; an alert that fires has not ended."""
    return event.kind is not Kind.ALERT and look(event) == _BAD


def is_over(event: Event) -> bool:
    """Whether nothing more is to be expected of what it is about, well or badly ended."""
    return look(event)[1] in (Colour.GOOD, Colour.QUIET) or has_failed(event)


def step_sign(status: str) -> str:
    """The sign of one step of a workflow."""
    return _BY_STATUS.get(status, _QUIET)[0] if status not in ("pending", "queued", "") else "▫️"

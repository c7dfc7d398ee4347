"""How a state looks: its sign, its colour, and how urgent it is for the one who reads."""

from collections.abc import Mapping

from worker.domain.event import Event, Kind, Severity, Step
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

WORDS: Mapping[str, str] = {
    "🔴": "critical", "❌": "failed", "🟠": "error", "🟡": "warning", "🔵": "info", "⏳": "in progress",
    "✅": "done", "🟢": "resolved", "⚪": "cancelled",
}  # fmt: skip
"""What a sign means, for those who count them."""


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
        failed = _failed_step(event)
        return f"{event.title} at {failed.name}" if failed and failed.name else event.title
    return event.title


def why(event: Event) -> str:
    """The reason of a failure in full: the error, else that of the step that failed, else what is said."""
    if event.error or not has_failed(event):
        return event.error
    failed = _failed_step(event)
    return (failed.error if failed else "") or event.text


def gist(event: Event) -> str:
    """Why, or what is said, for a place with room for a line.

    Of a Python traceback it is what it ends with, of all else the first paragraph: what follows is where.
    """
    told = (why(event) or event.text).strip()
    if told.startswith("Traceback (most recent call last)"):
        return told.rsplit("\n", 1)[-1]
    return told.partition("\n\n")[0]


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
    return _BY_STATUS.get(status, _QUIET)[0] if status not in ("pending", "queued", "") else "⬜"


def is_done(step: Step) -> bool:
    """Whether a step ended well."""
    return step_sign(step.status) == _GOOD[0]


def _failed_step(event: Event) -> Step | None:
    return next((step for step in event.steps if step_sign(step.status) == _BAD[0]), None)

"""What an event's words mean: how bad a status is, and the one line people read first."""

from collections.abc import Sequence

from worker.domain.event import Severity, Step

FAILED = frozenset({"error", "failed", "failure"})
WAITING = frozenset({"pending", "in_progress", "queued", "approval_pending", "started", "step_completed"})
WELL = frozenset({"done", "ready", "enabled", "disabled", "success", "completed", "info", "ok"})
_CALM = WAITING | WELL


def status_severity(*words: str) -> Severity:
    """The rank of the worst of some status words; a word nobody knows is a warning, none is information."""
    return max(map(_rank, words), default=Severity.INFO)


def _rank(word: str) -> Severity:
    plain = word.strip().lower()
    if not plain or plain in _CALM:
        return Severity.INFO
    return Severity.ERROR if plain in FAILED else Severity.WARNING


def spoken(word: str) -> str:
    """`in_progress` as people say it."""
    return word.replace("_", " ").strip()


def one_line(text: str) -> str:
    """A text without line breaks and double spaces."""
    return " ".join(text.split())


def workflow_title(name: str, what: str, steps: Sequence[Step]) -> str:
    """`Workflow deploy-prod failed`; `what` is the last word of the event's type."""
    subject = one_line(f"Workflow {name}")
    if what == "step_completed":
        if not steps:
            return f"{subject} completed a step"
        done = sum(step.status == "done" for step in steps)
        return f"{subject}: {done} of {len(steps)} steps done"
    return f"{subject} {'was cancelled' if what == 'cancelled' else what}"


def resource_title(name: str, state: str, status: str) -> str:
    """`Resource db-main is provisioned`, `Resource db-main: provision in progress`."""
    subject = one_line(f"Resource {name}")
    if state in {"provisioned", "destroyed"} and status in {"", "done", "ready"}:
        return f"{subject} is {state}"
    if status in FAILED:
        failed = {"provision": " to provision", "destroy": " to be destroyed"}.get(state, "")
        return f"{subject} failed{failed}"
    words = one_line(f"{spoken(state)} {spoken(status)}")
    return f"{subject}: {words}" if words else f"{subject} changed"

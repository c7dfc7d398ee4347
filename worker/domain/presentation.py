"""How a state is presented: its emoji, its colour, its headline and its urgency."""

import re
from collections.abc import Mapping

from worker.domain.event import DRY_RUN, Event, Kind, Severity, Step
from worker.domain.message import Colour

Appearance = tuple[str, Colour]

_BOX = re.compile(r"^[╷│╵] ?| ?[╷╵]$", re.MULTILINE)

_GOOD, _BAD, _BUSY = ("✅", Colour.GOOD), ("❌", Colour.DANGER), ("⏳", Colour.BUSY)
_QUIET, _ASKS, _INFO = ("⚪", Colour.QUIET), ("🟡", Colour.WARNING), ("🔵", Colour.BUSY)
_REJECTED = ("🚫", Colour.WARNING)
_BY_STATUS: dict[str, Appearance] = {
    "done": _GOOD, "success": _GOOD, "completed": _GOOD, "enabled": _GOOD, "provisioned": _GOOD,
    "error": _BAD, "failed": _BAD,
    "in_progress": _BUSY, "queued": _BUSY, "pending": _BUSY, "started": _BUSY,
    "ready": _BUSY,  # approved, and not executed yet
    "approval_pending": _ASKS, "warning": _ASKS, "unknown": _ASKS,
    "rejected": _REJECTED,
    "cancelled": _QUIET, "disabled": _QUIET,
    "info": _INFO,
}  # fmt: skip
_BY_SEVERITY: dict[Severity, Appearance] = {
    Severity.CRITICAL: ("🔴", Colour.DANGER), Severity.ERROR: ("🟠", Colour.DANGER),
    Severity.WARNING: _ASKS, Severity.INFO: _INFO,
}  # fmt: skip

EMOJI_NAMES: Mapping[str, str] = {
    "🔴": "critical", "❌": "failed", "🟠": "error", "🟡": "warning", "🔵": "info", "⏳": "in progress",
    "🚫": "rejected", "✅": "done", "🟢": "resolved", "⚪": "cancelled",
}  # fmt: skip
"""The state that each emoji of an event shows."""

#: Labels that say where something happened, the widest place first. `where_labels` puts them before all others.
PLACES = (
    "cluster", "namespace",
    "workload", "deployment", "statefulset", "daemonset", "replicaset", "cronjob", "job_name",
    "pod", "container", "node", "host", "hostname", "nodename", "instance", "service", "source",
)  # fmt: skip
#: Labels that say nothing about the subject: shown by the title and the emoji, or added by the scrape.
_NOT_SHOWN = frozenset(("alertname", "severity", "endpoint", "prometheus", "prometheus_replica"))
#: Labels of kube-state-metrics itself, which reports about other pods.
_OF_EXPORTER = frozenset(("container", "instance", "job", "service"))
_EXPORTED = "exported_"


def appearance(event: Event) -> Appearance:
    """Return the emoji and the colour of an event."""
    if is_resolved(event):
        return ("🟢", Colour.GOOD)
    if event.kind is Kind.ALERT and event.type.endswith(".left_out"):
        return ("🟢", Colour.GOOD) if event.status == "resolved" else _ASKS
    if event.kind is Kind.ALERT and event.status in ("", "firing"):
        return _BY_SEVERITY[event.severity]
    return _BY_STATUS.get(event.status, _BY_SEVERITY[event.severity])


def headline(event: Event) -> str:
    """Return the title of the event; a resolved alert says so, a failed workflow names the step."""
    if is_resolved(event):
        return f"{event.title} resolved"
    if event.kind is Kind.WORKFLOW and has_failed(event):
        failed = _failed_step(event)
        return f"{event.title} at {failed.name}" if failed and failed.name else event.title
    return event.title


def failure_reason(event: Event) -> str:
    """Return the full reason of a failure: the error of the event or of its failed step, else its text."""
    if event.error or not has_failed(event):
        return event.error
    failed = _failed_step(event)
    return (failed.error if failed else "") or event.text


def summary_line(event: Event) -> str:
    """Return the reason or the text of the event for one line: its first paragraph, of a traceback the last line."""
    text = remove_box(failure_reason(event) or event.text).strip()
    if text.startswith("Traceback (most recent call last)"):
        return text.rsplit("\n", 1)[-1]
    return text.partition("\n\n")[0]


def where_labels(event: Event) -> dict[str, str]:
    """Return the labels that add something to the title, those that say where it happened first.

    The exporter's own labels give way to those of its subject: `exported_pod` is the pod, and where the job is
    kube-state-metrics, `instance` and the like are those of the exporter. Without a cluster, the monitoring system that
    sent an alert is the only sign of where it happened.
    """
    labels = event.labels
    exported = {name.removeprefix(_EXPORTED): value for name, value in labels.items() if name.startswith(_EXPORTED)}
    hidden = _NOT_SHOWN | (_OF_EXPORTER if "kube-state-metrics" in labels.get("job", "") else frozenset())
    own = {name: value for name, value in labels.items() if not name.startswith(_EXPORTED) and name not in hidden}
    said = {event.title, *event.title.replace(":", " ").split()}
    shown = {
        name: value
        for name, value in (own | exported).items()
        if (value or event.kind is not Kind.ALERT)  # a label of InfraKitchen may have no value
        and value not in said
        and name not in _NOT_SHOWN
        and not is_private(name)
    }
    if event.origin and not {"cluster", "source"} & shown.keys():
        shown["source"] = event.origin
    places = {name: shown[name] for name in PLACES if name in shown}
    return places | shown


def is_private(name: str) -> bool:
    """Return whether a label or annotation is for machines: `__name__`, `__dashboardUid__`."""
    return name.startswith("__") and name.endswith("__")


def remove_box(text: str) -> str:
    """Return a text without the box that OpenTofu draws around an error."""
    return _BOX.sub("", text) if "╷" in text else text


def urgency(event: Event) -> int:
    """Return the rank of the event in a digest: its severity; one that ended well or was cancelled ranks last."""
    return -1 if appearance(event)[1] in (Colour.GOOD, Colour.QUIET) else int(event.severity)


def has_failed(event: Event) -> bool:
    """Return whether the operation failed; a firing alert is no failure."""
    return event.kind is not Kind.ALERT and appearance(event) == _BAD


def is_rejected(event: Event) -> bool:
    """Return whether a person rejected the operation."""
    return event.kind is not Kind.ALERT and appearance(event) == _REJECTED


def next_step(event: Event) -> str:
    """Return what a person can do about the state of a resource; empty where InfraKitchen offers nothing."""
    if event.kind is not Kind.RESOURCE or event.state not in ("provision", "provisioned", "destroy"):
        return ""
    if event.status == "approval_pending":
        return "A person with admin rights approves or rejects this in InfraKitchen."
    if is_rejected(event):
        return "Recreate it to ask for approval again, or delete it." if event.state == "provision" else ""
    return "Fix the cause, then execute the resource again." if has_failed(event) and event.action != DRY_RUN else ""


def is_resolved(event: Event) -> bool:
    """Return whether the event says that an alert is over."""
    return event.kind is Kind.ALERT and event.type.endswith(".resolved")


def is_finished(event: Event) -> bool:
    """Return whether the state is final, good or bad."""
    return appearance(event)[1] in (Colour.GOOD, Colour.QUIET) or is_rejected(event) or has_failed(event)


def is_routine(event: Event) -> bool:
    """Return whether the event is a state of a resource that neither failed nor needs an approval."""
    needs_attention = event.severity is not Severity.INFO or appearance(event)[1] is Colour.WARNING
    return event.kind is Kind.RESOURCE and not needs_attention


def step_emoji(status: str) -> str:
    """Return the emoji of a workflow step."""
    return _BY_STATUS.get(status, _QUIET)[0] if status not in ("pending", "queued", "") else "⬜"


def _failed_step(event: Event) -> Step | None:
    return next((step for step in event.steps if step_emoji(step.status) == _BAD[0]), None)

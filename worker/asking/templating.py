"""A template as people write it: judged, and tried on events of every kind before it is kept."""

from collections.abc import Collection, Iterator
from functools import cache

from worker import sources
from worker.domain.event import Event
from worker.domain.folding import Folding, Line
from worker.domain.template import MOST_BYTES, TemplateFault

_STEPS = [
    {"name": "plan", "position": 1, "status": "done"},
    {"name": "apply", "position": 2, "status": "error", "error_message": "quota exceeded"},
]
_TIMES = {"started_at": "2026-01-01T10:00:00Z", "completed_at": "2026-01-01T10:04:12Z"}
_SHARED = {"project": "shop", "labels": {"env": "prod", "team": "ops"}, "creator": {"name": "Ada Lovelace"}}
_SAMPLES: dict[str, tuple[str, dict[str, object]]] = {
    "a workflow": (
        "workflow.failed",
        {"workflow_id": "w-1", "name": "deploy", "status": "error", "error_message": 'exit "1"\nsee the log',
         "steps": _STEPS, **_TIMES, **_SHARED},
    ),
    "a resource": (
        "resource.state_changed",
        {"resource_id": "r-1", "name": "db-main", "template": "postgres", "state": "provisioned",
         "status": "done", "previous_state": "provision", "requester": {"name": "Ada"}, **_SHARED},
    ),
    "an alert": (
        "alert.firing",
        {"name": "Disk full", "fingerprint": "f00", "severity": "critical", "summary": "97 % used",
         "description": "The disk of db-main is full.", "generator_url": "https://alerts.example.com/1",
         "starts_at": "2026-01-01T10:00:00Z", **_SHARED},
    ),
    "another": ("storage.grew", {"name": "logs", "status": "info", "message": "Logs grew."}),
    "a bare workflow": ("workflow.started", {"workflow_id": "w-2", "name": "deploy"}),
    "a bare resource": ("resource.state_changed", {"resource_id": "r-2", "name": "db-main"}),
    "a bare alert": ("alert.resolved", {"name": "Disk full"}),
}  # fmt: skip


def checked_template(value: object, kinds: Collection[str] = ()) -> str:
    """A template that can be kept; ValueError says what is wrong and in which line.

    It is tried on events of the kinds it is for, which without any named are all.
    """
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text; put it in quotes")  # noqa: TRY004  # pydantic collects ValueErrors
    source = value.replace("\r\n", "\n")
    if not source.strip():
        if source:
            raise ValueError("is empty")
        return source
    if len(source.encode()) > MOST_BYTES:
        raise ValueError(f"has {len(source.encode()):,} bytes, it may have {MOST_BYTES:,}")
    try:
        _try(source, kinds)
    except TemplateFault as fault:
        where = f"line {fault.line}: " if fault.line else ""
        raise ValueError(f"{where}{fault.reason}") from None
    return source


def _try(source: str, kinds: Collection[str]) -> None:
    """TemplateFault names the sample it was found with."""
    from worker.pipeline.language import compiled
    from worker.pipeline.template import Writer
    from worker.slack.given import why_not

    compiled(source)
    writer = Writer(why_not, "https://infrakitchen.example.com")
    for name, event in _samples():
        if kinds and event.kind not in kinds:
            continue
        try:
            writer.fill(source, Folding((Line(event, name),)), strict=True)
        except TemplateFault as fault:
            raise TemplateFault(f"{fault.reason} (tried on {name} event)", fault.line) from None


@cache
def _samples() -> tuple[tuple[str, Event], ...]:
    return tuple(_read())


def _read() -> Iterator[tuple[str, Event]]:
    from worker.publish import encode

    for name, (what, data) in _SAMPLES.items():
        body = {"specversion": "1.0", "id": name, "source": "/samples", "type": f"io.infrakitchen.{what}"}
        yield name, sources.read(encode({**body, "data": data}), "1767262000000-0")

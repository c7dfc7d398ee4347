"""An event: something InfraKitchen says happened; immutable, has an id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

MAX_EVENT_BYTES = 256 * 1024
"""The largest event that is read: more is refused when published and a dead letter in the stream."""


class Kind(StrEnum):
    """What an event is about, as subscriptions filter by it."""

    WORKFLOW = "workflow"
    RESOURCE = "resource"
    ALERT = "alert"
    OTHER = "other"


class Severity(IntEnum):
    """How bad: ranked, so that `--min-severity` is a comparison. Words nobody knows rank as WARNING."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    CRITICAL = 3

    @classmethod
    def ranked(cls, word: str) -> "Severity":
        """The rank of a severity as InfraKitchen or a monitoring system writes it."""
        return cls.__members__.get(word.strip().upper(), cls.WARNING)


@dataclass(frozen=True, slots=True)
class Entity:
    """The InfraKitchen thing an event is about."""

    type: str
    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a workflow, as last reported."""

    name: str
    position: int
    status: str
    error: str = ""
    resource_id: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One event, whatever form it came in.

    `id` and `source` together name it; `entry_id` is its place in the stream (`<ms>-<n>`).
    `status` and `severity_word` are kept as written; `severity` is the rank. Times are Unix seconds.
    """

    id: str
    source: str
    type: str
    kind: Kind
    entry_id: str
    entity: Entity
    severity: Severity
    title: str
    status: str = ""
    severity_word: str = ""
    state: str = ""
    previous: str = ""
    action: str = ""
    text: str = ""
    error: str = ""
    project: str = ""
    requester: str = ""
    template: str = ""
    url: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    time_s: float | None = None
    started_at_s: float | None = None
    ended_at_s: float | None = None
    fingerprint: str = ""

    @property
    def order(self) -> tuple[float, int, int]:
        """Which of two states of one entity is newer: by CloudEvents `time`, where absent by the stream's.

        At the same time it is the one that came later in the stream.
        """
        ms, _, n = self.entry_id.partition("-")
        return self.at_s, int(ms), int(n or 0)

    @property
    def at_s(self) -> float:
        """When it happened: its own time, where absent when the stream accepted it."""
        return self.accepted_at_ms / 1000 if self.time_s is None else self.time_s

    @property
    def accepted_at_ms(self) -> int:
        """When the stream accepted it, by the server's clock."""
        return int(self.entry_id.partition("-")[0])

    @property
    def about(self) -> str:
        """What states are compared within: one workflow run, one resource, one alert's fingerprint.

        An event that names nothing is about itself alone.
        """
        if self.kind is Kind.ALERT and self.fingerprint:
            return f"{self.kind}:fingerprint:{self.fingerprint}"
        return about_thing(self.kind, self.entity.type, self.entity.id or self.id)


def about_thing(kind: Kind, type_: str, id_: str) -> str:
    """What all states of one thing are about."""
    return f"{kind}:{type_}:{id_}"

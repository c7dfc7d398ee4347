"""An event: something InfraKitchen or a monitoring system reports; immutable, with an id."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from worker.domain.delivery import State, event_ref

MAX_EVENT_BYTES = 256 * 1024
"""The largest event: a larger one is rejected when it is published, and becomes a dead letter in the stream."""

DRY_RUN = "dryrun"
"""The action of a task that only plans the changes."""

UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
"""The id of an entity, as InfraKitchen makes it."""

MAX_AHEAD_S = 300
"""How far the clock of a sender may be ahead of the stream's before its time is not used."""

FIRST_TIME_MS = 1_000_000_000_000
"""A smaller id of a stream entry, which its publisher chose, is no time."""


class EventTooLarge(ValueError):
    """An event has more than MAX_EVENT_BYTES bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the event has {size} bytes; at most {MAX_EVENT_BYTES} are accepted")


class Kind(StrEnum):
    """The kinds of events that subscriptions filter by."""

    WORKFLOW = "workflow"
    RESOURCE = "resource"
    ALERT = "alert"
    OTHER = "other"


def has_log(kind: Kind) -> bool:
    """Return whether InfraKitchen has a page of logs for the things of a kind."""
    return kind in (Kind.RESOURCE, Kind.WORKFLOW)


class Severity(IntEnum):
    """Ranks of severity, so that `--min-severity` is a comparison."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    CRITICAL = 3

    @classmethod
    def known(cls, word: str) -> "Severity | None":
        """Return the rank of a severity as its sender writes it (`P1`, `SEV-1`, `page`); None for an unknown word."""
        return _SEVERITY_WORDS.get(plain_word(word))

    @classmethod
    def ranked(cls, word: str) -> "Severity":
        """Return the rank of a severity as its sender writes it; an unknown word ranks as WARNING."""
        rank = cls.known(word)
        return cls.WARNING if rank is None else rank


_SEVERITY_WORDS: Mapping[str, Severity] = {
    word: rank
    for rank, words in {
        Severity.CRITICAL: "critical crit fatal emergency emerg alert page p0 p1 sev0 sev1 s0 s1 urgent blocker severe"
        " immediate disaster",
        Severity.ERROR: "error err major high p2 sev2 s2",
        Severity.WARNING: "warning warn minor medium p3 sev3 s3",
        Severity.INFO: "info information informational notice low none debug ok normal trivial p4 p5 sev4 sev5 s4 s5",
    }.items()
    for word in words.split()
}
"""The words for a severity that are known, as `plain_word` writes them; documented in `docs/monitoring.md`."""


def plain_word(word: str) -> str:
    """Return a word in lower case, without the spaces, hyphens and underscores in which `SEV-1` and `sev1` differ."""
    return "".join(word.lower().replace("-", " ").replace("_", " ").split())


class EventState(StrEnum):
    """State of an event: that of its most urgent delivery; without a delivery, one of the last four."""

    DEAD = State.DEAD
    PARKED = State.PARKED
    PENDING = State.PENDING
    DELIVERED = State.DELIVERED
    MERGED = State.MERGED
    DISCARDED = State.DISCARDED
    WAITING = "waiting"  # ingest has not read it
    REJECTED = "rejected"  # it could not be read
    SUPPRESSED = "suppressed"
    FORGOTTEN = "forgotten"  # its deliveries are no longer kept


@dataclass(frozen=True, slots=True)
class Entity:
    """The InfraKitchen thing an event is about."""

    type: str
    id: str
    name: str = ""

    @property
    def key(self) -> str:
        """Return what identifies the entity."""
        return f"{self.type}:{self.id}"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a workflow, as last reported."""

    name: str
    position: int
    status: str
    error: str = ""
    resource_id: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A page that helps with an event: a runbook, a dashboard, the form that silences an alert."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event, in whatever format it came. Times are Unix seconds."""

    id: str  #: `id` and `source` together identify the event.
    source: str
    type: str
    kind: Kind
    entry_id: str  #: Its id in the stream, `<ms>-<n>`.
    entity: Entity
    severity: Severity
    title: str
    status: str = ""  #: As its sender wrote it.
    severity_word: str = ""  #: The severity as its sender wrote it.
    state: str = ""
    previous: str = ""  #: The state before this one.
    action: str = ""
    text: str = ""
    error: str = ""
    project: str = ""
    requester: str = ""  #: The name of the person who started it.
    requester_email: str = ""
    parents: tuple[str, ...] = ()  #: The ids of the entities that it belongs to, as far as its sender names them.
    template: str = ""
    provider: str = ""  #: Of an integration: InfraKitchen's address of its page has it.
    url: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    time_s: float | None = None
    started_at_s: float | None = None
    ended_at_s: float | None = None
    fingerprint: str = ""
    links: tuple[Link, ...] = ()  #: Pages beside `url`, in the order they are shown.
    values: Mapping[str, str] = field(default_factory=dict)  #: What an alert's queries measured, by their names.
    annotations: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""  #: The installation of a monitoring system that sent an alert: its name or host.

    @property
    def ref(self) -> str:
        """Return the reference under which it is stored."""
        return event_ref(self.source, self.id)

    @property
    def order(self) -> tuple[float, int, int]:
        """Return the sort key of the states of one subject: CloudEvents `time`, then the place in the stream."""
        ms, _, number = self.entry_id.partition("-")
        return self.at_s, int(ms), int(number or 0)

    @property
    def at_s(self) -> float:
        """Return when it happened; without a time of its own, or with one from the future, when it was accepted."""
        return self.accepted_at_ms / 1000 if self.time_s is None or self.is_from_future else self.time_s

    @property
    def is_from_future(self) -> bool:
        """Return whether the sender's clock was so far ahead of the stream's that its time is not used."""
        accepted_ms = self.accepted_at_ms
        return accepted_ms >= FIRST_TIME_MS and (self.time_s or 0.0) > accepted_ms / 1000 + MAX_AHEAD_S

    @property
    def accepted_at_ms(self) -> int:
        """Return when the stream accepted it, in Unix ms by the server's clock."""
        return int(self.entry_id.partition("-")[0])

    @property
    def subject_key(self) -> str:
        """Return the key of the subject: the workflow run, resource or alert whose states are compared.

        An event without an entity id is its own subject. A dry run is another subject than the real operation. Alerts
        of two installations of a monitoring system may have equal labels, and so the same fingerprint: they differ in
        their source.
        """
        if self.kind is Kind.ALERT and self.fingerprint:
            return f"{self.kind}:fingerprint:{self.fingerprint}:{self.source}"
        key = subject_key_of(self.kind, self.entity.type, self.entity.id or self.id)
        return f"{key}:{DRY_RUN}" if self.action == DRY_RUN else key

    @property
    def is_named_by_entry(self) -> bool:
        """Return whether its sender gave it no id, so that its id is that of its stream entry."""
        return self.id == self.entry_id

    @property
    def resource_keys(self) -> tuple[str, ...]:
        """Return the subject keys of the resources that a workflow's steps work on."""
        if self.kind is not Kind.WORKFLOW:
            return ()
        ids = dict.fromkeys(step.resource_id for step in self.steps if step.resource_id)
        return tuple(subject_key_of(Kind.RESOURCE, "resource", id_) for id_ in ids)


def subject_key_of(kind: Kind, type_: str, id_: str) -> str:
    """Return the key that all events about one subject share."""
    return f"{kind}:{type_}:{id_}"

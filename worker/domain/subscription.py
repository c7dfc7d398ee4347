"""A subscription: a person's rule, events like these go to that destination."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from worker.domain.delivery import lane_name
from worker.domain.event import Event, Kind, Severity
from worker.domain.looks import urgency
from worker.domain.quiet import quiet_hours


@dataclass(frozen=True, slots=True)
class Filters:
    """All must match; several values of one are alternatives; an empty one matches everything."""

    kinds: tuple[Kind, ...] = ()
    entity_types: tuple[str, ...] = ()
    entity_ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    min_severity: Severity | None = None
    labels: tuple[str, ...] = ()

    def why_not(self, event: Event) -> str:
        """Why these filters do not match, in words; empty when they do."""
        entity = event.entity
        checks = (
            ("kind", event.kind.value, self.kinds, event.kind in self.kinds),
            ("entity type", entity.type, self.entity_types, entity.type in self.entity_types),
            ("entity id", entity.id, self.entity_ids, entity.id in self.entity_ids),
            ("name", entity.name, self.names, _matches_glob(entity.name, self.names)),
            ("project", event.project, self.projects, event.project in self.projects),
            ("status", event.status, self.statuses, event.status in self.statuses),
        )
        for what, found, wanted, matches in checks:
            if wanted and not matches:
                return f"{what} is {found or 'not given'}, not {_either(wanted)}"
        if self.min_severity is not None and event.severity < self.min_severity:
            return f"severity is {event.severity.name.lower()}, below {self.min_severity.name.lower()}"
        return self._why_not_labels(event)

    def _why_not_labels(self, event: Event) -> str:
        """Several values of one key are alternatives, different keys must all match."""
        wanted: dict[str, list[str]] = {}
        for label in self.labels:
            key, _, value = label.partition("=")
            wanted.setdefault(key, []).append(value)
        for key, values in wanted.items():
            found = event.labels.get(key)
            if found not in values:
                return f"label {key} is {found or 'not given'}, not {_either(values)}"
        return ""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A rule as stored. `destination` is canonical (`#ops`, an id, an email), `template` Jinja2 text."""

    id: str
    integration_id: str
    destination: str
    filters: Filters = Filters()
    paused: bool = False
    mention: str = ""
    mention_from: Severity = Severity.CRITICAL
    style: str = "card"
    template: str = ""
    broadcast: bool = False
    only_changes: bool = False
    inhibit_resources: bool = False
    muted_from_ms: int = 0
    muted_until_ms: int = 0
    quiet_hours: str = ""
    time_zone: str = ""
    quiet_below: Severity = Severity.CRITICAL
    created_at_ms: int = 0

    @property
    def lane(self) -> str:
        """The lane its deliveries wait in."""
        return lane_name(self.integration_id, self.destination)

    def why_not(self, event: Event) -> str:
        """Why an event makes no delivery for this subscription; empty when it does."""
        paused = "the subscription is paused" if self.paused else ""
        return paused or self.filters.why_not(event) or self.why_muted(event)

    def why_muted(self, event: Event) -> str:
        """Whether it came while this was muted, in words; by the stream's clock, so that it never changes."""
        if not self.muted_from_ms <= event.accepted_at_ms < self.muted_until_ms:
            return ""
        return f"muted until {datetime.fromtimestamp(self.muted_until_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"

    def muted(self, until_ms: int, now_ms: int) -> "Subscription":
        """From now until then; what came during an earlier mute that ends hereby keeps its reason."""
        if until_ms > now_ms:
            return (
                self
                if until_ms == self.muted_until_ms
                else replace(self, muted_from_ms=now_ms, muted_until_ms=until_ms)
            )
        return replace(self, muted_until_ms=min(self.muted_until_ms, now_ms))

    def held_until_ms(self, event: Event, now_ms: int) -> int:
        """When an event that comes now is told, in Unix ms; 0 for at once, as where nobody knows its zone."""
        if not self.quiet_hours or event.severity >= self.quiet_below:
            return 0
        try:
            return quiet_hours(self.quiet_hours, self.time_zone).until_ms(now_ms)
        except ValueError:
            return 0

    def written(self, default: str) -> "Subscription | None":
        """By whose template it is told: its own, or its integration's; None when there is none."""
        return self if self.template else replace(self, template=default) if default else None

    def mention_of(self, event: Event) -> str:
        """Whom it mentions for an event: from the severity it names, and not for what is over."""
        return "" if urgency(event) < self.mention_from else self.mention


def _matches_glob(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), glob.lower()) for glob in globs)


def _either(values: Iterable[str]) -> str:
    return " or ".join(str(value) for value in values)


def operations_id(integration_id: str) -> str:
    """What stands for a subscription where a warning of ours is told: nobody made one."""
    return f"operations:{integration_id}"

"""Subscriptions: events that match the filters go to the destination."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Self

from worker.domain.delivery import lane_name, lane_parts
from worker.domain.destination import Choice, choose_destination, could_make, has_placeholders, without_placeholders
from worker.domain.event import Event, Kind, Severity
from worker.domain.presentation import urgency
from worker.domain.quiet_hours import quiet_hours_end_ms


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters that must all match; an empty one matches every event, several values of one are alternatives.

    So are several values of one label; different labels must all match.
    """

    kinds: tuple[Kind, ...] = ()
    entity_types: tuple[str, ...] = ()
    entity_ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    min_severity: Severity | None = None
    labels: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()  #: In lower case.
    with_children: bool = False  #: Whether `entity_ids` match the events that name them as parents too.

    def mismatch_reason(self, event: Event) -> str:
        """Return the first filter that does not match, as a clause; empty when all match."""
        entity, name = event.entity, event.entity.name.lower()
        checks = (
            ("kind", event.kind.value, self.kinds, event.kind in self.kinds),
            ("entity type", entity.type, self.entity_types, entity.type in self.entity_types),
            ("entity id", entity.id, self.entity_ids, self._is_of_entities(event)),
            ("name", entity.name, self.names, any(fnmatch.fnmatchcase(name, glob.lower()) for glob in self.names)),
            ("project", event.project, self.projects, event.project in self.projects),
            ("status", event.status, self.statuses, event.status in self.statuses),
            ("action", event.action, self.actions, event.action.lower() in self.actions),
        )
        for field, value, wanted, matches in checks:
            if wanted and not matches:
                return f"{field} is {value or 'not given'}, not {' or '.join(wanted)}"
        if self.min_severity is not None and event.severity < self.min_severity:
            return f"severity is {event.severity.name.lower()}, below {self.min_severity.name.lower()}"
        wanted_labels: dict[str, list[str]] = {}
        for label in self.labels:
            key, _, value = label.partition("=")
            wanted_labels.setdefault(key, []).append(value)
        for key, values in wanted_labels.items():
            label_value = event.labels.get(key)
            if label_value not in values:
                return f"label {key} is {label_value or 'not given'}, not {' or '.join(values)}"
        return ""

    def _is_of_entities(self, event: Event) -> bool:
        """Return whether an event is about one of the entities, or with their children about one of those."""
        ids = (event.entity.id, *event.parents) if self.with_children else (event.entity.id,)
        return not set(self.entity_ids).isdisjoint(ids)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as stored."""

    id: str
    integration_id: str
    destination: str  #: Canonical: `#ops`, an id of Slack's, an e-mail address, or one made from the event.
    filters: Filters = Filters()
    paused: bool = False
    mention: str = ""  #: Mention in the message of an event of at least `mention_from`.
    mention_from: Severity = Severity.CRITICAL
    style: str = "card"
    template: str = ""  #: Jinja2 text.
    broadcast: bool = False  #: Replies in a card's thread are also sent to the channel.
    only_changes: bool = False  #: Events that repeat the entity's last state are not posted.
    #: Routine events of a resource are not posted while the card of its workflow is open.
    inhibit_resources: bool = False
    muted_from_ms: int = 0
    muted_until_ms: int = 0
    quiet_hours: str = ""
    time_zone: str = ""
    quiet_below: Severity = Severity.CRITICAL  #: Events of at least this severity are posted in quiet hours too.
    #: Where an event goes that lacks a value of `destination`; empty for nowhere. It may have placeholders too.
    otherwise: str = ""
    created_at_ms: int = 0

    @property
    def destinations(self) -> tuple[str, ...]:
        """Return where it sends events, as written."""
        return (self.destination, self.otherwise) if self.otherwise else (self.destination,)

    @property
    def fixed_destinations(self) -> tuple[str, ...]:
        """Return those of its destinations that are the same for every event."""
        return without_placeholders(*self.destinations)

    @property
    def is_fixed(self) -> bool:
        """Return whether all its deliveries go to one lane."""
        return not has_placeholders(self.destination)

    @property
    def lane(self) -> str:
        """Return the name of the lane that its deliveries are appended to; with placeholders, of all its lanes."""
        return lane_name(self.integration_id, self.destination)

    def uses_lane(self, lane: str) -> bool:
        """Return whether a delivery for it may be in this lane."""
        integration_id, destination = lane_parts(lane)
        return integration_id == self.integration_id and any(
            could_make(written, destination) for written in self.destinations
        )

    def choose(self, event: Event) -> Choice:
        """Return where an event goes that matches; the reasons say why it does not go to `destination`."""
        choices = []
        for written in self.destinations:
            choices.append(choose_destination(written, event))
            if choices[-1].destination:
                break
        return Choice(choices[-1].destination, ", ".join(choice.reason for choice in choices if choice.reason))

    def mismatch_reason(self, event: Event, now_ms: int) -> str:
        """Return why an event makes no delivery for this subscription, as a clause; empty when it makes one."""
        paused = "the subscription is paused" if self.paused else ""
        return paused or self.filters.mismatch_reason(event) or self.skip_reason(event, now_ms)

    def skip_reason(self, event: Event, now_ms: int) -> str:
        """Return why an event that the filters match makes no delivery, as a clause."""
        mute = self.mute_reason(event, now_ms)
        if mute or self.is_fixed:
            return mute
        choice = self.choose(event)
        return "" if choice.destination else choice.reason

    def mute_reason(self, event: Event, now_ms: int) -> str:
        """Return the mute in which the event was accepted, as a clause; empty when there was none.

        The id of its stream entry decides, so that the answer does not change when an event is read again; an id from
        the future, which its publisher chose, ends no mute.
        """
        if not self.muted_from_ms <= min(event.accepted_at_ms, now_ms) < self.muted_until_ms:
            return ""
        return f"muted until {datetime.fromtimestamp(self.muted_until_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"

    @property
    def may_follow(self) -> bool:
        """Return whether it may miss, or send elsewhere, a later state of a subject that its card must show."""
        changing = replace(self.filters, kinds=(), entity_types=(), entity_ids=())
        return self.style != "plain" and (changing != Filters() or not self.is_fixed)

    def with_mute(self, until_ms: int, now_ms: int) -> "Subscription":
        """Return this subscription muted from now until `until_ms`; a time in the past ends the mute.

        An ended mute keeps its start, so that `explain` still gives it as the reason for earlier events.
        """
        if until_ms <= now_ms:
            return replace(self, muted_until_ms=min(self.muted_until_ms, now_ms))
        if until_ms == self.muted_until_ms:
            return self
        return replace(self, muted_from_ms=now_ms, muted_until_ms=until_ms)

    def quiet_until_ms(self, event: Event, now_ms: int) -> int:
        """Return when quiet hours end that delay this event, in Unix ms; 0 when none do.

        Quiet hours in a time zone that this machine does not know delay nothing.
        """
        if not self.quiet_hours or event.severity >= self.quiet_below:
            return 0
        try:
            return quiet_hours_end_ms(self.quiet_hours, self.time_zone, now_ms)
        except ValueError:
            return 0

    def with_template(self, integration_template: str) -> "Subscription":
        """Return this subscription with the integration's template if it has none of its own."""
        return self if self.template or not integration_template else replace(self, template=integration_template)

    def mention_for(self, event: Event) -> str:
        """Return the mention for an event; empty below `mention_from`, and for events that end something."""
        return "" if urgency(event) < self.mention_from else self.mention


@dataclass(frozen=True, slots=True)
class LaneSet:
    """The lanes of some subscriptions."""

    names: frozenset[str] = frozenset()
    patterned: tuple[Subscription, ...] = ()  #: Those whose lanes depend on the event.

    @classmethod
    def of(cls, subscriptions: Iterable[Subscription]) -> Self:
        """Return the lanes in which their deliveries may be."""
        every = tuple(subscriptions)
        fixed = (lane_name(sub.integration_id, written) for sub in every for written in sub.fixed_destinations)
        return cls(frozenset(fixed), tuple(sub for sub in every if not sub.is_fixed))

    def __contains__(self, lane: str) -> bool:
        """Return whether this lane is one of them."""
        return lane in self.names or any(sub.uses_lane(lane) for sub in self.patterned)


#: The options of a subscription that are severities; JSON holds them by name.
SEVERITY_OPTIONS = tuple(field.name for field in fields(Subscription) if isinstance(field.default, Severity))


def operations_subscription_id(integration_id: str) -> str:
    """Return the subscription id that deliveries of operations alerts carry; no such subscription is stored."""
    return f"operations:{integration_id}"

"""The subscription index: finds what an event matches without comparing it with every subscription."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from worker.domain.event import Event, Kind
from worker.domain.subscription import Filters, Subscription

Key = tuple[str, ...]
"""A value of a filter: the filter's name and the value."""

EVERY: Key = ("every event",)
EXACT = ("kinds", "entity_types", "entity_ids", "projects", "statuses", "actions")
MAX_PREFIX = 64  # characters of a name
_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class SubscriptionIndex:
    """The active subscriptions by what they filter on; a paused subscription is not active.

    Each is listed under the values of one of its filters: the one whose values the fewest subscriptions share. An event
    is compared only with those that are listed under a value that it has.
    """

    listed: Mapping[Key, Mapping[int, Subscription]]  #: By their place in the order of all.
    prefix_lengths: tuple[int, ...]  #: The lengths of the names' beginnings that subscriptions are listed under.
    #: By kind and id: those whose filters may not match a later state.
    following: Mapping[Kind, Mapping[str, Subscription]]

    @classmethod
    def build(cls, subscriptions: Iterable[Subscription]) -> Self:
        """Index the subscriptions, in their order."""
        active = [(sub, _choices(sub.filters)) for sub in subscriptions if not sub.paused]
        shared = Counter(key for _, choices in active for keys in choices for key in keys)
        listed = defaultdict[Key, dict[int, Subscription]](dict)
        following: dict[Kind, dict[str, Subscription]] = {kind: {} for kind in Kind}
        for place, (sub, choices) in enumerate(active):
            for key in min(choices, key=lambda keys: sum(shared[key] for key in keys)):
                listed[key][place] = sub
            for kind in (sub.filters.kinds or Kind) if sub.may_follow else ():
                following[kind][sub.id] = sub
        lengths = {len(key[1]) for key in listed if key[0] == "names"}
        return cls(dict(listed), tuple(sorted(lengths)), following)

    def match(self, event: Event, now_ms: int) -> tuple[Subscription, ...]:
        """Return the subscriptions that the event makes a delivery for."""
        return tuple(sub for sub in self._find_matching(event) if not sub.skip_reason(event, now_ms))

    def suppression_reason(self, event: Event, now_ms: int) -> str:
        """Return why an event that matches no subscription makes no delivery, as a clause."""
        if not self.listed:
            return "there is no active subscription"
        matching = self._find_matching(event)
        if not matching:
            return "no subscription matches"
        if all(sub.mute_reason(event, now_ms) for sub in matching):
            return f"every matching subscription is {matching[0].mute_reason(event, now_ms)}"
        return ", ".join(dict.fromkeys(sub.skip_reason(event, now_ms) for sub in matching))

    def _find_matching(self, event: Event) -> list[Subscription]:
        """Return the subscriptions whose filters match, in their order."""
        candidates: dict[int, Subscription] = {}
        for key in self._keys_of(event):
            candidates |= self.listed.get(key, {})
        return [sub for _, sub in sorted(candidates.items()) if not sub.filters.mismatch_reason(event)]

    def _keys_of(self, event: Event) -> Iterator[Key]:
        """Yield every key under which a subscription that matches the event may be listed."""
        entity, name = event.entity, event.entity.name.lower()
        yield EVERY
        yield from zip(
            EXACT, (event.kind, entity.type, entity.id, event.project, event.status, event.action.lower()), strict=True
        )
        yield from (("entity_ids", parent) for parent in event.parents)
        yield from (("labels", *label) for label in event.labels.items())
        yield from (("names", name[:length]) for length in self.prefix_lengths)


def _choices(filters: Filters) -> list[list[Key]]:
    """Return, for each filter that can be looked up, the keys of its values; the last choice is every event."""
    choices: list[list[Key]] = [
        [(name, value) for value in values] for name in EXACT if (values := getattr(filters, name))
    ]
    labels = defaultdict[str, list[Key]](list)
    for label in filters.labels:
        key, _, value = label.partition("=")
        labels[key].append(("labels", key, value))
    beginnings = [_WILDCARD.split(glob.lower(), maxsplit=1)[0][:MAX_PREFIX] for glob in filters.names]
    if beginnings and all(beginnings):
        choices.append([("names", beginning) for beginning in beginnings])
    return [*filter(None, choices), *labels.values(), [EVERY]]

"""What a subscription nobody has saved would have told of the newest events."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker import sources
from worker.asking.choosing import chosen_integration
from worker.asking.previewing import sent_of, told_by
from worker.asking.rows import shown
from worker.asking.rules import Rule, subscription_of
from worker.domain.event import Event

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.slack.blocks import JsonObject

AT_ONCE, MOST_BYTES = 100, 4 * 1024 * 1024
REASONS = 3


@dataclass(frozen=True, slots=True)
class Sampled:
    """How many were looked at, those it is for, newest first, and the message of the newest.

    `reasons` are the commonest ones why it is not for others.
    """

    looked_at: int
    matched: Sequence[Event]
    sent: "JsonObject | None"
    fault: str
    reasons: Sequence[tuple[str, int]]


async def sampled(made: "Services", rule: Rule, integration_name: str | None) -> Sampled:
    """Looked at are the newest RECENT, or fewer when they are very large; nothing is posted or saved."""
    integration = await chosen_integration(made, integration_name)
    new = subscription_of(rule, "(not saved)", integration.id, 0)
    events = await _recent(made)
    reasons = [new.filters.why_not(event) for event in events]
    matched = [event for event, reason in zip(events, reasons, strict=True) if not reason]
    by = new.written(integration.template) or new
    told = [told_by(event.id, event, by) for event in matched[:1]]
    sent, fault = sent_of(told, made.settings.infrakitchen_url or "")
    counted = Counter(shown(reason, 120) for reason in reasons if reason)
    return Sampled(len(events), matched, sent, fault, counted.most_common(REASONS))


async def _recent(made: "Services") -> list[Event]:
    refs, events, size = await made.events.recent(), list[Event](), 0
    for start in range(0, len(refs), AT_ONCE):
        for kept in await made.events.bodies(refs[start : start + AT_ONCE]):
            try:
                events += [sources.read(kept[1], kept[0])] if kept else []
            except sources.Unreadable:  # by another version
                continue
            size += len(kept[1]) if kept else 0
        if size > MOST_BYTES:
            break
    return events

"""Fold: pending deliveries become what one message tells, and which delivery merges into which."""

from collections.abc import Sequence

from worker.domain.folding import Folding, Line, Told
from worker.domain.looks import urgency


def fold(told: Sequence[Told]) -> Folding:
    """One line per entity, of its newest state; the same event for two subscriptions is told once."""
    newest: dict[str, Told] = {}
    seen: dict[str, set[tuple[str, str]]] = {}
    for one in told:
        about = one.event.about
        seen.setdefault(about, set()).add((one.event.source, one.event.id))
        if about not in newest or one.event.order > newest[about].event.order:
            newest[about] = one
    lines = [Line(one.event, one.delivery_id, len(seen[about]) - 1) for about, one in newest.items()]
    lines.sort(key=lambda line: (-urgency(line.event), line.event.kind, line.event.order))
    return Folding(tuple(lines), tuple(dict.fromkeys(one.mention for one in told if one.mention)))

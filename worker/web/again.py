"""Again: an alert that was resolved and fires once more, with the beginning it had at first, is a new event.

Alertmanager gives an alert up after minutes without a word from Prometheus, and posts it as resolved. When
they hear of each other again, it fires with the same `startsAt`. By its id it would be taken for one sent
again, and its card would stay resolved while the thing burns. A `firing` that comes soon after the
resolution is late; one that comes later than that is not, since a pair is apart by seconds.
"""

from worker.domain.delivery import event_ref
from worker.sources import Fields
from worker.sources.lenient import rfc3339
from worker.store.events import Events

LATE_MS = 60_000
ROUNDS_MOST = 50


async def told_again(events: Events, alert: Fields, now_ms: int) -> Fields:
    """The alert under the id of its round: at first its own, after each resolution a further one."""
    source, own_id = str(alert["source"]), str(alert["id"])
    stem, _, status = own_id.rpartition(":")
    mark = ""
    for _ in range(ROUNDS_MOST):
        resolved_ms = await _accepted_ms(events, source, f"{stem}:resolved{mark}")
        over = resolved_ms and now_ms - resolved_ms > LATE_MS
        further = f":{resolved_ms}"
        if status == "firing" and not over:
            break
        if status == "resolved" and not await _accepted_ms(events, source, f"{stem}:firing{further}"):
            break
        mark = further
    if not mark:
        return alert
    # Its beginning was told before, and its end is by another clock than ours: what counts is what came when.
    return {**alert, "id": f"{own_id}{mark}", "time": rfc3339(now_ms / 1000)}


async def _accepted_ms(events: Events, source: str, event_id: str) -> int:
    """When the stream accepted this event; 0 when it did not."""
    kept = await events.body(event_ref(source, event_id))
    return int(kept[0].partition("-")[0]) if kept else 0

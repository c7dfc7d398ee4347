"""An alert that fires again with its old start time is a new event; a late repeat is not."""

from typing import Any

from support.web import Web

from worker.services.publishing import LATE_MS
from worker.sources import parse

PATH = "/webhooks/alertmanager"
FIRING, RESOLVED = "f1:1795773600000:firing", "f1:1795773600000:resolved"


async def send_alert(web: Web, status: str, *, ago_ms: int = 0, ended: str = "2026-11-27T10:05:00Z") -> str:
    """Send an alert, store its event as ingest does with this age, and return the id."""
    alert: dict[str, Any] = {
        "status": status, "labels": {"alertname": "a"}, "fingerprint": "f1",
        "startsAt": "2026-11-27T10:00:00Z",
        "endsAt": ended if status == "resolved" else "0001-01-01T00:00:00Z",
    }  # fmt: skip
    answer = await web.ask("POST", PATH, {"version": "4", "alerts": [alert]})
    assert answer.status == 202
    (_, (_, raw)) = await last_entry(web)
    at_ms = await web.app.redis.now_ms() - ago_ms
    await web.app.events.save_bodies([(parse(raw, f"{at_ms}-0"), raw)])
    return str(answer.body["ids"][0])


async def last_entry(web: Web) -> Any:
    found = await web.app.redis.command("XREVRANGE", web.app.stream.stream, "+", "-", "COUNT", 1)
    entry_id, fields = found[0]
    return entry_id, next(iter(fields.items())) if isinstance(fields, dict) else fields


async def test_an_alert_sent_again_keeps_its_event_id_also_after_its_resolution(web: Web) -> None:
    assert [await send_alert(web, "firing") for _ in range(2)] == [FIRING] * 2
    assert [await send_alert(web, "resolved") for _ in range(2)] == [RESOLVED] * 2
    assert await send_alert(web, "firing") == FIRING, "late: it was resolved a moment ago"


async def test_an_alert_that_fires_again_has_new_event_ids(web: Web) -> None:
    await send_alert(web, "firing", ago_ms=9 * LATE_MS)
    await send_alert(web, "resolved", ago_ms=8 * LATE_MS)
    second = await send_alert(web, "firing", ago_ms=6 * LATE_MS)
    assert second.startswith(f"{FIRING}:")
    assert await send_alert(web, "firing", ago_ms=5 * LATE_MS) == second, "sent again, as each repeat_interval"
    over = await send_alert(web, "resolved", ago_ms=4 * LATE_MS)
    assert over.startswith(f"{RESOLVED}:")
    assert await send_alert(web, "resolved", ago_ms=3 * LATE_MS) == over
    third = await send_alert(web, "firing")
    assert third not in (FIRING, second)
    assert await send_alert(web, "firing") == third


async def test_firings_and_resolutions_are_ordered_whatever_the_clock_of_the_sender(web: Web) -> None:
    orders = []
    for status, ago in (("firing", 9), ("resolved", 8), ("firing", 6), ("resolved", 4)):
        await send_alert(web, status, ago_ms=ago * LATE_MS, ended="2026-11-27T10:05:00Z")
        _, (_, raw) = await last_entry(web)
        event = parse(raw, f"{len(orders) + 1}-0")
        orders.append(event.order)
        assert event.subject_key == "alert:fingerprint:f1:alertmanager"
    assert orders == sorted(orders)

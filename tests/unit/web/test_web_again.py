"""An alert that comes back with the beginning it had is told again; one that is merely late is not."""

from typing import Any

from web_house import Web

from worker.sources import read
from worker.web.again import LATE_MS

PATH = "/webhooks/alertmanager"
FIRING, RESOLVED = "f1:1795773600000:firing", "f1:1795773600000:resolved"


async def sent(web: Web, status: str, *, ago_ms: int = 0, ended: str = "2026-11-27T10:05:00Z") -> str:
    """Its id, once it is posted and, as ingest does, remembered: as of so long ago."""
    alert: dict[str, Any] = {
        "status": status, "labels": {"alertname": "a"}, "fingerprint": "f1",
        "startsAt": "2026-11-27T10:00:00Z",
        "endsAt": ended if status == "resolved" else "0001-01-01T00:00:00Z",
    }  # fmt: skip
    answer = await web.ask("POST", PATH, {"version": "4", "alerts": [alert]})
    assert answer.status == 202
    (_, (_, raw)) = await last(web)
    at_ms = await web.made.server.now_ms() - ago_ms
    await web.made.events.remember([(read(raw, f"{at_ms}-0"), raw)])
    return str(answer.body["ids"][0])


async def last(web: Web) -> Any:
    found = await web.made.server.command("XREVRANGE", web.made.stream.stream, "+", "-", "COUNT", 1)
    entry_id, fields = found[0]
    return entry_id, next(iter(fields.items())) if isinstance(fields, dict) else fields


async def test_what_is_sent_again_is_the_same_whatever_comes_late(web: Web) -> None:
    assert [await sent(web, "firing") for _ in range(2)] == [FIRING] * 2
    assert [await sent(web, "resolved") for _ in range(2)] == [RESOLVED] * 2
    assert await sent(web, "firing") == FIRING, "late: it was resolved a moment ago"


async def test_one_that_comes_back_is_told_again_and_resolved_again(web: Web) -> None:
    await sent(web, "firing", ago_ms=9 * LATE_MS)
    await sent(web, "resolved", ago_ms=8 * LATE_MS)
    second = await sent(web, "firing", ago_ms=6 * LATE_MS)
    assert second.startswith(f"{FIRING}:")
    assert await sent(web, "firing", ago_ms=5 * LATE_MS) == second, "sent again, as each repeat_interval"
    over = await sent(web, "resolved", ago_ms=4 * LATE_MS)
    assert over.startswith(f"{RESOLVED}:")
    assert await sent(web, "resolved", ago_ms=3 * LATE_MS) == over
    third = await sent(web, "firing")
    assert third not in (FIRING, second)
    assert await sent(web, "firing") == third


async def test_the_rounds_are_newer_one_after_the_other_whatever_the_clock_of_the_sender(web: Web) -> None:
    orders = []
    for status, ago in (("firing", 9), ("resolved", 8), ("firing", 6), ("resolved", 4)):
        await sent(web, status, ago_ms=ago * LATE_MS, ended="2026-11-27T10:05:00Z")
        _, (_, raw) = await last(web)
        event = read(raw, f"{len(orders) + 1}-0")
        orders.append(event.order)
        assert event.about == "alert:fingerprint:f1"
    assert orders == sorted(orders)

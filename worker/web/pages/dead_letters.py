"""Dead letters: by reason, and one that nobody could read."""

from collections.abc import Sequence

from fastapi import APIRouter, Response

from worker.asking.listing import events_of, one_letter
from worker.asking.rows import visible
from worker.bootstrap import Services
from worker.domain.dead_letter import HINTS, hint
from worker.domain.event import Event
from worker.store.dead_letters import DeadLetter
from worker.web.pages.paging import after, paging
from worker.web.pages.visit import Visiting

ROWS = 50
SHOWN_OF_A_FIELD = 20_000


def dead_letters(made: Services) -> APIRouter:
    """`/dead-letters` and `/dead-letters/{id}`"""
    router = APIRouter(prefix="/dead-letters")

    @router.get("")
    async def listed(visit: Visiting) -> Response:
        reason = visit.request.query_params.get("reason", "")
        page = await made.dead_letters.page(reason, after(visit.request), ROWS)
        reasons = await made.dead_letters.reasons()
        return visit.page(
            "dead_letters.html",
            rows=await with_events(made, page.rows),
            reason=reason,
            reasons=sorted(reasons.items(), key=lambda one: (-one[1], one[0])),
            hint=HINTS.get(reason, "") if reason in reasons else "",
            paging=paging(visit.request, {"reason": reason}, page.next),
            now_ms=await made.server.now_ms(),
        )

    @router.get("/{id_}")
    async def shown(visit: Visiting, id_: str) -> Response:
        letter, _, _ = await one_letter(made, id_)
        if letter.delivery:
            return visit.go(f"/deliveries/{letter.id}")
        fields = [
            (visible(name, 200), visible(value, SHOWN_OF_A_FIELD), len(value))
            for name, value in (letter.raw or {}).items()
        ]
        return visit.page(
            "dead_letter.html",
            letter=letter,
            fields=fields,
            hint=hint(letter.reason, letter.id),
            now_ms=await made.server.now_ms(),
        )

    return router


async def with_events(made: Services, found: Sequence[DeadLetter]) -> list[tuple[DeadLetter, Event | None]]:
    """Each with its event, as far as there is one."""
    events = await events_of(made, (one.delivery.event_ref for one in found if one.delivery))
    return [(one, events[one.delivery.event_ref] if one.delivery else None) for one in found]

"""Deliveries: the list, newest first, and one with its whole way and its message."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Response
from markupsafe import Markup

from worker.asking.listing import events_of, matching, one_way
from worker.asking.redrawing import message_of, told_with
from worker.asking.story import Way
from worker.bootstrap import Services
from worker.domain.dead_letter import HINTS
from worker.domain.delivery import Delivery, State, lane_parts
from worker.domain.event import Event
from worker.pipeline.reading import event_of
from worker.sandbox.page import drawn
from worker.store.pages import Page, Where
from worker.web.pages.paging import after, paging
from worker.web.pages.visit import Visit, Visiting

ROWS = 50
TOLD_WITH_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """Which deliveries a person asked for; `odd` is a state there is none of."""

    state: State | None
    lane: str
    event: str
    odd: str

    @classmethod
    def of(cls, visit: Visit) -> "Asked":
        """As the address says."""
        query = visit.request.query_params
        state = query.get("state", "")
        known = state in set(State)
        return cls(
            State(state) if known else None,
            query.get("lane", "").strip(),
            query.get("event", "").strip(),
            "" if known else state,
        )

    @property
    def fields(self) -> dict[str, str]:
        """For an address."""
        return {"state": self.state or "", "lane": self.lane, "event": self.event}


def deliveries(made: Services) -> APIRouter:
    """`/deliveries` and `/deliveries/{id}`"""
    router = APIRouter(prefix="/deliveries")

    @router.get("")
    async def listed(visit: Visiting) -> Response:
        asked = Asked.of(visit)
        page = await _page(made, asked, after(visit.request))
        return visit.page(
            "deliveries.html",
            rows=await _with_events(made, page.rows),
            asked=asked,
            states=list(State),
            lanes=sorted({one.lane for one in await made.subscriptions.all()}),
            paging=paging(visit.request, asked.fields, page.next),
            now_ms=await made.server.now_ms(),
        )

    @router.get("/{id_}")
    async def shown(visit: Visiting, id_: str) -> Response:
        return await _one(made, visit, *await one_way(made, id_))

    return router


async def _one(made: Services, visit: Visit, way: Way, event_id: str) -> Response:
    """The page of one."""
    delivery = way.delivery
    others = await told_with(made, delivery)
    sent = await message_of(made, [delivery, *others])
    named = [integration.id for integration in await made.integrations.all()]
    return visit.page(
        "delivery.html",
        way=way,
        hint="" if delivery.state is State.DEAD and delivery.error not in HINTS else way.hint,
        since_ms=await _parked_since_ms(made, delivery),
        delivery=delivery,
        event_id=event_id,
        event=await event_of(made.events, delivery.event_ref),
        others=await _with_events(made, others[:TOLD_WITH_SHOWN]),
        others_left=max(len(others) - TOLD_WITH_SHOWN, 0),
        message=as_in_slack(sent),
        subscribed={one.id for one in await made.subscriptions.all()},
        integrations=named,
        now_ms=await made.server.now_ms(),
    )


def as_in_slack(sent: dict[str, object] | None) -> Markup | None:
    """A message as Slack would draw it."""
    return None if sent is None else drawn(sent, datetime.now(UTC).astimezone())


async def _page(made: Services, asked: Asked, place: str | None) -> Page[Delivery]:
    where = Where(asked.state, asked.lane or None)
    if not asked.event:
        return await made.deliveries.page(where, place, ROWS)
    found, _ = await matching(made, where, asked.event, 0)
    return Page(tuple(found))


async def _parked_since_ms(made: Services, delivery: Delivery) -> int:
    """Since when it waits for a person; 0 when it does not."""
    if delivery.state is not State.PARKED:
        return 0
    note = await made.upkeep.lane_note(delivery.lane)
    if note["parked"]:
        return int(note["since"] or 0)
    integration_id, _ = lane_parts(delivery.lane)
    return next((one.since_ms for one in await made.integrations.all() if one.id == integration_id), 0)


async def _with_events(made: Services, found: Sequence[Delivery]) -> list[tuple[Delivery, Event | None]]:
    events = await events_of(made, (one.event_ref for one in found))
    return [(one, events[one.event_ref]) for one in found]

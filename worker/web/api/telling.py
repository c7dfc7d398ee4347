"""`/api/v1/deliveries`, `/parked`, `/dead-letters`: what became of events, and what a person decides."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from worker.asking.letters import Act, Choice, discard_one, do_to_each, put_back
from worker.asking.listing import of_event, one_letter, one_way
from worker.asking.plain import letter_event_id, plain_examined, plain_letter, plain_one_way, plain_parked
from worker.asking.resuming import resumed
from worker.asking.rows import event_ids, plain_delivery
from worker.bootstrap import Services
from worker.domain.delivery import Delivery, State
from worker.store.pages import Page, Where
from worker.web.api.reading import LIMIT, After, Asked, Id, Limit, body_of, documented_body, rows_of
from worker.web.api.shapes import Rows, Words
from worker.web.api.told import (
    DeliveryShape,
    ExaminedLetter,
    LetterShape,
    OneDelivery,
    ParkedShape,
    Results,
)
from worker.web.audit import about, audited
from worker.web.problems import ANY, documented


class Resume(Asked):
    """`lane` as `parked` shows it; its destination alone when no other lane has the same."""

    lane: str


class Letters(Asked):
    """Some by id, all with one reason, or all."""

    ids: tuple[str, ...] = ()
    reason: str | None = None
    all: bool = False


def deliveries(made: Services) -> APIRouter:
    """List and show."""
    router = audited()

    @router.get("/deliveries", response_model=Rows[DeliveryShape], responses=documented(400, 422, *ANY))
    async def list_deliveries(
        state: State | None = None,
        lane: str | None = None,
        event: Annotated[str | None, Query(description="Only those of this event")] = None,
        after: After = None,
        limit: Limit = LIMIT,
    ) -> Any:
        """Newest first; those of one event all at once."""
        where = Where(state, lane)
        if event is None:
            page = await made.deliveries.page(where, after, limit)
        else:
            page = Page(tuple(_some(await of_event(made, event), where)))
        ids = await event_ids(made, (one.event_ref for one in page.rows))
        return rows_of(page, [plain_delivery(one, ids[one.event_ref]) for one in page.rows])

    @router.get("/deliveries/{id}", response_model=OneDelivery, responses=documented(404, 422, *ANY))
    async def show_delivery(id: Id) -> Any:  # noqa: A002  # the word of the path
        """With every call to Slack."""
        return plain_one_way(*await one_way(made, id))

    return router


def parked(made: Services) -> APIRouter:
    """List and resume."""
    router = audited()

    @router.get("/parked", response_model=Rows[ParkedShape], responses=documented(400, 422, *ANY))
    async def list_parked(after: After = None, limit: Limit = LIMIT) -> Any:
        """Every lane that waits for a person, the longest first, with the step that frees it."""
        page = await made.parked.page(after, limit)
        return rows_of(page, [plain_parked(one) for one in page.rows])

    @router.post(
        "/parked/resume",
        responses=documented(400, 404, 409, 413, 415, 422, *ANY),
        openapi_extra=documented_body(Resume),
    )
    async def resume_lane(request: Request) -> Words:
        """Let a lane go on now."""
        asked = await body_of(request, Resume)
        about(request, lane=asked.lane)
        return Words(words=await resumed(made, asked.lane))

    return router


def dead_letters(made: Services) -> APIRouter:
    """List, show, replay, discard; the last two first, or their words would be taken for ids."""
    router = audited()
    changed, body = documented(400, 413, 415, 422, *ANY), documented_body(Letters)

    @router.post("/dead-letters/replay", response_model=Results, responses=changed, openapi_extra=body)
    async def replay_dead_letters(request: Request) -> Any:
        """Try them again. If there was no answer in time, ask again: what was done stays done."""
        return await _do(request, made, put_back)

    @router.post("/dead-letters/discard", response_model=Results, responses=changed, openapi_extra=body)
    async def discard_dead_letters(request: Request) -> Any:
        """Nobody needs to be told any more; they stay counted, as discarded."""
        return await _do(request, made, discard_one)

    @router.get("/dead-letters", response_model=Rows[LetterShape], responses=documented(400, 422, *ANY))
    async def list_dead_letters(reason: str = "", after: After = None, limit: Limit = LIMIT) -> Any:
        """Newest first."""
        page = await made.dead_letters.page(reason, after, limit)
        ids = await event_ids(made, (one.delivery.event_ref for one in page.rows if one.delivery))
        return rows_of(page, [plain_letter(one, letter_event_id(one, ids)) for one in page.rows])

    @router.get(
        "/dead-letters/{id}",
        response_model=ExaminedLetter,
        response_model_exclude_unset=True,
        responses=documented(404, 422, *ANY),
    )
    async def show_dead_letter(id: Id) -> Any:  # noqa: A002  # the word of the path
        """The event and every call to Slack, or the bytes nobody could read."""
        return plain_examined(*await one_letter(made, id))

    return router


async def _do(request: Request, made: Services, act: Act) -> dict[str, Any]:
    asked = await body_of(request, Letters)
    choice = Choice(asked.ids, asked.reason, asked.all)
    choice.require()
    about(request, ids=", ".join(choice.ids), reason=choice.reason or "", all=choice.all)
    done = await do_to_each(made, choice, act)
    results = [{"id": one.id, "ending": one.ending, "words": one.words} for one in done.results]
    return {"results": results, "warnings": done.said}


def _some(found: Sequence[Delivery], where: Where) -> list[Delivery]:
    return [one for one in found if where.state in (None, one.state) and where.lane in (None, one.lane)]

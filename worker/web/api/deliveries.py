"""`/api/v1/deliveries`, `/parked` and `/dead-letters`: the state of each delivery, parked lanes, dead letters."""

from typing import Annotated, Literal

from fastapi import Query, Request
from pydantic import BaseModel

from worker.bootstrap.context import AppContext
from worker.domain.delivery import State
from worker.domain.event import Severity
from worker.services import dead_letters as dead_letter_service
from worker.services import deliveries as service
from worker.services import lanes, schemas
from worker.services.dead_letters import BulkResult, DeadLetterAction, DeadLetterSelection
from worker.services.formatting import parse_since_ms
from worker.store.pagination import DeliveryFilter
from worker.web.auth import audited_router, set_audit_details
from worker.web.requests import (
    LIMIT,
    After,
    AppDep,
    Id,
    Limit,
    RequestBody,
    RequestError,
    Rows,
    document_body,
    read_body,
)

router = audited_router("/deliveries", tags=["deliveries"])
parked = audited_router("/parked", tags=["parked"])
dead_letters = audited_router("/dead-letters", tags=["dead-letters"])
SeverityName = Literal["info", "warning", "error", "critical"]


@router.get("")
async def list_deliveries(
    app: AppDep,
    state: State | None = None,
    lane: Annotated[str, Query(description="Only those of this lane, or of this destination")] = "",
    channel: Annotated[str, Query(description="Only those to this channel, by its name or id in Slack")] = "",
    severity: Annotated[list[SeverityName] | None, Query(description="Only events of this severity")] = None,
    since: Annotated[str, Query(description="Only those queued since this time, or in this time span")] = "",
    event: Annotated[str | None, Query(description="Only those of this event")] = None,
    after: After = None,
    limit: Limit = LIMIT,
) -> Rows[schemas.DeliverySchema]:
    """List deliveries, newest first. Those of one event are all on one page."""
    try:
        since_ms = parse_since_ms(since, await app.redis.now_ms())
    except ValueError as error:
        raise RequestError(422, f"since: {error}.") from None
    severities = tuple(map(Severity.ranked, severity or ()))
    where = DeliveryFilter(state, await lanes.match_lanes(app, lane=lane, channel=channel), severities, since_ms)
    page = await service.get_deliveries_page(app, where, event, after, limit)
    ids = await service.find_event_ids(app, (delivery.event_ref for delivery in page.rows))
    return Rows(rows=[schemas.DeliverySchema.of(row, event_id=ids[row.event_ref]) for row in page.rows], next=page.next)


@router.get("/{id}")
async def show_delivery(app: AppDep, id: Id) -> schemas.DeliveryTraceSchema:  # noqa: A002  # the name in the path
    """Show a delivery with every call to Slack."""
    trace = await service.get_delivery_trace(app, id)
    return schemas.DeliveryTraceSchema.of(trace, trace.delivery)


@parked.get("")
async def list_parked(app: AppDep, after: After = None, limit: Limit = LIMIT) -> Rows[schemas.ParkedLaneSchema]:
    """List parked lanes with their fixes, longest parked first."""
    page = await lanes.get_parked_page(app, after, limit)
    return Rows(rows=list(map(schemas.ParkedLaneSchema.of, page.rows)), next=page.next)


class ResumeRequest(RequestBody):
    """The `lane` as `parked` lists it, or its destination alone when no other lane has the same one."""

    lane: str


class ResumeResult(BaseModel):
    """Summary of what was done."""

    text: str


@parked.post("/resume", openapi_extra=document_body(ResumeRequest))
async def resume_lane(app: AppDep, request: Request) -> ResumeResult:
    """Resume a parked lane now."""
    body = await read_body(request, ResumeRequest)
    set_audit_details(request, lane=body.lane)
    return ResumeResult(text=str(await lanes.resume_lane(app, body.lane)))


@dead_letters.post("/replay", openapi_extra=document_body(DeadLetterSelection))
async def replay_dead_letters(app: AppDep, request: Request) -> BulkResult:
    """Replay dead letters. After a time-out send the request again: nothing is replayed twice."""
    return await _apply(app, request, dead_letter_service.replay_one)


@dead_letters.post("/discard", openapi_extra=document_body(DeadLetterSelection))
async def discard_dead_letters(app: AppDep, request: Request) -> BulkResult:
    """Discard dead letters. The ledger still counts them, as discarded."""
    return await _apply(app, request, dead_letter_service.discard_one)


async def _apply(app: AppContext, request: Request, action: DeadLetterAction) -> BulkResult:
    selection = await read_body(request, DeadLetterSelection)
    selection.require()
    set_audit_details(request, ids=", ".join(selection.ids), reason=selection.reason or "", all=selection.all)
    return await dead_letter_service.apply_to_each(app, selection, action, f"API, {request.state.audit.who}")


@dead_letters.get("")
async def list_dead_letters(
    app: AppDep, reason: str = "", after: After = None, limit: Limit = LIMIT
) -> Rows[schemas.DeadLetterSchema]:
    """List dead letters, newest first."""
    page = await app.dead_letters.page(reason, after, limit)
    ids = await service.find_event_ids(app, (letter.delivery.event_ref for letter in page.rows if letter.delivery))
    return Rows(rows=[schemas.DeadLetterSchema.of_letter(letter, ids) for letter in page.rows], next=page.next)


@dead_letters.get("/{id}")
async def show_dead_letter(app: AppDep, id: Id) -> schemas.DeadLetterDetailsSchema:  # noqa: A002  # the name in the path
    """Show a dead letter with its event and every call to Slack, or the bytes of an unreadable entry."""
    return schemas.DeadLetterDetailsSchema.of_details(await dead_letter_service.get_dead_letter(app, id))

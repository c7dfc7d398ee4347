"""`/api/v1/subscriptions`: the rules that say which events go to which destination."""

from fastapi import Request, Response
from pydantic import BaseModel, Field

from worker.services import subscriptions as service
from worker.services.destinations import SentTestMessage, send_test_message
from worker.services.subscription_schema import SubscriptionSpec
from worker.services.subscriptions import SavedSubscription, SubscriptionStatus
from worker.web.auth import audited_router, set_audit_details
from worker.web.requests import AppDep, Id, RequestBody, RequestError, Rows, document_body, read_body

router = audited_router("/subscriptions", tags=["subscriptions"])


class SavedSubscriptionSchema(SubscriptionSpec):
    """A subscription as it is stored now, and warnings."""

    warnings: list[str]

    @classmethod
    def of(cls, saved: SavedSubscription) -> "SavedSubscriptionSchema":
        """Return the schema of a saved subscription, without validating it again."""
        return cls.model_construct(**saved.spec.model_dump(), warnings=saved.warnings)


class Discarded(BaseModel):
    """The number of pending deliveries that were discarded."""

    discarded: int


@router.get("")
async def list_subscriptions(app: AppDep) -> Rows[SubscriptionSpec]:
    """List all subscriptions, oldest first."""
    return Rows(rows=await service.list_subscriptions(app))


@router.get("/{id}")
async def show_subscription(app: AppDep, id: Id) -> SubscriptionStatus:  # noqa: A002  # the name in the path
    """Show a subscription and the status of its destination."""
    return await service.get_subscription_status(app, id)


@router.post(
    "",
    status_code=201,
    responses={200: {"model": SavedSubscriptionSchema, "description": "It existed already"}},
    openapi_extra=document_body(SubscriptionSpec),
)
async def add_subscription(app: AppDep, request: Request, response: Response) -> SavedSubscriptionSchema:
    """Add a subscription. An unreachable destination is accepted with a warning, an identical one returned."""
    body = await read_body(request, SubscriptionSpec)
    saved = await service.add_subscription(app, body, body.integration or None)
    response.status_code = 201 if saved.is_new else 200
    set_audit_details(request, id=saved.spec.id)
    return SavedSubscriptionSchema.of(saved)


@router.put("/{id}", openapi_extra=document_body(SubscriptionSpec))
async def replace_subscription(app: AppDep, id: Id, request: Request) -> SavedSubscriptionSchema:  # noqa: A002
    """Replace a subscription. Omitted fields get their defaults; an omitted integration or mute is kept."""
    body = await read_body(request, SubscriptionSpec)
    if body.id not in ("", id):
        raise RequestError(422, f"The body has the id {body.id!r}, the path {id!r}. Send the same id, or none.")
    return SavedSubscriptionSchema.of(await service.replace_subscription(app, id, body))


@router.delete("/{id}")
async def remove_subscription(app: AppDep, id: Id) -> Discarded:  # noqa: A002
    """Remove a subscription and discard its pending deliveries."""
    return Discarded(discarded=await service.remove_subscriptions(app, [id]))


@router.post("/{id}/pause")
async def pause_subscription(app: AppDep, id: Id) -> SubscriptionStatus:  # noqa: A002
    """Pause a subscription. Deliveries that exist already are still sent."""
    await service.set_paused(app, [id], True)
    return await service.get_subscription_status(app, id)


@router.post("/{id}/resume")
async def resume_subscription(app: AppDep, id: Id) -> SubscriptionStatus:  # noqa: A002
    """Resume a paused subscription for events from now on."""
    await service.set_paused(app, [id], False)
    return await service.get_subscription_status(app, id)


class MuteRequest(RequestBody):
    """Either `for` a time span (`30m`, `2h`, `1h30m`), or `until` a time (`2026-11-25T08:00+01:00`)."""

    span: str | None = Field(None, alias="for")
    until: str | None = None


@router.post("/{id}/mute", openapi_extra=document_body(MuteRequest))
async def mute_subscription(app: AppDep, id: Id, request: Request) -> SubscriptionStatus:  # noqa: A002
    """Mute a subscription until a time: events accepted before it are suppressed."""
    body = await read_body(request, MuteRequest)
    try:
        until_ms = service.end_of_mute_ms(body.span, body.until, await app.redis.now_ms())
    except ValueError as error:
        raise RequestError(422, f"{error}.", [str(error)]) from None
    await service.set_muted(app, [id], until_ms)
    return await service.get_subscription_status(app, id)


@router.post("/{id}/unmute")
async def unmute_subscription(app: AppDep, id: Id) -> SubscriptionStatus:  # noqa: A002
    """End a mute for events from now on."""
    await service.set_muted(app, [id], 0)
    return await service.get_subscription_status(app, id)


@router.post("/{id}/test")
async def test_subscription(app: AppDep, id: Id) -> SentTestMessage:  # noqa: A002
    """Post a short test message to the destination now."""
    return await send_test_message(app, await app.subscriptions.find(id))

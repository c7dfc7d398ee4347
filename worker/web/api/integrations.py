"""`/api/v1/integrations` and `/channels`: integrations, their tokens, and the directory of channels."""

from operator import itemgetter
from typing import Annotated

from fastapi import Query, Request
from pydantic import Field, SecretStr

from worker.domain.delivery import canonical_destination
from worker.domain.integration import Secret
from worker.pipeline.integration_setup import add_integration as save_integration
from worker.services import integrations as service
from worker.services import schemas, status
from worker.services.subscription_schema import describe_no_destination
from worker.web.api.subscriptions import Discarded
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

router = audited_router("/integrations", tags=["integrations"])
channels = audited_router("/channels", tags=["channels"])
Line = Annotated[str, Field(max_length=500)]
Token = Annotated[SecretStr, Field(min_length=1, max_length=500)]


@router.get("")
async def list_integrations(app: AppDep) -> Rows[schemas.IntegrationSchema]:
    """List all integrations by name with their health, never a token."""
    return Rows(rows=list(map(schemas.IntegrationSchema.of, await status.list_integrations(app))))


@router.get("/{name}")
async def show_integration(app: AppDep, name: Id) -> schemas.IntegrationSchema:
    """Show an integration by its name or id."""
    return schemas.IntegrationSchema.of(await service.get_integration(app, name))


class AddRequest(RequestBody):
    """The name of the integration and its Bot User OAuth Token."""

    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^\S(.*\S)?$")]
    token: Token
    description: Line = ""
    labels: Annotated[tuple[Line, ...], Field(max_length=50)] = ()


@router.post("", status_code=201, openapi_extra=document_body(AddRequest))
async def add_integration(app: AppDep, request: Request) -> schemas.SavedIntegrationSchema:
    """Test a bot token and save it encrypted. An integration that exists under this name gets the new token.

    A second integration of one workspace is a warning.
    """
    body = await read_body(request, AddRequest)
    if not body.name.isprintable():
        raise RequestError(422, "name: it has characters that cannot be printed.")
    app.token_cipher.require_keys()
    set_audit_details(request, integration=body.name)
    integration = await save_integration(
        app.integrations, app.gateway, body.name, _secret(body.token), description=body.description, labels=body.labels
    )
    warnings = await service.find_duplicates_warning(app, integration)
    return schemas.SavedIntegrationSchema.of(integration, warnings=warnings)


class RotateRequest(RequestBody):
    """The new token. With `force`, it may be one of another workspace."""

    token: Token
    force: bool = False


@router.post("/{name}/rotate", openapi_extra=document_body(RotateRequest))
async def rotate_integration(app: AppDep, name: Id, request: Request) -> schemas.SavedIntegrationSchema:
    """Test a new token and swap it in. Everything parked for the old token resumes automatically."""
    body = await read_body(request, RotateRequest)
    integration, warnings = await service.rotate_integration(app, name, _secret(body.token), force=body.force)
    return schemas.SavedIntegrationSchema.of(integration, warnings=warnings)


class CheckRequest(RequestBody):
    """A destination that a test message is posted to, if any."""

    post: str | None = None


@router.post("/{name}/test", openapi_extra=document_body(CheckRequest))
async def test_integration(app: AppDep, name: Id, request: Request) -> schemas.CheckedIntegrationSchema:
    """Check the token, its scopes and every subscribed channel. A failed check is not an error of the request."""
    body = await read_body(request, CheckRequest)
    destination = canonical_destination(body.post) if body.post else None
    if body.post and destination is None:
        raise RequestError(422, f"post: {describe_no_destination(body.post)}.")
    integration, checks = await service.check_integration(app, await app.integrations.find(name), destination)
    return schemas.CheckedIntegrationSchema.of(integration, checks=checks)


@router.post("/{name}/disable")
async def disable_integration(app: AppDep, name: Id) -> schemas.IntegrationSchema:
    """Disable an integration. Its deliveries wait."""
    await service.disable_integration(app, name)
    return await show_integration(app, name)


@router.post("/{name}/enable")
async def enable_integration(app: AppDep, name: Id) -> schemas.IntegrationSchema:
    """Enable an integration. Its waiting deliveries are sent first."""
    await service.enable_integration(app, name)
    return await show_integration(app, name)


@router.delete("/{name}")
async def remove_integration(app: AppDep, name: Id, with_subscriptions: bool = False) -> Discarded:
    """Delete an integration and its token. Refused while subscriptions use it, unless they are removed too."""
    _, discarded = await service.remove_integration(app, name, with_subscriptions=with_subscriptions)
    return Discarded(discarded=discarded)


def _secret(token: SecretStr) -> Secret:
    return Secret(token.get_secret_value().strip())


@channels.get("")
async def list_channels(
    app: AppDep,
    integration: str | None = None,
    member: Annotated[bool, Query(description="Only those that the bot is a member of")] = False,
    after: After = None,
    limit: Limit = LIMIT,
) -> Rows[schemas.ChannelSchema]:
    """List the channels of one integration or of all, as last read from Slack, by integration and name."""
    owners = [await app.integrations.find(integration)] if integration else await app.integrations.list_all()
    rows = [
        (f"{owner.id}:{channel.name}:{channel.id}", owner.name, channel)
        for owner in owners
        for channel in await app.directory.list_channels(owner.id)
        if channel.is_member or not member
    ]
    rest = sorted((row for row in rows if row[0] > (after or "")), key=itemgetter(0))
    page = [schemas.ChannelSchema.of(channel, integration=name) for _, name, channel in rest[:limit]]
    return Rows(rows=page, next=rest[limit - 1][0] if len(rest) > limit else None)

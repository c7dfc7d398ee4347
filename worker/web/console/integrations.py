"""Integrations: the list with their health, and one: test, rotate the token, disable, enable, refresh, remove."""

from collections import Counter
from collections.abc import Sequence

from fastapi import Response

from worker.bootstrap.context import AppContext
from worker.domain.errors import RetryLater, SlackError, UserError
from worker.domain.integration import Health, Integration
from worker.pipeline.integration_setup import CheckResult, test_token
from worker.services import integrations as service
from worker.services.formatting import pluralize
from worker.services.subscription_schema import SubscriptionSpec
from worker.services.subscriptions import describe_discarded, list_subscriptions
from worker.web.audit import audited_router
from worker.web.console.request import ConsoleRequest, ConsoleRequestDep
from worker.web.console.setup import NO_TOKEN, TokenForm

MAX_CHANNELS = 12
REFRESH_S = 2.0
router = audited_router("/integrations")


@router.get("")
async def list_all(request: ConsoleRequestDep) -> Response:
    """Show all integrations."""
    app = request.app
    used = Counter(subscription.integration_id for subscription in await app.subscriptions.list_all())
    rows = [(integration, used[integration.id]) for integration in await service.list_integrations(app)]
    return request.render("integrations.html", rows=rows, now_ms=await app.redis.now_ms())


@router.get("/{id_}")
async def show(request: ConsoleRequestDep, id_: str) -> Response:
    """Show an integration."""
    return await _render(request, id_)


@router.post("/{id_}/test")
async def test(request: ConsoleRequestDep, id_: str) -> Response:
    """Check an integration's token and its subscribed channels."""
    _, checks = await service.check_integration(request.app, await request.app.integrations.find(id_), None)
    return await _render(request, id_, checks)


@router.post("/{id_}/rotate")
async def rotate(request: ConsoleRequestDep, id_: str) -> Response:
    """Test a new token and swap it in; ask first where it lacks scopes or belongs to another workspace."""
    app, form, pending_tokens = request.app, request.form, request.pending_tokens
    app.token_cipher.require_keys()
    integration = await service.get_integration(app, id_)
    token_name = request.secret_name(f"rotation of {integration.id}")
    state, token = TokenForm(), form.secret("token") or await pending_tokens.find(token_name)
    if token is None:
        state.failure = UserError(NO_TOKEN)
        return await _render(request, id_, rotation=state)
    state.checks, identity = await test_token(app.gateway, token, integration.name)
    if identity is None:
        state.failure = UserError("This token cannot be used.")
        return await _render(request, id_, rotation=state)
    moves = integration.team_id not in ("", identity.team_id)
    if (identity.missing_scopes and not form.is_checked("anyway")) or (moves and not form.is_checked("move")):
        await pending_tokens.save(token_name, token)
        state.missing_scopes, state.has_token = identity.missing_scopes, True
        state.other_workspace = identity.team if moves else ""
        return await _render(request, id_, rotation=state)
    request.audit("token rotated", integration.name)
    try:
        rotated, warnings = await service.rotate_integration(app, integration.id, token, force=form.is_checked("move"))
    except UserError as error:  # Slack or another user was faster
        state.failure = error
        return await _render(request, id_, rotation=state)
    await pending_tokens.remove(token_name)
    text = f"{rotated.name} now uses the new token."
    return request.redirect(f"/integrations/{rotated.id}", text, warnings=warnings)


@router.post("/{id_}/disable")
async def disable(request: ConsoleRequestDep, id_: str) -> Response:
    """Disable an integration."""
    request.audit("integration disabled", id_)
    integration, _ = await service.disable_integration(request.app, id_)
    return request.redirect(f"/integrations/{integration.id}", f"{integration.name} disabled. Its deliveries wait.")


@router.post("/{id_}/enable")
async def enable(request: ConsoleRequestDep, id_: str) -> Response:
    """Enable an integration."""
    request.audit("integration enabled", id_)
    integration, lanes = await service.enable_integration(request.app, id_)
    resumed = f" {pluralize(lanes, 'lane')} with pending deliveries resumed." if lanes else ""
    return request.redirect(f"/integrations/{integration.id}", f"{integration.name} enabled.{resumed}")


@router.post("/{id_}/refresh")
async def refresh(request: ConsoleRequestDep, id_: str) -> Response:
    """Read the workspace's channels again."""
    app, integration = request.app, await request.app.integrations.find(id_)
    token, to = await app.integrations.get_token(integration.id), f"/integrations/{integration.id}#channels"
    request.audit("channels refreshed", integration.name)
    try:
        later = await app.directory_refresher.ensure_refreshed(
            integration, token, unless_younger_s=0, budget_s=REFRESH_S
        )
    except SlackError as error:
        return request.redirect(to, f"The channels could not be read: {error.reason}.", "failed")
    if isinstance(later, RetryLater):
        text = f"Some channels are not read yet: {later.reason}. Reload this page in a moment."
        return request.redirect(to, text, "warning")
    return request.redirect(to, "Channels refreshed.")


@router.get("/{id_}/remove")
async def confirm_removal(request: ConsoleRequestDep, id_: str) -> Response:
    """Ask to confirm a removal."""
    integration = await request.app.integrations.find(id_)
    subscriptions = await _subscriptions_of(request.app, integration)
    return request.render("integration_remove.html", integration=integration, subscriptions=subscriptions)


@router.post("/{id_}/remove")
async def remove(request: ConsoleRequestDep, id_: str) -> Response:
    """Remove an integration and its token."""
    request.audit("integration removed", id_)
    with_subscriptions = request.form.is_checked("with_subscriptions")
    integration, discarded = await service.remove_integration(request.app, id_, with_subscriptions=with_subscriptions)
    lost = describe_discarded(discarded)
    return request.redirect("/integrations", f"{integration.name} removed, and its token deleted.{lost}")


async def _subscriptions_of(app: AppContext, integration: Integration) -> list[SubscriptionSpec]:
    return [item for item in await list_subscriptions(app) if item.integration == integration.name]


async def _render(
    request: ConsoleRequest, id_: str, checks: Sequence[CheckResult] = (), rotation: TokenForm | None = None
) -> Response:
    app, integration = request.app, await service.get_integration(request.app, id_)
    return request.render(
        "integration.html",
        422 if rotation else 200,
        integration=integration,
        subscriptions=await _subscriptions_of(app, integration),
        directory=await app.directory.get_status(integration.id),
        channels=await app.directory.search(integration.id, "", limit=MAX_CHANNELS),
        checks=checks,
        rotation=rotation or TokenForm(),
        is_disabled=integration.state is Health.DISABLED,
        now_ms=await app.redis.now_ms(),
    )

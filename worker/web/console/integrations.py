"""Integrations: the list, one with its health and actions, and the setup of a new one with its first channels.

A token is tested before it is saved, and no page shows it: a token that works is kept encrypted for some minutes, so
that a tested token can be saved without pasting it again.
"""

import asyncio
import contextlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import Response

from worker.bootstrap.context import AppContext
from worker.domain.errors import RetryLater, SlackError, UserError
from worker.domain.integration import Health, Integration
from worker.domain.subscription import Subscription
from worker.pipeline.integration_setup import CheckResult, add_integration, test_token
from worker.services import integrations as service
from worker.services import status
from worker.services.destinations import check_posting
from worker.services.formatting import pluralize
from worker.services.subscription_schema import KINDS, LEVELS, parse_spec
from worker.services.subscriptions import add_subscription, describe_discarded, describe_subscriptions
from worker.slack.app_manifest import GRANTS, manifest
from worker.store.token_cipher import WrongKey
from worker.web.auth import audited_router
from worker.web.console.request import ConsoleRequest, ConsoleRequestDep

SETUP = "/integrations/slack/setup"
MAX_NAME, MAX_TEXT = 80, 300
MAX_CHANNELS, MAX_CHOICES, MAX_SUBSCRIPTIONS = 12, 24, 100
REFRESH_S, DIRECTORY_S = 2.0, 1.5
NO_TOKEN = "Paste the token first."  # noqa: S105  # a sentence
NO_DESTINATION = "Choose a channel, or enter another destination."
setup = audited_router()
router = audited_router("/integrations")


@dataclass(slots=True)
class TokenForm:
    """A form with a token: what was entered, except the token, what is wrong, and what must be confirmed first."""

    name: str = ""
    description: str = ""
    labels: str = ""
    has_token: bool = False  #: A tested token is kept and can be saved.
    errors: dict[str, str] = field(default_factory=dict)
    checks: Sequence[CheckResult] = ()
    missing_scopes: Sequence[str] = ()
    other_workspace: str = ""  #: The workspace of the new token, where it is another one than the old token's.
    failure: UserError | None = None


@setup.get(SETUP)
async def show_setup(request: ConsoleRequestDep) -> Response:
    """Show the empty form."""
    await request.pending_tokens.remove(request.secret_name("setup"))
    return _render_setup(request, TokenForm())


@setup.post(SETUP)
async def test_or_save(request: ConsoleRequestDep) -> Response:
    """Test a token, or test and save it."""
    app, form, pending_tokens = request.app, request.form, request.pending_tokens
    name, description, labels = (form.text(name, MAX_TEXT) for name in ("name", "description", "labels"))
    state, token_name = TokenForm(name, description, labels), request.secret_name("setup")
    app.token_cipher.require_keys()
    token = form.secret("token") or await pending_tokens.find(token_name)
    is_saving = form.text("do") == "save"
    if token is None:
        state.errors["token"] = NO_TOKEN
    if is_saving or name:
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
            state.errors["name"] = f"A name has 1 to {MAX_NAME} printable characters."
        elif any(integration.name == name for integration in await app.integrations.list_all()):
            state.errors["name"] = "This name is taken: choose another, or rotate the token on the integration's page."
    if token is None or state.errors:
        return _render_setup(request, state, 422)
    state.checks, identity = await test_token(app.gateway, token, name or "NAME", is_new=True)
    if identity is None:
        await pending_tokens.remove(token_name)
        return _render_setup(request, state, 422)
    state.missing_scopes = identity.missing_scopes
    if not is_saving or (state.missing_scopes and not form.is_checked("anyway")):
        await pending_tokens.save(token_name, token)
        state.has_token = True
        return _render_setup(request, state, 422 if is_saving else 200)
    stripped = tuple(filter(None, (label.strip() for label in labels.split(","))))
    request.audit("integration added", name)
    try:
        saved = await add_integration(
            app.integrations, app.gateway, name, token, description=description, labels=stripped
        )
    except UserError as error:  # Slack or another user was faster
        state.failure = error
        return _render_setup(request, state, 422)
    await pending_tokens.remove(token_name)
    text = f"Integration {saved.name} saved: it posts as @{saved.bot_name} in {saved.team}. Now choose its channels."
    warnings = await service.find_duplicates_warning(app, saved)
    return request.redirect(f"/integrations/{saved.id}/channel", text, warnings=warnings)


def _render_setup(request: ConsoleRequest, state: TokenForm, status: int = 200) -> Response:
    key_error = None
    try:
        request.app.token_cipher.require_keys()
    except WrongKey as error:
        key_error = error
    return request.render("setup.html", status, state=state, grants=GRANTS, manifest=manifest(), key_error=key_error)


@setup.get("/integrations/{id_}/channel")
async def show_channels(request: ConsoleRequestDep, id_: str) -> Response:
    """Show the channels to choose from."""
    return await _render_channels(request, await service.get_integration(request.app, id_), request.query("q"))


@setup.post("/integrations/{id_}/channel")
async def subscribe(request: ConsoleRequestDep, id_: str) -> Response:
    """Add a subscription of the chosen channel."""
    integration, form = await service.get_integration(request.app, id_), request.form
    destination = form.text("other") or form.text("destination")
    if not destination:
        return await _render_channels(request, integration, form.text("q"), NO_DESTINATION)
    kinds, severity = form.values("kind"), form.text("min_severity") or None
    try:
        spec = parse_spec({"destination": destination, "kind": kinds, "min_severity": severity})
    except ValueError as error:
        return await _render_channels(request, integration, form.text("q"), f"{error}.")
    request.audit("subscription added", f"{integration.name} to {destination}")
    spec, is_new, warnings = await add_subscription(request.app, spec, integration.name)
    if not is_new:
        request.discard_audit()
    text = f"{'Subscription added' if is_new else 'This subscription exists'}: {spec.destination}, {spec.filters}."
    return request.redirect(f"/integrations/{integration.id}", text, warnings=warnings)


@setup.post("/integrations/{id_}/test-message")
async def send_test(request: ConsoleRequestDep, id_: str) -> Response:
    """Post a test message to a channel."""
    integration, destination = await service.get_integration(request.app, id_), request.form.text("destination")
    request.audit("test message sent", f"{integration.name} to {destination}")
    check, to = await check_posting(request.app, integration, destination), f"/integrations/{integration.id}"
    if check.passed:
        return request.redirect(to, f"Test message posted to {destination}.")
    return request.redirect(to, f"{destination}: {check.detail}.", "failed", check.fix)


async def _render_channels(request: ConsoleRequest, integration: Integration, query: str, error: str = "") -> Response:
    app = request.app
    with contextlib.suppress(WrongKey):  # the page shows what is known after some moments
        token, life_s = await app.integrations.get_token(integration.id), app.settings.directory_ttl_s
        await asyncio.gather(
            app.directory_refresher.refresh_memberships(integration, token, budget_s=DIRECTORY_S),
            app.directory_refresher.ensure_refreshed(integration, token, unless_younger_s=life_s, budget_s=DIRECTORY_S),
            return_exceptions=True,
        )
    query = unicodedata.normalize("NFC", query.strip().lstrip("#").lower())
    return request.render(
        "channel.html",
        422 if error else 200,
        integration=integration,
        query=query,
        error=error,
        channels=await app.directory.search(integration.id, query, limit=MAX_CHOICES),
        subscribed={subscription.destination for subscription in await _subscriptions_of(app, integration)},
        directory=await app.directory.get_status(integration.id),
        kinds=KINDS,
        severities=LEVELS,
    )


@router.get("")
async def list_all(request: ConsoleRequestDep) -> Response:
    """Show all integrations."""
    app = request.app
    used = Counter(subscription.integration_id for subscription in await app.subscriptions.list_all())
    rows = [(integration, used[integration.id]) for integration in await status.list_integrations(app)]
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
    return request.render(
        "integration_remove.html",
        integration=integration,
        subscriptions=await describe_subscriptions(request.app, subscriptions[:MAX_SUBSCRIPTIONS]),
        total=len(subscriptions),
    )


@router.post("/{id_}/remove")
async def remove(request: ConsoleRequestDep, id_: str) -> Response:
    """Remove an integration and its token."""
    request.audit("integration removed", id_)
    with_subscriptions = request.form.is_checked("with_subscriptions")
    integration, discarded = await service.remove_integration(request.app, id_, with_subscriptions=with_subscriptions)
    lost = describe_discarded(discarded)
    return request.redirect("/integrations", f"{integration.name} removed, and its token deleted.{lost}")


async def _subscriptions_of(app: AppContext, integration: Integration) -> list[Subscription]:
    return [sub for sub in await app.subscriptions.list_all() if sub.integration_id == integration.id]


async def _render(
    request: ConsoleRequest, id_: str, checks: Sequence[CheckResult] = (), rotation: TokenForm | None = None
) -> Response:
    app, integration = request.app, await service.get_integration(request.app, id_)
    subscriptions = await _subscriptions_of(app, integration)
    return request.render(
        "integration.html",
        422 if rotation else 200,
        integration=integration,
        subscriptions=await describe_subscriptions(app, subscriptions[:MAX_SUBSCRIPTIONS]),
        subscriptions_left=max(len(subscriptions) - MAX_SUBSCRIPTIONS, 0),
        directory=await app.directory.get_status(integration.id),
        channels=await app.directory.search(integration.id, "", limit=MAX_CHANNELS),
        checks=checks,
        rotation=rotation or TokenForm(),
        is_disabled=integration.state is Health.DISABLED,
        now_ms=await app.redis.now_ms(),
    )

"""Setup: add a Slack app as an integration, then choose its first channels.

A token is tested before it is saved, and no page shows it: a token that works is kept encrypted for some minutes, so
that a tested token can be saved without pasting it again.
"""

import asyncio
import contextlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import Response

from worker.domain.errors import UserError
from worker.domain.integration import Integration
from worker.pipeline.integration_setup import CheckResult, add_integration, test_token
from worker.services.destinations import check_posting
from worker.services.integrations import find_duplicates_warning, get_integration
from worker.services.subscription_schema import KINDS, LEVELS, parse_spec
from worker.services.subscriptions import add_subscription, list_subscriptions
from worker.slack.app_manifest import GRANTS, manifest
from worker.store.token_cipher import WrongKey
from worker.web.audit import audited_router
from worker.web.console.request import ConsoleRequest, ConsoleRequestDep

PATH = "/integrations/slack/setup"
MAX_NAME, MAX_TEXT = 80, 300
MAX_CHANNELS = 24
DIRECTORY_S = 1.5
NO_TOKEN = "Paste the token first."  # noqa: S105  # a sentence
NO_DESTINATION = "Choose a channel, or enter another destination."
router = audited_router()


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


@router.get(PATH)
async def show_setup(request: ConsoleRequestDep) -> Response:
    """Show the empty form."""
    await request.pending_tokens.remove(request.secret_name("setup"))
    return _render(request, TokenForm())


@router.post(PATH)
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
        return _render(request, state, 422)
    state.checks, identity = await test_token(app.gateway, token, name or "NAME", is_new=True)
    if identity is None:
        await pending_tokens.remove(token_name)
        return _render(request, state, 422)
    state.missing_scopes = identity.missing_scopes
    if not is_saving or (state.missing_scopes and not form.is_checked("anyway")):
        await pending_tokens.save(token_name, token)
        state.has_token = True
        return _render(request, state, 422 if is_saving else 200)
    stripped = tuple(filter(None, (label.strip() for label in labels.split(","))))
    request.audit("integration added", name)
    try:
        saved = await add_integration(
            app.integrations, app.gateway, name, token, description=description, labels=stripped
        )
    except UserError as error:  # Slack or another user was faster
        state.failure = error
        return _render(request, state, 422)
    await pending_tokens.remove(token_name)
    text = f"Integration {saved.name} saved: it posts as @{saved.bot_name} in {saved.team}. Now choose its channels."
    warnings = await find_duplicates_warning(app, saved)
    return request.redirect(f"/integrations/{saved.id}/channel", text, warnings=warnings)


def _render(request: ConsoleRequest, state: TokenForm, status: int = 200) -> Response:
    key_error = None
    try:
        request.app.token_cipher.require_keys()
    except WrongKey as error:
        key_error = error
    return request.render("setup.html", status, state=state, grants=GRANTS, manifest=manifest(), key_error=key_error)


@router.get("/integrations/{id_}/channel")
async def show_channels(request: ConsoleRequestDep, id_: str) -> Response:
    """Show the channels to choose from."""
    return await _render_channels(request, await get_integration(request.app, id_), request.query("q"))


@router.post("/integrations/{id_}/channel")
async def subscribe(request: ConsoleRequestDep, id_: str) -> Response:
    """Add a subscription of the chosen channel."""
    integration, form = await get_integration(request.app, id_), request.form
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


@router.post("/integrations/{id_}/test-message")
async def send_test(request: ConsoleRequestDep, id_: str) -> Response:
    """Post a test message to a channel."""
    integration, destination = await get_integration(request.app, id_), request.form.text("destination")
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
        channels=await app.directory.search(integration.id, query, limit=MAX_CHANNELS),
        subscribed={item.destination for item in await list_subscriptions(app) if item.integration == integration.name},
        directory=await app.directory.get_status(integration.id),
        kinds=KINDS,
        severities=LEVELS,
    )

"""Integrations: find, check, rotate the token, disable, enable, remove."""

from worker.bootstrap.context import AppContext
from worker.domain.delivery import Destination, destination_form
from worker.domain.errors import UsageError, UserError
from worker.domain.hints import Action, Hint, Step
from worker.domain.integration import Health, Integration, Secret
from worker.domain.mrkdwn import cut
from worker.pipeline.integration_setup import CheckResult, apply_identity, rotate_token, test_token
from worker.services.deliveries import discard_pending
from worker.services.destinations import Unreachable, check_destinations, check_posting
from worker.services.lanes import list_lanes_of
from worker.services.status import ADD_INTEGRATION, list_integrations
from worker.store.schedule import ProbeKind, ProbeTarget


async def select_integration(app: AppContext, name: str | None) -> Integration:
    """Return the integration of this name or id, or the only one. Raises UsageError if there are several."""
    if name is not None:
        return await app.integrations.find(name)
    integrations = await app.integrations.list_all()
    if not integrations:
        raise UserError("There is no integration yet.", ADD_INTEGRATION)
    if len(integrations) > 1:
        names = cut(", ".join(integration.name for integration in integrations), 200)
        raise UsageError(f"There are several integrations. Name one of {names}.")
    return integrations[0]


async def find_duplicates_warning(app: AppContext, integration: Integration) -> list[str]:
    """Return a warning when another integration is of the same workspace."""
    twins = [item.name for item in await app.integrations.list_all()
             if item.team_id == integration.team_id and item.id != integration.id]  # fmt: skip
    if not twins:
        return []
    names = f"{', '.join(twins)} and {integration.name}"
    text = f"{names} are integrations of the same workspace, {integration.team}: events may be posted there twice."
    return [f"{text} Remove one, unless you want both."]


async def get_integration(app: AppContext, name: str) -> Integration:
    """Return one integration of `list_integrations` by its name or id. Raises NotFound."""
    id_ = (await app.integrations.find(name)).id
    return next(integration for integration in await list_integrations(app) if integration.id == id_)


async def rotate_integration(
    app: AppContext, name: str, token: Secret, *, force: bool
) -> tuple[Integration, list[str]]:
    """Test a new token and swap it in; return the integration and warnings. `force` takes one of another workspace."""
    app.token_cipher.require_keys()
    before = await app.integrations.find(name)
    rotated = await rotate_token(app.integrations, app.gateway, before, token, force=force)
    if rotated.team_id == before.team_id:
        return rotated, []
    subscriptions = [sub for sub in await app.subscriptions.list_all() if sub.integration_id == before.id]
    await app.directory.clear(before.id)
    lanes = {lane for sub in subscriptions for lane in await list_lanes_of(app, sub)}
    await app.lanes.unpin_addresses(sorted(lanes))
    id_forms = (Destination.CONVERSATION_ID, Destination.USER_ID)
    destinations = sorted({destination for sub in subscriptions for destination in sub.destinations})
    ids = [destination for destination in destinations if destination_form(destination) in id_forms]
    names = [destination for destination in destinations if destination not in ids]
    moved = f"{rotated.name} moved from {before.team} to {rotated.team}"
    warnings = [f"{moved}: events now go to {', '.join(names)} there."] if names else []
    if ids:
        warnings.append(
            f"{moved}, where {', '.join(ids)} cannot exist: their deliveries wait. "
            "Change those subscriptions to channels of the new workspace."
        )
    return rotated, (warnings or [f"{moved}."]) + await find_duplicates_warning(app, rotated)


async def check_integration(
    app: AppContext, integration: Integration, post: str | None
) -> tuple[Integration, list[CheckResult]]:
    """Check the token, its scopes and every subscribed destination; with `post` send a test message there.

    Returns the integration as Slack knows it now, and the checks. If it is parked and its token works, it resumes.
    """
    token = await app.integrations.get_token(integration.id)
    checks, identity = await test_token(app.gateway, token, integration.name)
    if identity is None:
        return integration, checks
    identified = apply_identity(integration, identity)
    if identified != integration:
        await app.integrations.save(identified)
    if integration.state is Health.PARKED:
        await app.prober.probe(ProbeTarget(ProbeKind.INTEGRATION, integration.id))
    addresses = await check_destinations(app, identified, await app.subscriptions.list_all())
    for destination, address in addresses.items():
        if isinstance(address, Unreachable):
            checks.append(CheckResult(destination, False, address.reason, address.fix, address.code))
        else:
            names = address.id if address.name in ("", address.id) else f"{address.name}, {address.id}"
            checks.append(CheckResult(destination, True, f"can be posted to ({names})"))
    if post:
        checks.append(await check_posting(app, identified, post))
    return await app.integrations.find(integration.id), checks


async def remove_integration(app: AppContext, name: str, *, with_subscriptions: bool) -> tuple[Integration, int]:
    """Delete an integration and its token; return it and the number of discarded deliveries.

    Raises UserError while subscriptions use it, unless `with_subscriptions` removes them too.
    """
    integration = await app.integrations.find(name)
    subscriptions = [sub for sub in await app.subscriptions.list_all() if sub.integration_id == integration.id]
    if subscriptions and not with_subscriptions:
        names = ", ".join(f"{sub.id} ({sub.destination})" for sub in subscriptions)
        raise UserError(
            f"Integration {integration.name} was not removed: it is used by {names}. "
            "Remove these subscriptions first, or with it (`--with-subscriptions`)."
        )
    discarded = 0
    if subscriptions:
        await app.subscriptions.save_and_remove(remove=[sub.id for sub in subscriptions])
        discarded = await discard_pending(app, subscriptions)
    await app.integrations.remove(integration.id)
    return integration, discarded


async def disable_integration(app: AppContext, name: str) -> tuple[Integration, Hint]:
    """Stop posting with an integration; return it and the step that enables it again."""
    integration = await app.integrations.find(name)
    hint = Hint.of("To post again, ", Step(Action.ENABLE_INTEGRATION, integration.name), ".")
    await app.integrations.disable(integration.id, hint)
    return integration, hint


async def enable_integration(app: AppContext, name: str) -> tuple[Integration, int | None]:
    """Post with a disabled integration again; return it and the number of resumed lanes, None if it was enabled."""
    integration = await app.integrations.find(name)
    if integration.state is not Health.DISABLED:
        return integration, None
    return integration, await app.integrations.resume(integration.id, enable=True)

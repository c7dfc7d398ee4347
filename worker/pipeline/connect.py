"""Connect: a token a person pasted becomes an integration, or the reason why it cannot."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.domain.errors import Blocked, Problem, Refusal, Throttled, filled
from worker.domain.integration import Health, Identity, Integration, Secret
from worker.pipeline.gateway import Gateway
from worker.store.integrations import Integrations

OAUTH_PAGE = "OAuth & Permissions"
WAITED_MOST_S, THROTTLED_MOST = 30.0, 3
CHECK_NETWORK = "Check the network between this machine and Slack, then try again."
_SHAPES = (
    ("xoxp-", "a user token"),
    ("xapp-", "an app-level token"),
    ("xoxe.xoxp-", "a user token"),
    ("xoxe-", "a refresh token"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: whether it is well, and if not the step that mends it."""

    name: str
    passed: bool
    detail: str
    mend: str = ""


def token_fault(token: Secret) -> str:
    """Why a text cannot be a bot token, by its shape alone; empty when it may be one."""
    text = token.reveal()
    if text.startswith(("xoxb-", "xoxe.xoxb-")):
        return ""
    for prefix, name in _SHAPES:
        if text.startswith(prefix):
            return f"this is {name} ({prefix}…), not a bot token"
    return "a bot token starts with xoxb-"


async def test_token(gateway: Gateway, token: Secret, name: str) -> tuple[list[Check], Identity | None]:
    """The checks of Test Connection: the token's shape, who it is, and the five scopes."""
    fault = token_fault(token)
    copy = f"Copy the Bot User OAuth Token (it starts with xoxb-) from {OAUTH_PAGE} of the Slack app."
    checks = [Check("token", not fault, fault or "has the shape of a bot token", copy if fault else "")]
    if fault:
        return checks, None
    try:
        identity = await _identity(gateway, token)
    except Refusal as error:
        hint = error.hint if isinstance(error, Blocked) else CHECK_NETWORK
        if isinstance(error, Throttled):
            hint = "Try again then."
        reason, mend = (filled(words, integration=name) for words in (error.reason, hint))
        checks.append(Check("connection", False, reason, mend))
        return checks, None
    who = f"@{identity.bot_name} in workspace {identity.team}"
    checks.append(Check("connection", True, f"Slack knows it as {who}"))
    missing = identity.missing_scopes
    found = f"missing: {', '.join(missing)}" if missing else "all five are granted"
    checks.append(Check("scopes", not missing, found, scopes_mend(missing) if missing else ""))
    return checks, identity


async def _identity(gateway: Gateway, token: Secret) -> Identity:
    """Who a token is; a short wait that Slack asks for is waited."""
    for _ in range(THROTTLED_MOST):
        try:
            return await gateway.identify(token)
        except Throttled as error:
            if error.retry_after_s > WAITED_MOST_S:
                raise
            await asyncio.sleep(error.retry_after_s)
    return await gateway.identify(token)


def scopes_mend(missing: Sequence[str]) -> str:
    """The step that grants what is missing."""
    named = ", ".join(missing)
    return f"Add {named} under {OAUTH_PAGE} → Bot Token Scopes, then click Reinstall to Workspace."


async def add_integration(
    integrations: Integrations,
    gateway: Gateway,
    name: str,
    token: Secret,
    *,
    description: str = "",
    labels: tuple[str, ...] = (),
) -> Integration:
    """Save a tested token as an integration; Problem when Slack does not know the token.

    Adding a name that exists sets its token anew. A missing scope is no obstacle: what needs it parks.
    """
    identity = await _identified(gateway, token, name)
    existing = next((one for one in await integrations.all() if one.name == name), None)
    if existing and existing.team_id not in ("", identity.team_id):
        raise Problem(
            f"Integration {name} was not saved: it belongs to workspace {existing.team}, "
            f"and this token to {identity.team}. Choose another name for the other workspace."
        )
    base = existing or Integration(await integrations.free_id(name), name)
    integration = with_identity(
        replace(base, description=description or base.description, labels=labels or base.labels), identity
    )
    return await _swap(integrations, integration, token)


async def rotate_token(
    integrations: Integrations, gateway: Gateway, integration: Integration, token: Secret, *, force: bool
) -> Integration:
    """Give an integration another token in one write; everything parked for the old one resumes.

    Problem when Slack does not know it, or it is of another workspace and not `force`. After a `force` the
    caller forgets the directory and the lanes' pins: they speak of the old workspace.
    """
    identity = await _identified(gateway, token, integration.name)
    if integration.team_id not in ("", identity.team_id) and not force:
        raise Problem(
            f"Integration {integration.name} was not saved: it belongs to workspace {integration.team}, "
            f"and this token to {identity.team}. To move it there, force it (`--force`)."
        )
    return await _swap(integrations, with_identity(integration, identity), token)


async def _identified(gateway: Gateway, token: Secret, name: str) -> Identity:
    """Who a token is; Problem when Slack does not know it."""
    checks, identity = await test_token(gateway, token, name)
    if identity is None:
        raise Problem(f"Integration {name} was not saved: {checks[-1].detail}. {checks[-1].mend}")
    return identity


async def _swap(integrations: Integrations, integration: Integration, token: Secret) -> Integration:
    """Save, and let what waits go on, unless a person switched the integration off."""
    await integrations.save(integration, token)
    if integration.state is Health.DISABLED:
        return integration
    await integrations.resume(integration.id)
    return replace(integration, state=Health.ACTIVE, reason="", hint="", since_ms=0)


def with_identity(integration: Integration, identity: Identity) -> Integration:
    """An integration as Slack knows it now."""
    return replace(
        integration,
        team_id=identity.team_id,
        team=identity.team,
        url=identity.url,
        bot_user_id=identity.user_id,
        bot_name=identity.bot_name,
        scopes=identity.scopes,
    )


async def ensure_default(integrations: Integrations, gateway: Gateway, token: Secret) -> Integration | None:
    """The integration `default` from SLACK_BOT_TOKEN, when there is none at all."""
    if await integrations.connections():
        return None
    return await add_integration(integrations, gateway, "default", token, description="from SLACK_BOT_TOKEN")

"""Connect: a token a person pasted becomes an integration, or the reason why it cannot."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.domain.errors import Blocked, Problem, Refusal, Throttled, Undeliverable, Unlisted, filled
from worker.domain.integration import Health, Identity, Integration, Secret
from worker.pipeline.gateway import Gateway
from worker.store.integrations import Integrations

OAUTH_PAGE = "OAuth & Permissions"
WAITED_MOST_S, THROTTLED_MOST = 30.0, 3
CHECK_NETWORK = "Check the network between this machine and Slack, then try again."
CHECK_ADDRESS = "What answered may not be Slack: check SLACK_API_URL and any proxy in between."
SLACKS_OWN = "That is trouble of Slack's, or of a proxy in between: try again in a few minutes."
TELL_US = "Try again in a few minutes; if it stays so, please tell us."
_WIRE = frozenset(("connect_failed", "connect_timeout", "connection_lost", "read_timeout"))
_COPY = f"opy the Bot User OAuth Token (it starts with xoxb-) from {OAUTH_PAGE} of the Slack app."
_COPY_THE_RIGHT_ONE = f"C{_COPY}"
_WITHOUT_ROTATION = (
    "Slack cannot switch token rotation off again: create another app without it, as `ik-slack manifest` "
    f"prints one, install it, and c{_COPY}"
)
_SHAPES = (
    ("xoxp-", "a user token", _COPY_THE_RIGHT_ONE),
    ("xapp-", "an app-level token", _COPY_THE_RIGHT_ONE),
    ("xoxe.xoxb-", "a token of an app with token rotation, which expires after 12 hours", _WITHOUT_ROTATION),
    ("xoxe.xoxp-", "a user token", _COPY_THE_RIGHT_ONE),
    ("xoxe.", "a token of an app with token rotation", _WITHOUT_ROTATION),
    ("xoxe-", "a refresh token", _WITHOUT_ROTATION),
)
"""https://docs.slack.dev/authentication/tokens and https://docs.slack.dev/authentication/using-token-rotation"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: whether it is well, and if not the step that mends it."""

    name: str
    passed: bool
    detail: str
    mend: str = ""


def token_fault(token: Secret) -> tuple[str, str]:
    """Why a text cannot be a bot token, by its shape alone, and the step; empty when it may be one."""
    text = token.reveal()
    if text.startswith("xoxb-"):
        return "", ""
    for prefix, name, step in _SHAPES:
        if text.startswith(prefix):
            return f"this is {name} ({prefix}…), not a bot token", step
    return "this is no token of a Slack bot, which starts with xoxb-", _COPY_THE_RIGHT_ONE


async def test_token(gateway: Gateway, token: Secret, name: str) -> tuple[list[Check], Identity | None]:
    """The checks of Test Connection: the token's shape, who it is, and the five scopes."""
    fault, step = token_fault(token)
    checks = [Check("token", not fault, fault or "has the shape of a bot token", step)]
    if fault:
        return checks, None
    try:
        identity = await _identity(gateway, token)
    except Refusal as error:
        reason, mend = (filled(words, integration=name) for words in (error.reason, mend_of(error)))
        checks.append(Check("connection", False, reason, mend))
        return checks, None
    who = f"@{identity.bot_name} in workspace {identity.team}"
    checks.append(Check("connection", True, f"Slack knows it as {who}"))
    missing = identity.missing_scopes
    found = f"missing: {', '.join(missing)}" if missing else "all five are granted"
    checks.append(Check("scopes", not missing, found, scopes_mend(missing, name) if missing else ""))
    return checks, identity


def mend_of(error: Refusal) -> str:
    """The step after a refusal."""
    match error:
        case Blocked():
            return error.hint
        case Throttled():
            return "Try again then."
        case Unlisted() | Undeliverable():
            return TELL_US
        case _ if error.code in _WIRE:
            return CHECK_NETWORK
        case _ if error.code == "unreadable_answer" or re.fullmatch("http_[34]..", error.code):
            return CHECK_ADDRESS
        case _:
            return SLACKS_OWN


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


def scopes_mend(missing: Sequence[str], name: str) -> str:
    """The step that grants an integration what is missing."""
    return (
        f"Add {', '.join(missing)} under {OAUTH_PAGE} → Bot Token Scopes, then click Reinstall to Workspace. "
        f"If that gives a new token, run `ik-slack integrations rotate {name}`."
    )


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
    existing = next((one for one in await integrations.all() if one.name == name), None)
    identity = await _identified(gateway, token, name, is_new=existing is None)
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


async def _identified(gateway: Gateway, token: Secret, name: str, *, is_new: bool = False) -> Identity:
    """Who a token is; Problem when Slack does not know it. What was never saved is not rotated but added."""
    checks, identity = await test_token(gateway, token, name)
    if identity is None:
        mend = checks[-1].mend
        mend = mend.replace("integrations rotate", "integrations add") if is_new else mend
        raise Problem(f"Integration {name} was not saved: {checks[-1].detail}. {mend}")
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

"""Setup of integrations: tests a token (Test Connection), and saves a tested token as an integration."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from worker.domain.errors import Blocked, SlackError, Throttled, Undeliverable, UnlistedCode, UserError, format_hint
from worker.domain.hints import NO_HINT, Action, Hint, Step
from worker.domain.integration import Health, Identity, Integration, Secret
from worker.pipeline.gateway import Gateway
from worker.store.integrations import Integrations

OAUTH_PAGE = "OAuth & Permissions"
MAX_WAIT_S, MAX_WAITS = 30.0, 3  # when Slack throttles the test
CHECK_NETWORK = Hint.of("Check the network between this machine and Slack, then try again.")
_COPY = f"the Bot User OAuth Token (it starts with xoxb-) from {OAUTH_PAGE} of the Slack app."
_COPY_BOT_TOKEN = Hint.of(f"Copy {_COPY}")
_CREATE_APP = Hint.of(
    "Slack cannot switch token rotation off again: create another app without it (for its manifest, ",
    Step(Action.SHOW_MANIFEST),
    f"), install it, and copy {_COPY}",
)
_OTHER_TOKENS = (
    ("xoxp-", "a user token", _COPY_BOT_TOKEN),
    ("xapp-", "an app-level token", _COPY_BOT_TOKEN),
    ("xoxe.xoxb-", "a token of an app with token rotation, which expires after 12 hours", _CREATE_APP),
    ("xoxe.xoxp-", "a user token", _COPY_BOT_TOKEN),
    ("xoxe.", "a token of an app with token rotation", _CREATE_APP),
    ("xoxe-", "a refresh token", _CREATE_APP),
)
"""Prefix, kind and fix of each token that is not a bot token.

Sources: https://docs.slack.dev/authentication/tokens, https://docs.slack.dev/authentication/using-token-rotation
"""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    name: str
    passed: bool
    detail: str
    fix: Hint = NO_HINT  #: The step to take when the check failed.
    code: str = ""  #: Slack's error code, where Slack said that the check fails.


def check_token_shape(token: Secret) -> CheckResult:
    """Check by its prefix alone whether a text can be a bot token."""
    text = token.reveal()
    if text.startswith("xoxb-"):
        return CheckResult("token", True, "has the shape of a bot token")
    for prefix, kind, fix in _OTHER_TOKENS:
        if text.startswith(prefix):
            return CheckResult("token", False, f"this is {kind} ({prefix}…), not a bot token", fix)
    return CheckResult("token", False, "this is not a Slack bot token, which starts with xoxb-", _COPY_BOT_TOKEN)


async def test_token(
    gateway: Gateway, token: Secret, name: str, *, is_new: bool = False,  # noqa: PT028  # this is no test
) -> tuple[list[CheckResult], Identity | None]:  # fmt: skip
    """Run the checks of Test Connection: the token's shape, its identity, and the required scopes.

    Ends at the first failed check. The fix for a new integration says how to add it, otherwise how to rotate its token.
    """
    command = Action.ADD_INTEGRATION if is_new else Action.ROTATE_TOKEN
    shape = check_token_shape(token)
    if not shape.passed:
        return [shape], None
    try:
        identity = await _identify(gateway, token)
    except SlackError as error:
        fill = partial(format_hint, integration=name)
        fix = fix_for(error).map(fill).with_action(Action.ROTATE_TOKEN, command)
        return [shape, CheckResult("connection", False, fill(error.reason), fix, error.code)], None
    connection = CheckResult("connection", True, f"Slack knows it as @{identity.bot_name} in workspace {identity.team}")
    scopes = CheckResult("scopes", True, "all five are granted")
    if missing := identity.missing_scopes:
        fix = missing_scopes_fix(missing, name).with_action(Action.ROTATE_TOKEN, command)
        scopes = CheckResult("scopes", False, f"missing: {', '.join(missing)}", fix, "missing_scope")
    return [shape, connection, scopes], identity


def fix_for(error: SlackError) -> Hint:
    """Return the step to take after an error of Slack."""
    if isinstance(error, Blocked):
        return error.hint
    if isinstance(error, Throttled) or error.code == "certificate_untrusted":
        return Hint.of("Try again then.")
    if isinstance(error, UnlistedCode | Undeliverable):
        return Hint.of("Try again in a few minutes. If it fails again, please report it to infrakitchen-slack.")
    if error.code in ("connect_failed", "connect_timeout", "connection_lost", "read_timeout"):
        return CHECK_NETWORK
    if error.code == "unreadable_answer" or re.fullmatch("http_[34]..", error.code):
        return Hint.of("Another server than Slack may have answered: check SLACK_API_URL and any proxy in between.")
    return Hint.of("Slack, or a proxy in between, has a problem of its own: try again in a few minutes.")


async def _identify(gateway: Gateway, token: Secret) -> Identity:
    """Return the identity of a token, after the short waits that Slack may ask for."""
    for _ in range(MAX_WAITS):
        try:
            return await gateway.identify(token)
        except Throttled as error:
            if error.retry_after_s > MAX_WAIT_S:
                raise
            await asyncio.sleep(error.retry_after_s)
    return await gateway.identify(token)


def missing_scopes_fix(missing: Sequence[str], name: str) -> Hint:
    """Return the step that grants an integration its missing scopes."""
    return Hint.of(
        f"Add {', '.join(missing)} under {OAUTH_PAGE} → Bot Token Scopes, then click Reinstall to Workspace. "
        "If that gives a new token, ",
        Step(Action.ROTATE_TOKEN, name),
        ".",
    )


async def add_integration(
    integrations: Integrations, gateway: Gateway, name: str, token: Secret, *,
    description: str = "", labels: tuple[str, ...] = (),
) -> Integration:  # fmt: skip
    """Test a token and save it as an integration; an integration of the same name gets the new token.

    A token with missing scopes is saved: deliveries that need the scopes park. Raises UserError when Slack rejects the
    token, and when the integration of that name belongs to another workspace.
    """
    existing = next((stored for stored in await integrations.list_all() if stored.name == name), None)
    base = existing or Integration(await integrations.find_free_id(name), name)
    integration = replace(base, description=description or base.description, labels=labels or base.labels)
    advice = "Choose another name for the other workspace."
    return await _test_and_save(integrations, gateway, integration, token, advice, is_new=existing is None)


async def rotate_token(
    integrations: Integrations, gateway: Gateway, integration: Integration, token: Secret, *, force: bool
) -> Integration:
    """Test a token and give it to an integration in one write; everything that the old token parked resumes.

    Raises UserError when Slack rejects the token, and when it belongs to another workspace and not `force`. After a
    forced move the caller clears the directory and the addresses of the lanes, which are those of the old workspace.
    """
    advice = None if force else "To move the integration there, use `--force`."
    return await _test_and_save(integrations, gateway, integration, token, advice)


async def _test_and_save(
    integrations: Integrations, gateway: Gateway, integration: Integration, token: Secret, advice: str | None, *,
    is_new: bool = False,
) -> Integration:  # fmt: skip
    """Save an integration with a token that Slack accepts, and resume it unless a person disabled it.

    `advice` is for a token of another workspace; None allows one.
    """
    checks, identity = await test_token(gateway, token, integration.name, is_new=is_new)
    if identity is None:
        raise UserError(f"Not saved: {checks[-1].detail}.", checks[-1].fix)
    if advice is not None and integration.team_id not in ("", identity.team_id):
        raise UserError(
            f"Integration {integration.name} was not saved: it belongs to workspace {integration.team}, "
            f"and this token to {identity.team}. {advice}"
        )
    integration = apply_identity(integration, identity)
    await integrations.save(integration, token)
    if integration.state is Health.DISABLED:
        return integration
    await integrations.resume(integration.id)
    return replace(integration, state=Health.ACTIVE, reason="", hint=Hint(), since_ms=0)


def apply_identity(integration: Integration, identity: Identity) -> Integration:
    """Return the integration with the workspace, bot and scopes of its token."""
    return replace(
        integration, team_id=identity.team_id, team=identity.team, url=identity.url, bot_user_id=identity.user_id,
        bot_name=identity.bot_name, scopes=identity.scopes,
    )  # fmt: skip


async def ensure_default_integration(integrations: Integrations, gateway: Gateway, token: Secret) -> Integration | None:
    """Add the integration `default` with the token of SLACK_BOT_TOKEN when no integration exists."""
    if await integrations.get_connections():
        return None
    return await add_integration(integrations, gateway, "default", token, description="from SLACK_BOT_TOKEN")

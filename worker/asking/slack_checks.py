"""What `ik-slack doctor` asks Slack, for each integration: its token, its scopes, its channels."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from worker.asking.checks import Finding, Level, judged
from worker.asking.reaching import LOOKED_AT_ONE_BY_ONE, looked_at, refused
from worker.domain.errors import Blocked, NotYet, Refusal
from worker.domain.integration import Health, Integration, Secret
from worker.pipeline.connect import CHECK_NETWORK, Check, mend_of, test_token

if TYPE_CHECKING:
    from worker.bootstrap import Services

TOKEN_S, CHANNELS_S = 4.0, 4.0


async def reachable(made: "Services") -> Sequence[Finding]:
    """Slack answers at all: when no integration is known, to a token that is none."""
    try:
        await made.gateway.identify(Secret("xoxb-"))
    except Blocked:
        pass
    except Refusal as error:
        return [Finding("Slack", Level.FAILED, error.reason, mend_of(error))]
    return [Finding("Slack", Level.OK, f"answers at {made.settings.slack_api_url}")]


async def integrations(made: "Services") -> Sequence[Finding]:
    """Of every integration; there must be one."""
    everyone = await made.integrations.all()
    if not everyone:
        mend = "Add one with `ik-slack integrations add NAME`."
        return [Finding("integrations", Level.FAILED, "there is none", mend)]
    found = await asyncio.gather(*(_integration(made, one) for one in everyone))
    return [finding for some in found for finding in some]


async def _integration(made: "Services", integration: Integration) -> list[Finding]:
    name = integration.name
    if integration.state is Health.DISABLED:
        return [Finding(name, Level.NOTE, "disabled: what is for it waits", integration.hint)]
    connection = (await made.integrations.connections()).get(integration.id)
    if connection is None or connection.token is None:
        return _parked(integration)  # why it has no token is said by the key ring
    try:
        async with asyncio.timeout(TOKEN_S):
            checks, identity = await test_token(made.gateway, connection.token, name)
    except TimeoutError:
        detail = f"Slack did not answer within {TOKEN_S:g} s"
        return [*_parked(integration), Finding(f"{name}: connection", Level.FAILED, detail, CHECK_NETWORK)]
    found = [judged(f"{name}: {one.name}", one.passed, one.detail, one.mend) for one in checks]
    if not await _is_said(made, integration, checks):
        found = [*_parked(integration), *found]
    if identity is None:
        return found
    return [*found, *await _channels(made, integration, connection.token)]


def _parked(integration: Integration) -> list[Finding]:
    if integration.state is not Health.PARKED:
        return []
    return [Finding(integration.name, Level.FAILED, f"parked: {integration.reason}", integration.hint)]


async def _is_said(made: "Services", integration: Integration, checks: Sequence[Check]) -> bool:
    """Whether a failed check tells already why an integration is parked."""
    code = await made.integrations.parked_code(integration.id)
    return any(
        one.detail == integration.reason or (code == "missing_scope" and one.name == "scopes")
        for one in checks
        if not one.passed
    )


async def _channels(made: "Services", integration: Integration, token: Secret) -> Sequence[Finding]:
    """Every subscribed destination."""
    mine = [one for one in await made.subscriptions.all() if one.integration_id == integration.id]
    destinations = sorted({one.destination for one in mine if not one.paused})
    fresh = len(destinations) <= LOOKED_AT_ONE_BY_ONE
    return await asyncio.gather(*(_channel(made, integration, token, to, fresh=fresh) for to in destinations))


async def _channel(
    made: "Services", integration: Integration, token: Secret, destination: str, *, fresh: bool
) -> Finding:
    check = f"{integration.name}: {destination}"
    try:
        async with asyncio.timeout(CHANNELS_S):
            found = await looked_at(
                made, integration, token, destination, fresh=fresh, budget_s=CHANNELS_S / 2
            )
    except NotYet as error:
        return Finding(check, Level.NOTE, f"not known yet: {error.reason}", "Ask again in a minute.")
    except TimeoutError:
        return Finding(check, Level.FAILED, f"Slack did not answer within {CHANNELS_S:g} s", CHECK_NETWORK)
    except Refusal as error:
        why = refused(error, integration, destination)
        return Finding(check, Level.FAILED, why.reason, why.step)
    return Finding(check, Level.OK, f"can be posted to ({found.id})")

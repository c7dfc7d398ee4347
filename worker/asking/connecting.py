"""Integrations: tested from token to channels, given another token, switched off and on, removed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from worker.asking.changing import change_subscriptions
from worker.asking.reaching import LOOKED_AT_ONE_BY_ONE, check
from worker.asking.rows import Row, plain_integration
from worker.asking.trying import check_posting
from worker.domain.delivery import Destination, destination_form
from worker.domain.errors import Problem
from worker.domain.integration import Health, Integration, Secret
from worker.pipeline.connect import Check, rotate_token, test_token, with_identity

if TYPE_CHECKING:
    from worker.bootstrap import Services


async def rotated_to(
    made: "Services", name: str, token: Secret, *, force: bool
) -> tuple[Integration, list[str]]:
    """It with another token, and what people should know when that is one of another workspace."""
    made.vault.require()
    before = await made.integrations.find(name)
    rotated = await rotate_token(made.integrations, made.gateway, before, token, force=force)
    if rotated.team_id == before.team_id:
        return rotated, []
    mine = [one for one in await made.subscriptions.all() if one.integration_id == before.id]
    await made.directory.forget(before.id)
    await made.lanes.unpin(sorted({one.lane for one in mine}))
    return rotated, _moved(before, rotated, sorted({one.destination for one in mine}))


async def tested(
    made: "Services", integration: Integration, post: str | None
) -> tuple[Integration, list[Check]]:
    """The checks, and the integration as Slack knows it now."""
    token = await made.integrations.token(integration.id)
    checks, identity = await test_token(made.gateway, token, integration.name)
    if identity is None:
        return integration, checks
    known = with_identity(integration, identity)
    if known != integration:
        await made.integrations.save(known)
    if integration.state is Health.PARKED:
        await made.sweep.prober.probe(f"integration:{integration.id}")
    subscriptions = [one for one in await made.subscriptions.all() if one.integration_id == integration.id]
    destinations = sorted({one.destination for one in subscriptions})
    fresh = len(destinations) <= LOOKED_AT_ONE_BY_ONE
    checks += [await check(made, known, destination, fresh=fresh) for destination in destinations]
    if post:
        checks.append(await check_posting(made, known, post))
    return await made.integrations.find(integration.id), checks


def plain_tested(integration: Integration, checks: Sequence[Check]) -> Row:
    """An integration with its checks, as JSON."""
    listed = [{"name": c.name, "passed": c.passed, "detail": c.detail, "mend": c.mend} for c in checks]
    return {**plain_integration(integration), "checks": listed}


async def removed(made: "Services", name: str, *, with_subscriptions: bool) -> tuple[Integration, int]:
    """The one that was forgotten with its token, and how many deliveries were discarded.

    Problem while subscriptions use it, unless they go with it.
    """
    integration = await made.integrations.find(name)
    using = [one for one in await made.subscriptions.all() if one.integration_id == integration.id]
    if using and not with_subscriptions:
        named = ", ".join(f"{one.id} ({one.destination})" for one in using)
        raise Problem(
            f"Integration {integration.name} is not removed: subscriptions use it: {named}. "
            "Remove them first, or all together with --with-subscriptions."
        )
    lost = await change_subscriptions(made, gone=using)
    await made.integrations.remove(integration.id)
    return integration, lost


async def disabled(made: "Services", name: str) -> tuple[Integration, str]:
    """The one with which nothing is posted from now on, and the step that switches it on."""
    integration = await made.integrations.find(name)
    hint = f"Switch it on with `ik-slack integrations enable {integration.name}`."
    await made.integrations.disable(integration.id, hint)
    return integration, hint


async def enabled(made: "Services", name: str) -> tuple[Integration, int | None]:
    """The one with which is posted again, and how many lanes go on; None when it was not disabled."""
    integration = await made.integrations.find(name)
    if integration.state is not Health.DISABLED:
        return integration, None
    return integration, await made.integrations.resume(integration.id, enable=True)


def _moved(before: Integration, after: Integration, destinations: Sequence[str]) -> list[str]:
    """What a move to another workspace means for the subscriptions."""
    ids = (Destination.CONVERSATION_ID, Destination.USER_ID)
    strangers = [one for one in destinations if destination_form(one) in ids]
    named = [one for one in destinations if one not in strangers]
    moved = f"{after.name} moved from {before.team} to {after.team}"
    said = [f"{moved}: events now go to {', '.join(named)} there."] if named else []
    if strangers:
        said.append(
            f"{moved}, which does not know {', '.join(strangers)}: what is for them waits. "
            "Point those subscriptions at channels there."
        )
    return said or [f"{moved}."]

"""Everything that must be well, looked at together: each finding with its mend."""

import asyncio
from typing import TYPE_CHECKING

from config.settings import Settings
from worker.asking import checks, slack_checks
from worker.asking.checks import Finding, Level, Look
from worker.asking.rows import Row
from worker.domain.errors import Problem
from worker.pipeline.connect import CHECK_NETWORK
from worker.store.vault import Vault

if TYPE_CHECKING:
    from worker.bootstrap import Services

SLACK_S = 8.0
REST = "Redis holds the integrations, the lanes and the ledger"


async def examined(made: "Services", ring: Finding) -> list[Finding]:
    """First what everything needs; what needs Redis only when it answers."""
    server, broker = await asyncio.gather(
        checks.looked(made, "Redis", checks.redis, most_s=checks.LOOK_S),
        checks.looked(made, "broker", checks.broker, most_s=checks.LOOK_S),
    )
    opened = ring.level is Level.OK
    if server[0].level is Level.FAILED and len(server) == 1:
        slack = await checks.looked(
            made, "Slack", slack_checks.reachable, most_s=checks.LOOK_S, mend=CHECK_NETWORK
        )
        rest = Finding("the rest", Level.NOTE, f"was not looked at: {REST}")
        return [*server, *broker, *([ring] if opened else []), *slack, rest]
    looks: list[tuple[str, Look, float]] = [
        *([("key ring", checks.key_ring, checks.LOOK_S)] if opened else []),
        ("integrations", slack_checks.integrations, SLACK_S),
        ("subscriptions", checks.subscriptions, checks.LOOK_S),
        ("worker", checks.running, checks.LOOK_S),
        ("backlog", checks.limits, checks.LOOK_S),
        ("ledger", checks.accounts, checks.LOOK_S),
    ]
    several = await asyncio.gather(
        *(checks.looked(made, name, look, most_s=most_s) for name, look, most_s in looks)
    )
    return [*server, *broker, *(finding for some in several for finding in some)]


def key_ring(settings: Settings) -> Finding:
    """Whether ENCRYPTION_KEY itself is well."""
    try:
        Vault(settings.key_ring).require()
    except Problem as error:
        return Finding("key ring", Level.FAILED, "no key to open tokens with", str(error))
    return Finding("key ring", Level.OK, "ENCRYPTION_KEY can be read")


def plain_finding(one: Finding) -> Row:
    """A finding as JSON."""
    is_well = one.level is not Level.FAILED
    return {"check": one.check, "ok": is_well, "detail": one.detail, "mend": one.mend, "level": one.level}

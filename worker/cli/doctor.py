"""`ik-slack doctor`: everything that must be well, one line each, with the mend."""

import asyncio
import logging.config
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from config.logs import log_config
from config.settings import Settings, SettingsError
from worker.cli import checks, slack_checks
from worker.cli.checks import Finding, Level, Look
from worker.cli.running import as_json, print_json
from worker.cli.showing import count
from worker.domain.errors import Problem
from worker.pipeline.connect import CHECK_NETWORK

if TYPE_CHECKING:
    from worker.bootstrap import Services

SLACK_S = 8.0
MOST_S = 13.0  # for everything together
CLOSE_S = 1.0
SIGNS = {Level.OK: ("✓", "green"), Level.NOTE: ("!", "yellow"), Level.FAILED: ("✗", "red")}
REST = "Redis holds the integrations, the lanes and the ledger"


@click.command()
@as_json
def command(as_json: bool) -> None:
    """Look at everything that must be well, and say how to mend what is not.

    ✓ is well, ! is worth knowing, ✗ needs a person. Exits with 1 when there is a ✗.

    \b
    ik-slack doctor
    ik-slack doctor --json
    """
    found = asyncio.run(_examined())
    if as_json:
        print_json([_plain(one) for one in found])
    else:
        _print(found)
    failed = [one.check for one in found if one.level is Level.FAILED]
    if failed:
        raise Problem(f"{len(failed)} of {count(len(found), 'check')} failed: {', '.join(failed)}.")


async def _examined() -> list[Finding]:
    """What was found. A server that is silent cannot keep us: what it would say is not waited for."""
    found: list[Finding] = []
    complete = asyncio.Event()
    examining = asyncio.create_task(_examine(found, complete))
    first = asyncio.create_task(complete.wait())
    await asyncio.wait({examining, first}, timeout=MOST_S, return_when=asyncio.FIRST_COMPLETED)
    done, _ = await asyncio.wait({examining}, timeout=CLOSE_S)
    for task in done:
        task.result()
    return found


async def _examine(found: list[Finding], complete: asyncio.Event) -> None:
    """Everything that can be looked at; `complete` is set before connections are closed."""
    from worker.bootstrap import services

    try:
        settings = Settings.load()
    except SettingsError as error:
        mend = "Correct it in the environment or in .env."
        found += [Finding("settings", Level.FAILED, line, mend) for line in str(error).splitlines()]
        return
    logging.config.dictConfig(log_config(settings.model_copy(update={"log_level": "CRITICAL"})))
    ring = _key_ring(settings)
    if ring.level is Level.FAILED:
        found.append(ring)
        settings = settings.model_copy(update={"encryption_key": None})
    try:
        async with services(settings) as made:
            found += await _with_services(made, ring)
            complete.set()
    except Problem as error:
        found.append(Finding("Redis", Level.FAILED, "its address is not known", str(error)))
        found += [ring] if ring.level is Level.OK else []


async def _with_services(made: "Services", ring: Finding) -> list[Finding]:
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


def _key_ring(settings: Settings) -> Finding:
    """Whether ENCRYPTION_KEY itself is well."""
    from worker.store.vault import Vault

    try:
        Vault(settings.key_ring).require()
    except Problem as error:
        return Finding("key ring", Level.FAILED, "no key to open tokens with", str(error))
    return Finding("key ring", Level.OK, "ENCRYPTION_KEY can be read")


def _plain(one: Finding) -> dict[str, object]:
    is_well = one.level is not Level.FAILED
    return {"check": one.check, "ok": is_well, "detail": one.detail, "mend": one.mend, "level": one.level}


def _print(found: Sequence[Finding]) -> None:
    width = max(len(one.check) for one in found)
    for one in found:
        sign, colour = SIGNS[one.level]
        click.echo(f"{click.style(sign, fg=colour)} {one.check:<{width}}  {one.detail}")
        if one.mend:
            click.echo(f"  {'':<{width}}  {one.mend}")

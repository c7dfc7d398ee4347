"""`ik-slack doctor`: everything that must be well, one line each, with the mend."""

import asyncio
import logging.config
from collections.abc import Sequence

import click

from config.logs import log_config
from config.settings import Settings, SettingsError
from worker.asking.checks import Finding, Level
from worker.asking.examining import examined, key_ring, plain_finding
from worker.asking.wording import count
from worker.cli.running import as_json, print_json
from worker.domain.errors import Problem

MOST_S = 13.0  # for everything together
CLOSE_S = 1.0
SIGNS = {Level.OK: ("✓", "green"), Level.NOTE: ("!", "yellow"), Level.FAILED: ("✗", "red")}


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
        print_json([plain_finding(one) for one in found])
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
    import worker.slack.calling  # noqa: F401  # now, or its time would count as Slack's
    from worker.bootstrap import services

    try:
        settings = Settings.load()
    except SettingsError as error:
        mend = "Correct it in the environment or in .env."
        found += [Finding("settings", Level.FAILED, line, mend) for line in str(error).splitlines()]
        return
    logging.config.dictConfig(log_config(settings.model_copy(update={"log_level": "CRITICAL"})))
    ring = key_ring(settings)
    if ring.level is Level.FAILED:
        found.append(ring)
        settings = settings.model_copy(update={"encryption_key": None})
    try:
        async with services(settings) as made:
            found += await examined(made, ring)
            complete.set()
    except Problem as error:
        found.append(Finding("Redis", Level.FAILED, "its address is not known", str(error)))
        found += [ring] if ring.level is Level.OK else []


def _print(found: Sequence[Finding]) -> None:
    width = max(len(one.check) for one in found)
    for one in found:
        sign, colour = SIGNS[one.level]
        click.echo(f"{click.style(sign, fg=colour)} {one.check:<{width}}  {one.detail}")
        if one.mend:
            click.echo(f"  {'':<{width}}  {one.mend}")

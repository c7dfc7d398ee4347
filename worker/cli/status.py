"""`ik-slack status`: whether messages arrive, and what needs a person."""

import asyncio

import click

from worker.bootstrap.stores import Stores
from worker.cli.output import as_json, print_json, print_prose
from worker.cli.stores import read
from worker.domain.errors import UserError
from worker.services.formatting import format_time, pluralize
from worker.services.status import Status, StatusSchema, get_status

STATUS_COLOURS = {"ok": "green", "attention": "yellow", "failing": "red"}
STATUS_TIMEOUT_S = 5.0


@click.command()
@as_json
def status(as_json: bool) -> None:
    """Show whether messages arrive, and what needs a person.

    \b
    ok         everything was checked and nothing needs a person
    attention  something waits for a person, or a message is late
    failing    messages do not arrive, or some are lost

    Exits with 0 whatever it says, and with 1 when Redis does not answer.
    """

    async def work(stores: Stores) -> Status:
        async with asyncio.timeout(STATUS_TIMEOUT_S):
            return await get_status(stores)

    try:
        current = read(work)
    except TimeoutError:
        raise UserError(
            f"Redis did not answer within {STATUS_TIMEOUT_S:g} s: check it with `ik-slack doctor`."
        ) from None
    if as_json:
        print_json(StatusSchema.of_status(current))
        return
    click.secho(current.health, fg=STATUS_COLOURS[current.health], bold=True)
    for problem in current.problems:
        sign = click.style("✗" if problem.level == "failing" else "!", fg=STATUS_COLOURS[problem.level])
        print_prose(str(problem), first=f"{sign} ", indent="  ")
    for workspace in current.workspaces:
        integration, calls = workspace.integration, workspace.calls
        success = f"last success {format_time(calls.succeeded_ms)}" if calls.succeeded_ms else "nothing posted yet"
        pending = pluralize(workspace.pending - workspace.held, "delivery", "deliveries")
        held = f", {workspace.held:,} held in quiet hours" if workspace.held else ""
        click.echo(f"{integration.name}: {integration.state}, {success}, {pending} pending{held}")

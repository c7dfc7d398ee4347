"""`ik-slack status`: what matters in three seconds."""

import asyncio

import click

from worker.bootstrap.context import AppContext
from worker.cli.context import run
from worker.cli.output import as_json, print_json, print_prose
from worker.domain.errors import UserError
from worker.services.formatting import format_time, pluralize
from worker.services.status import Status, StatusSchema, get_status

COLOURS = {"ok": "green", "attention": "yellow", "failing": "red"}
TIMEOUT_S = 5.0


@click.command()
@as_json
def command(as_json: bool) -> None:
    """Show whether messages arrive, and what needs a person.

    \b
    ok         everything was checked and nothing needs a person
    attention  something waits for a person, or a message is late
    failing    messages do not arrive, or some are lost

    Exits with 0 whatever it says, and with 1 when Redis does not answer.
    """

    async def read(app: AppContext) -> Status:
        async with asyncio.timeout(TIMEOUT_S):
            return await get_status(app)

    try:
        status = run(read)
    except TimeoutError:
        raise UserError(f"Redis did not answer within {TIMEOUT_S:g} s: check it with `ik-slack doctor`.") from None
    if as_json:
        print_json(StatusSchema.of_status(status))
        return
    click.secho(status.health, fg=COLOURS[status.health], bold=True)
    for problem in status.problems:
        sign = click.style("✗" if problem.level == "failing" else "!", fg=COLOURS[problem.level])
        print_prose(str(problem), first=f"{sign} ", indent="  ")
    for workspace in status.workspaces:
        integration, calls = workspace.integration, workspace.calls
        success = f"last success {format_time(calls.succeeded_ms)}" if calls.succeeded_ms else "nothing posted yet"
        pending = pluralize(workspace.pending - workspace.held, "delivery", "deliveries")
        held = f", {workspace.held:,} held in quiet hours" if workspace.held else ""
        click.echo(f"{integration.name}: {integration.state}, {success}, {pending} pending{held}")

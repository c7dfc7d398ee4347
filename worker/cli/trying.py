"""`ik-slack subscriptions test`: a message to where a subscription sends, now."""

from typing import TYPE_CHECKING

import click

from worker.asking.trying import Posted, plain_posted, posted
from worker.cli.running import as_json, print_json, run

if TYPE_CHECKING:
    from worker.bootstrap import Services


@click.command()
@click.argument("subscription_id", metavar="ID")
@as_json
def test(subscription_id: str, as_json: bool) -> None:
    """Post a short test message to where a subscription sends, now.

    It mentions nobody. Exits with 1 when it cannot be posted, and says the step that helps.
    """

    async def work(made: "Services") -> Posted:
        return await posted(made, await made.subscriptions.find(subscription_id))

    done = run(work)
    if as_json:
        print_json(plain_posted(done))
        return
    _, integration, address, _ = done
    click.echo(f"Posted to {address.name or address.id} in {integration.team}: {plain_posted(done)['link']}")

"""`ik-slack subscriptions test`: a message to a destination, now, past its lane."""

import asyncio
from typing import TYPE_CHECKING

import click

from worker.cli.reaching import Unreached, reach, refused
from worker.cli.rows import permalink
from worker.cli.running import as_json, print_json, run
from worker.domain.delivery import Address, Receipt
from worker.domain.errors import NotYet, Problem, Refusal, Throttled
from worker.domain.integration import Health, Integration
from worker.domain.markup import escape
from worker.domain.message import Colour, Context, Message, Section
from worker.domain.subscription import Subscription
from worker.pipeline.pace import pace

if TYPE_CHECKING:
    from worker.bootstrap import Services

LONGEST_WAIT_S = 15.0
Posted = tuple[Subscription, Integration, Address, Receipt]


@click.command()
@click.argument("subscription_id", metavar="ID")
@as_json
def test(subscription_id: str, as_json: bool) -> None:
    """Post a short test message to where a subscription sends, now.

    It mentions nobody. Exits with 1 when it cannot be posted, and says the step that helps.
    """

    async def work(made: "Services") -> Posted:
        return await _posted(made, await made.subscriptions.find(subscription_id))

    subscription, integration, address, receipt = run(work)
    link = permalink(integration, receipt.channel, receipt.ts)
    if as_json:
        told = {"id": subscription.id, "destination": subscription.destination, "channel": receipt.channel}
        print_json({**told, "ts": receipt.ts, "link": link})
        return
    click.echo(f"Posted to {address.name or address.id} in {integration.team}: {link}")


async def _posted(made: "Services", subscription: Subscription) -> Posted:
    """Where it went; Problem when it did not."""
    integration = await made.integrations.find(subscription.integration_id)
    if integration.state is Health.DISABLED:
        raise Problem(f"Nothing was posted: integration {integration.name} is disabled. {integration.hint}")
    destination = subscription.destination
    found = await reach(made, integration, destination, fresh=True)
    if isinstance(found, Address):
        try:
            receipt = await _post(made, integration, found, _message(subscription, integration))
        except NotYet as error:
            found = Unreached(f"It would have to wait longer ({error.reason})", "Try again in a minute.")
        except Refusal as error:
            found = refused(error, integration, destination)
        else:
            return subscription, integration, found, receipt
    raise Problem(f"Nothing was posted to {destination}: {found}")


async def _post(made: "Services", integration: Integration, address: Address, message: Message) -> Receipt:
    """In a slot like every message, so that no lane is pushed over Slack's limit."""
    workspace, sleep = integration.workspace, asyncio.sleep
    await pace(made.allowances, workspace, address.id, longest_s=LONGEST_WAIT_S, sleep=sleep)
    token = await made.integrations.token(integration.id)
    try:
        return await made.gateway.post(token, address.id, message)
    except Throttled as error:
        await made.allowances.close(workspace, address.id, error.retry_after_s)
        raise


def _message(subscription: Subscription, integration: Integration) -> Message:
    text = f"This is a test: subscription {subscription.id} tells InfraKitchen's events here."
    small = f"Sent by hand with `ik-slack subscriptions test {subscription.id}`"
    more = f"{small}  ·  integration {escape(integration.name, 100)}"
    return Message(text, (Section(f"👋 {text}"),), (Context((more,)),), Colour.QUIET)

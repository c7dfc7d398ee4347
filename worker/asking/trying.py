"""A message to a destination, now, past its lane: `subscriptions test` and `integrations test --post`."""

import asyncio
from typing import TYPE_CHECKING

from worker.asking.reaching import Unreached, reach, refused
from worker.asking.rows import Row, permalink
from worker.domain.delivery import Address, Receipt
from worker.domain.errors import NotYet, Problem, Refusal, Throttled, Uncertain
from worker.domain.integration import Health, Integration
from worker.domain.markup import code, escape
from worker.domain.message import Colour, Context, Message, Section
from worker.domain.subscription import Subscription
from worker.pipeline.connect import Check
from worker.pipeline.pace import pace

if TYPE_CHECKING:
    from worker.bootstrap import Services

LONGEST_WAIT_S = 15.0
Posted = tuple[Subscription, Integration, Address, Receipt]


async def posted(made: "Services", subscription: Subscription) -> Posted:
    """Where it went; Problem when it did not."""
    integration = await made.integrations.find(subscription.integration_id)
    text = f"This is a test: subscription {subscription.id} tells InfraKitchen's events here."
    message = _message(text, f"ik-slack subscriptions test {subscription.id}", integration)
    found = await try_posting(made, integration, subscription.destination, message)
    if isinstance(found, Unreached):
        raise Problem(f"The test of {subscription.destination} failed: {found}")
    return subscription, integration, *found


def plain_posted(done: Posted) -> Row:
    """What was posted, as JSON."""
    subscription, integration, _, receipt = done
    told = {"id": subscription.id, "destination": subscription.destination, "channel": receipt.channel}
    return {**told, "ts": receipt.ts, "link": permalink(integration, receipt.channel, receipt.ts)}


async def check_posting(made: "Services", integration: Integration, destination: str) -> Check:
    """A message to a destination as one of the checks of `integrations test`."""
    text = f"This is a test: integration {escape(integration.name, 100)} can post here."
    command = f"ik-slack integrations test {integration.name} --post '{destination}'"
    found = await try_posting(made, integration, destination, _message(text, command, integration))
    name = f"post to {destination}"
    if isinstance(found, Unreached):
        return Check(name, False, found.reason, found.step)
    return Check(name, True, permalink(integration, found[1].channel, found[1].ts) or "posted")


async def try_posting(
    made: "Services", integration: Integration, destination: str, message: Message
) -> tuple[Address, Receipt] | Unreached:
    """Post now, past the lane; where it went, or what kept it from that."""
    if integration.state is Health.DISABLED:
        return Unreached(f"Integration {integration.name} is disabled", integration.hint)
    found = await reach(made, integration, destination, fresh=True)
    if isinstance(found, Unreached):
        return found
    try:
        return found, await _post(made, integration, found, message)
    except NotYet as error:
        return Unreached(f"It would have to wait longer ({error.reason})", "Try again in a minute.")
    except Uncertain as error:
        return Unreached(f"{error.reason}; the message may be there all the same", "Look, then try again.")
    except Refusal as error:
        return refused(error, integration, destination)


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


def _message(text: str, command: str, integration: Integration) -> Message:
    """Short, and who reads it knows where it comes from."""
    small = f"Sent by hand with {code(command, 200)}  ·  integration {escape(integration.name, 100)}"
    return Message(text, (Section(f"👋 {text}"),), (Context((small,)),), Colour.QUIET)

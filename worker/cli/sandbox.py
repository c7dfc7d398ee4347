"""`ik-slack sandbox`: the small Slack alone, for trying things by hand."""

import asyncio
import contextlib
import signal

import click

from worker.domain.errors import Problem
from worker.sandbox.slack import SlackSandbox
from worker.sandbox.state import Workspace

PORT = 8899
MEMBER_OF = ("deployments", "platform", "alerts", "team-payments")
NOT_INVITED = "not-invited-yet"


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 for any.")
def command(port: int) -> None:
    """Serve a small Slack on this machine, until Ctrl-C.

    It answers the Web API as Slack does, with its limits and its refusals, and shows its messages as a page.
    Everything is forgotten when it ends.

    \b
    In one terminal:   ik-slack sandbox
    In another, with what it printed:
      export SLACK_API_URL=http://127.0.0.1:8899/api/
      ik-slack integrations add acme           (paste the token)
      ik-slack subscriptions add --to '#alerts' --kind alert
    """
    asyncio.run(_serve(port))


def add_acme(sandbox: SlackSandbox) -> Workspace:
    """The workspace people try things in."""
    acme = sandbox.add_workspace("Acme")
    for name in MEMBER_OF:
        acme.add_channel(name)
    acme.add_channel(NOT_INVITED, member=False)
    acme.add_channel("incident-room", private=True)
    acme.add_user("mira@acme.example")
    return acme


async def _serve(port: int) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    sandbox = SlackSandbox()
    acme = add_acme(sandbox)
    async with contextlib.AsyncExitStack() as stack:
        try:
            api_url = await stack.enter_async_context(sandbox.serving(port=port))
        except Problem:
            raise Problem(
                f"Port {port} cannot be served: choose another (--port), or any that is free (--port 0)."
            ) from None
        _introduce(sandbox, acme, api_url)
        await stopping.wait()
    click.echo("stopped")


def _introduce(sandbox: SlackSandbox, acme: Workspace, api_url: str) -> None:
    channels = "  ".join(f"#{name}" for name in (*MEMBER_OF, "incident-room (private)"))
    click.echo(f"""\
A small Slack with a workspace {acme.name}; Ctrl-C ends it.

  export SLACK_API_URL={api_url}
  bot token   {acme.token}
  its page    {sandbox.url}
  what it holds, its controls   {sandbox.url}sandbox/state

The bot is in  {channels}
It is not in   #{NOT_INVITED}; invite it as a person would:
  curl -H 'Content-Type: application/json' -d '{{"channel": "{NOT_INVITED}"}}' {sandbox.url}sandbox/invite""")

"""`ik-slack sandbox`: a Slack sandbox on this machine, for trying things by hand."""

import asyncio
import contextlib

import click

from worker.cli.up import on_stop_signals
from worker.demo.scenario import MEMBER_CHANNELS, NOT_INVITED, SANDBOX_PORT, add_sample_workspace
from worker.domain.errors import UserError
from worker.sandbox.slack.server import SlackSandbox

INTRODUCTION = """\
Slack sandbox with the workspace {0.name}; Ctrl-C stops it.

  export SLACK_API_URL={2}
  Bot token   {0.token}
  Messages    {1}
  State       {1}sandbox/state
  Bot is in   {3}

To invite the bot to #{4}:
  curl -H 'Content-Type: application/json' {1}sandbox/invite -d '{{"channel": "{4}"}}'"""


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=SANDBOX_PORT, show_default=True, help="0 for any free port."
)
def command(port: int) -> None:
    """Serve a Slack sandbox on this machine, until Ctrl-C.

    It answers Slack's Web API, rate limits and errors included, and shows the messages on a page. Nothing is
    kept when it stops.

    \b
    In one terminal:
      ik-slack sandbox
    In another, with the printed address and token:
      export SLACK_API_URL=http://127.0.0.1:8899/api/
      ik-slack integrations add acme           (paste the token)
      ik-slack subscriptions add --to '#alerts' --kind alert
    """
    asyncio.run(_serve(port))


async def _serve(port: int) -> None:
    stopping = asyncio.Event()
    on_stop_signals(stopping.set)
    sandbox = SlackSandbox()
    workspace = add_sample_workspace(sandbox)
    async with contextlib.AsyncExitStack() as stack:
        try:
            api_url = await stack.enter_async_context(sandbox.serving(port=port))
        except OSError:
            raise UserError(f"Port {port} cannot be used: set --port to another, or to 0 for any free port.") from None
        channels = "  ".join(f"#{name}" for name in (*MEMBER_CHANNELS, "incident-room (private)"))
        click.echo(INTRODUCTION.format(workspace, sandbox.url, api_url, channels, NOT_INVITED))
        await stopping.wait()
    click.echo("Stopped.")

"""The command `ik-slack`, one module a noun; a command is found by its module only when it is asked for."""

import importlib
import sys
from collections.abc import Sequence

import click

from worker.cli.failing import told_in_one_line

MODULES = {
    "demo": "demo", "up": "up", "ingest": "ingest", "web": "web", "sandbox": "sandbox", "doctor": "doctor",
    "integrations": "integrations", "channels": "channels", "subscriptions": "subscriptions",
    "publish": "publish", "preview": "preview", "explain": "explain", "ledger": "ledger",
    "deliveries": "deliveries", "parked": "parked", "dead-letters": "dead_letters", "keys": "keys",
    "manifest": "manifest", "api-tokens": "api_tokens",
}  # fmt: skip


class Commands(click.Group):
    """Commands by name, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order people meet them."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, or None when there is none of that name."""
        if cmd_name not in MODULES:
            return None
        module = importlib.import_module(f"worker.cli.{MODULES[cmd_name]}")
        command: click.Command = module.command
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="infrakitchen-slack")
def cli() -> None:
    """Tell people in Slack what happens in InfraKitchen.

    \b
    Try it:    ik-slack demo
    Run it:    ik-slack up
    Check it:  ik-slack doctor
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a person's mistake or an unreachable server is one line on stderr, never a traceback."""
    sys.exit(told_in_one_line(cli, arguments))

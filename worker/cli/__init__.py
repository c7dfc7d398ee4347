"""The command `ik-slack`: its sub-commands, each imported when it runs, and their exit codes."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from worker import __version__

COMMANDS = {
    "demo": "demo:command", "up": "up:up", "ingest": "up:ingest", "web": "up:web", "bridge": "up:bridge",
    "sandbox": "sandbox:command", "status": "status:status", "alive": "alive:command",
    "doctor": "doctor:doctor",
    "integrations": "integrations:command", "channels": "channels:command", "subscriptions": "subscriptions:command",
    "publish": "publish:command", "preview": "preview:command", "explain": "deliveries:explain",
    "ledger": "ledger:ledger", "deliveries": "deliveries:command", "parked": "parked:command",
    "dead-letters": "dead_letters:command", "keys": "security:keys", "manifest": "integrations:manifest",
    "api-tokens": "security:api_tokens", "audit": "security:audit",
}  # fmt: skip
"""Each command's module of this package and its name there, in the order of the help."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def __init__(self, *args: Any, commands_in: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._commands_in = commands_in  #: As COMMANDS.

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(self._commands_in)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; the error of an unknown one has the similar names."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(args[0], possibilities=self._commands_in, ctx=error.ctx) from None

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, or None when there is none of that name."""
        if cmd_name not in self._commands_in:
            return None
        module, _, name = self._commands_in[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"worker.cli.{module}"), name)
        return command


@click.group(cls=LazyGroup, commands_in=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Post InfraKitchen's events to Slack.

    \b
    Try it:    ik-slack demo
    Run it:    ik-slack up
    Check it:  ik-slack doctor
    """
    import logging  # imported when a command runs, because `--version` and `--help` do without

    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit."""
    sys.exit(run_cli(cli, arguments))


def run_cli(command: click.Command, arguments: Sequence[str] | None) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 wrong use, 130 stopped by Ctrl-C."""
    try:
        command.main(args=arguments, prog_name="ik-slack", standalone_mode=False)
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has closed it
        return 0
    except Exception as error:  # noqa: BLE001
        text, code = import_module("worker.cli.errors").describe_error(error)
        click.echo(text, err=True, nl=False)
        return int(code)
    return 0

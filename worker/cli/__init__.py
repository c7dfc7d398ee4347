"""The command `ik-slack`: its sub-commands, each imported when it runs, and their exit codes."""

import logging
import os
import pkgutil
import sys
from collections.abc import Sequence

import click

COMMANDS = {
    "demo": "demo:command", "up": "up:up", "ingest": "up:ingest", "web": "up:web", "bridge": "up:bridge",
    "sandbox": "sandbox:command", "status": "diagnostics:status", "alive": "alive:command",
    "doctor": "diagnostics:doctor",
    "integrations": "integrations:command", "channels": "channels:command", "subscriptions": "subscriptions:command",
    "publish": "publish:command", "preview": "preview:command", "explain": "deliveries:explain",
    "ledger": "diagnostics:ledger", "deliveries": "deliveries:command", "parked": "deliveries:parked",
    "dead-letters": "dead_letters:command", "keys": "security:keys", "manifest": "integrations:manifest",
    "api-tokens": "security:api_tokens", "audit": "security:audit",
}  # fmt: skip
"""Each command's module of this package and its name there, in the order of the help."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; the error of an unknown one has the similar names."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=error.ctx) from None

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, or None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = pkgutil.resolve_name(f"worker.cli.{COMMANDS[cmd_name]}")
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="infrakitchen-slack")
def cli() -> None:
    """Post InfraKitchen's events to Slack.

    \b
    Try it:    ik-slack demo
    Run it:    ik-slack up
    Check it:  ik-slack doctor
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit."""
    sys.exit(run_cli(cli, arguments))


def run_cli(command: click.Command, arguments: Sequence[str] | None) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 wrong use, 130 stopped by Ctrl-C."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
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
        text, code = pkgutil.resolve_name("worker.cli.errors:describe_error")(error)
        click.echo(text, err=True, nl=False)
        return int(code)
    return 0

"""`ik-slack keys`: the keys that encrypt the Slack tokens."""

import sys

import click

from worker.cli.context import run
from worker.store.token_cipher import generate_key


@click.group()
def command() -> None:
    """Create and rotate the key that encrypts the Slack tokens."""


@command.command()
def generate() -> None:
    """Print a new ENCRYPTION_KEY, and nothing else.

    \b
    echo "ENCRYPTION_KEY=$(ik-slack keys generate)" >> .env
    """
    click.echo(generate_key())
    if sys.stderr.isatty() and sys.stdout.isatty():
        click.echo("Set it as ENCRYPTION_KEY and keep it: without it the saved tokens cannot be read.", err=True)


@command.command()
def rotate() -> None:
    """Encrypt every token again with the first key of ENCRYPTION_KEY; no process has to stop for it.

    \b
    1. Put the new key first:  ENCRYPTION_KEY="$(ik-slack keys generate),$OLD_KEY"
       and restart the processes with it.
    2. ik-slack keys rotate
    3. Remove the old key, and restart the processes again.
    """
    names = run(lambda app: app.integrations.reencrypt_tokens())
    click.echo(f"Encrypted with the first key: {', '.join(names)}." if names else "There is no integration yet.")

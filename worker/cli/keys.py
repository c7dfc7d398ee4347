"""`ik-slack keys`: the key ring that seals the tokens."""

import sys

import click


@click.group()
def command() -> None:
    """Make the key that encrypts the Slack tokens."""


@command.command()
def generate() -> None:
    """Print a new ENCRYPTION_KEY, and nothing else.

    \b
    export ENCRYPTION_KEY="$(ik-slack keys generate)"
    echo "ENCRYPTION_KEY=$(ik-slack keys generate)" >> .env
    """
    from worker.store.vault import generate_key

    click.echo(generate_key())
    if sys.stderr.isatty() and sys.stdout.isatty():
        click.echo("Set it as ENCRYPTION_KEY, and keep it: without it no saved token can be read.", err=True)

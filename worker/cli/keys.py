"""`ik-slack keys`: the key ring that seals the tokens."""

import sys

import click


@click.group()
def command() -> None:
    """Make the key that encrypts the Slack tokens, and change it."""


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


@command.command()
def rotate() -> None:
    """Seal every token anew with the first key of ENCRYPTION_KEY, while everything runs.

    \b
    1. Put the new key in front:  ENCRYPTION_KEY="$(ik-slack keys generate),$OLD_KEY"
       and restart the processes with it.
    2. ik-slack keys rotate
    3. Take the old key away, and restart once more.
    """
    from worker.cli.running import run

    done = run(lambda made: made.integrations.reseal())
    click.echo(f"Sealed with the first key: {', '.join(done)}." if done else "There is no integration yet.")

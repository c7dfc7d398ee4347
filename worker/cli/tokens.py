"""`ik-slack integrations add`, `test` and `rotate`: what takes a token or tests one."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from worker.asking.connecting import plain_tested, rotated_to, tested
from worker.asking.rows import plain_integration
from worker.asking.rules import FORMS
from worker.asking.wording import count
from worker.cli.running import as_json, print_json, run
from worker.cli.showing import print_checks, warn
from worker.domain.delivery import canonical_destination
from worker.domain.errors import Problem
from worker.domain.integration import Health, Integration, Secret
from worker.pipeline.connect import (
    Check,
    add_integration,
    scopes_mend,
)

if TYPE_CHECKING:
    from worker.bootstrap import Services

LONGEST_NAME = 80

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _takes_token(command: Decorated) -> Decorated:
    """The two options of a command that takes a token."""
    seen = (
        "The token itself. Other users of this machine can see it while the command runs, "
        "and your shell keeps it in its history: use --token-stdin there."
    )
    command = click.option("--token", metavar="TOKEN", help=seen)(command)
    return click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")(command)


def named(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    """A name as people give one to a new thing."""
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise click.BadParameter(
            f"A name has 1 to {LONGEST_NAME} printable characters, no space around them."
        )
    return name


@click.command()
@click.argument("name", callback=named)
@_takes_token
@click.option("--description", metavar="D", default="", help="What the workspace is for.")
@click.option("--label", "labels", metavar="L", multiple=True, help="A tag; may be repeated.")
@as_json
def add(
    name: str, token: str | None, token_stdin: bool, description: str, labels: tuple[str, ...], as_json: bool
) -> None:
    """Test a bot token with Slack, and save it encrypted as NAME.

    The token is asked for, unless it comes from standard input. A NAME that exists gets the new token, and
    what waited for it goes on.

    \b
    ik-slack integrations add ops
    ik-slack integrations add ops --token-stdin < token.txt
    """
    secret = _ask_token(token, stdin=token_stdin)

    async def work(made: "Services") -> Integration:
        made.vault.require()  # said before Slack is asked
        return await add_integration(
            made.integrations, made.gateway, name, secret, description=description, labels=labels
        )

    _show_saved(run(work), as_json)


@click.command()
@click.argument("name")
@_takes_token
@click.option("--force", is_flag=True, help="Take a token of another workspace too, and move there.")
@as_json
def rotate(name: str, token: str | None, token_stdin: bool, force: bool, as_json: bool) -> None:
    """Give NAME another token, without a restart.

    The new token is tested first. What waited because the old one failed goes on by itself. After a move to
    another workspace, names of channels mean those of that workspace; ids of the old one are not found there.

    \b
    ik-slack integrations rotate ops
    ik-slack integrations rotate ops --token-stdin < token.txt
    """
    secret = _ask_token(token, stdin=token_stdin)

    async def work(made: "Services") -> tuple[Integration, list[str]]:
        return await rotated_to(made, name, secret, force=force)

    rotated, said = run(work)
    _show_saved(rotated, as_json)
    warn(said)


def _destination(_context: click.Context, _parameter: click.Parameter, written: str | None) -> str | None:
    found = written and canonical_destination(written)
    if written is not None and not found:
        raise click.BadParameter(f"{written!r} is none of {FORMS}.")
    return found


@click.command()
@click.argument("name")
@click.option("--post", metavar="DEST", callback=_destination, help="Post a short test message there too.")
@as_json
def test(name: str, post: str | None, as_json: bool) -> None:
    """Test the connection, from token to channels.

    Looks at the token, its five scopes, and every subscribed destination. Exits with 1 when a check fails.
    A token that works again lets what waited for it go on.

    \b
    ik-slack integrations test ops
    ik-slack integrations test ops --post '#ops'
    """

    async def work(made: "Services") -> tuple[Integration, list[Check]]:
        return await tested(made, await made.integrations.find(name), post)

    integration, checks = run(work)
    if as_json:
        print_json(plain_tested(integration, checks))
    else:
        print_checks(checks)
    failed = [one.name for one in checks if not one.passed]
    if failed:
        of_all = f"{len(failed)} of {count(len(checks), 'check')} failed"
        raise Problem(f"{integration.name}: {of_all} ({', '.join(failed)}).")
    if not as_json and integration.state is not Health.ACTIVE:
        click.echo(f"It is {integration.state}: {integration.reason}. {integration.hint}", err=True)


def _show_saved(integration: Integration, as_json: bool) -> None:
    if as_json:
        print_json(plain_integration(integration))
    else:
        who = f"@{integration.bot_name} in workspace {integration.team}"
        click.echo(f"Saved integration {integration.name}: {who}, {integration.state}.")
    if missing := integration.missing_scopes:
        mend = scopes_mend(missing, integration.name)
        click.echo(f"Warning: missing scopes: {', '.join(missing)}. {mend}", err=True)


def _ask_token(given: str | None, *, stdin: bool) -> Secret:
    """The token; UsageError when there is no way to get one."""
    if given is not None and stdin:
        raise click.UsageError("Give the token once: --token-stdin or --token.")
    if stdin:
        given = sys.stdin.read()
    elif given is None:
        if not sys.stdin.isatty():
            raise click.UsageError(
                "No token: pipe it in with --token-stdin, or run this on a terminal to be asked."
            )
        given = click.prompt("Bot User OAuth Token (starts with xoxb-)", hide_input=True, err=True)
    token = str(given).strip()
    if not token:
        raise click.UsageError("The token is empty.")
    return Secret(token)

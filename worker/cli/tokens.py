"""`ik-slack integrations add`, `test` and `rotate`: what takes a token or tests one."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from worker.cli.reaching import LOOKED_AT_ONE_BY_ONE, check
from worker.cli.rules import FORMS
from worker.cli.running import as_json, print_json, run
from worker.cli.showing import count, plain_integration, print_checks, warn
from worker.cli.trying import check_posting
from worker.domain.delivery import Destination, canonical_destination, destination_form
from worker.domain.errors import Problem
from worker.domain.integration import Health, Integration, Secret
from worker.pipeline.connect import (
    Check,
    add_integration,
    rotate_token,
    scopes_mend,
    test_token,
    with_identity,
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
        made.vault.require()
        before = await made.integrations.find(name)
        rotated = await rotate_token(made.integrations, made.gateway, before, secret, force=force)
        if rotated.team_id == before.team_id:
            return rotated, []
        mine = [one for one in await made.subscriptions.all() if one.integration_id == before.id]
        await made.directory.forget(before.id)
        await made.lanes.unpin(sorted({one.lane for one in mine}))
        return rotated, _moved(before, rotated, sorted({one.destination for one in mine}))

    rotated, said = run(work)
    _show_saved(rotated, as_json)
    warn(said)


def _moved(before: Integration, after: Integration, destinations: Sequence[str]) -> list[str]:
    """What a move to another workspace means for the subscriptions."""
    ids = (Destination.CONVERSATION_ID, Destination.USER_ID)
    strangers = [one for one in destinations if destination_form(one) in ids]
    named = [one for one in destinations if one not in strangers]
    moved = f"{after.name} moved from {before.team} to {after.team}"
    said = [f"{moved}: events now go to {', '.join(named)} there."] if named else []
    if strangers:
        said.append(
            f"{moved}, which does not know {', '.join(strangers)}: what is for them waits. "
            "Point those subscriptions at channels there."
        )
    return said or [f"{moved}."]


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
        return await _tested(made, await made.integrations.find(name), post)

    integration, checks = run(work)
    if as_json:
        listed = [{"name": c.name, "passed": c.passed, "detail": c.detail, "mend": c.mend} for c in checks]
        print_json({**plain_integration(integration), "checks": listed})
    else:
        print_checks(checks)
    failed = [one.name for one in checks if not one.passed]
    if failed:
        of_all = f"{len(failed)} of {count(len(checks), 'check')} failed"
        raise Problem(f"{integration.name}: {of_all} ({', '.join(failed)}).")
    if not as_json and integration.state is not Health.ACTIVE:
        click.echo(f"It is {integration.state}: {integration.reason}. {integration.hint}", err=True)


async def _tested(
    made: "Services", integration: Integration, post: str | None
) -> tuple[Integration, list[Check]]:
    """The checks, and the integration as Slack knows it now."""
    token = await made.integrations.token(integration.id)
    checks, identity = await test_token(made.gateway, token, integration.name)
    if identity is None:
        return integration, checks
    known = with_identity(integration, identity)
    if known != integration:
        await made.integrations.save(known)
    if integration.state is Health.PARKED:
        await made.sweep.prober.probe(f"integration:{integration.id}")
    subscriptions = [one for one in await made.subscriptions.all() if one.integration_id == integration.id]
    destinations = sorted({one.destination for one in subscriptions})
    fresh = len(destinations) <= LOOKED_AT_ONE_BY_ONE
    checks += [await check(made, known, destination, fresh=fresh) for destination in destinations]
    if post:
        checks.append(await check_posting(made, known, post))
    return await made.integrations.find(integration.id), checks


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

"""`ik-slack api-tokens`, `keys` and `audit`: who may use the HTTP API, what encrypts the tokens, who changed what."""

import sys
from difflib import get_close_matches

import click

from worker.cli.context import AppContext, check_name, run
from worker.cli.output import as_json, print_json, print_table
from worker.domain.errors import UserError
from worker.domain.mrkdwn import cut
from worker.services.formatting import format_json_time, format_time
from worker.store.api_tokens import SCOPES, ApiTokens
from worker.store.audit import AuditTrail
from worker.store.token_cipher import generate_key


@click.group()
def api_tokens() -> None:
    """Manage tokens for the HTTP API and the webhooks.

    As soon as one token exists, the start-up key ends, and the console needs ADMIN_PASSWORD.

    \b
    ik-slack api-tokens add alertmanager --only webhooks
    """


@api_tokens.command()
@click.argument("name", callback=check_name)
@click.option(
    "--only", type=click.Choice(SCOPES),
    help="Limit the token: to webhooks, to publishing events, or to reading. Without it, it may do everything.",
)  # fmt: skip
@as_json
def add(name: str, only: str | None, as_json: bool) -> None:
    """Create a token and print it once: only its hash is kept.

    \b
    ik-slack api-tokens add alertmanager --only webhooks > /etc/alertmanager/ik-slack-token
    """
    token = run(lambda app: ApiTokens(app.redis).add(name, only or ""))
    if token is None:
        raise UserError(
            f"A token {name!r} exists already, and it cannot be shown again: revoke it with "
            f"`ik-slack api-tokens revoke {name}`, or choose another name."
        )
    if as_json:
        print_json({"name": name, "token": token.reveal(), "only": only})
        return
    click.echo(token.reveal())
    click.echo("Keep it: it is not shown again. Use it as `Authorization: Bearer TOKEN`.", err=True)


@api_tokens.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List the names of all tokens, never the tokens themselves."""
    tokens = run(lambda app: ApiTokens(app.redis).list_all())
    if as_json:
        print_json(
            [
                {"name": token.name, "only": token.only or None, "created_at": format_json_time(token.created_at_ms)}
                for token in tokens
            ]
        )
        return
    rows = [(token.name, token.only or "everything", format_time(token.created_at_ms)) for token in tokens]
    print_table(
        ("Name", "Allows", "Created"), rows, empty="No token yet: create one with `ik-slack api-tokens add NAME`."
    )


@api_tokens.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke a token: from now on requests with it are refused."""

    async def work(app: AppContext) -> None:
        tokens = ApiTokens(app.redis)
        if not await tokens.revoke(name):
            similar = get_close_matches(name, [token.name for token in await tokens.list_all()], n=1)
            fix = f"did you mean {similar[0]}?" if similar else "see `ik-slack api-tokens list`."
            raise UserError(f"There is no token {cut(name, 80)!r}: {fix}")

    run(work)
    click.echo(f"Revoked {name}.")


@click.group()
def keys() -> None:
    """Create and rotate the key that encrypts the Slack tokens."""


@keys.command()
def generate() -> None:
    """Print a new ENCRYPTION_KEY, and nothing else.

    \b
    echo "ENCRYPTION_KEY=$(ik-slack keys generate)" >> .env
    """
    click.echo(generate_key())
    if sys.stderr.isatty() and sys.stdout.isatty():
        click.echo("Set it as ENCRYPTION_KEY and keep it: without it the saved tokens cannot be read.", err=True)


@keys.command()
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


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Maximum number of rows.")
@as_json
def audit(limit: int, as_json: bool) -> None:
    """List the newest changes: who made them, what they were and how they ended.

    They come from the console, the HTTP API, commands and Flower. The last 10,000 are kept.

    \b
    ik-slack audit --limit 10
    """
    entries = run(lambda app: AuditTrail(app.redis).find_newest(limit))
    if as_json:
        print_json(
            [
                {"at": format_json_time(entry.at_ms), "who": entry.who, "what": entry.what, "which": entry.which,
                 "outcome": entry.outcome}
                for entry in entries
            ]
        )  # fmt: skip
        return
    rows = [(format_time(entry.at_ms), entry.who, entry.what, entry.which, entry.outcome) for entry in entries]
    print_table(("Time", "Who", "What", "Which", "Outcome"), rows, empty="No change yet.")

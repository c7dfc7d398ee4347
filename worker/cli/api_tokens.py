"""`ik-slack api-tokens`: named tokens of the HTTP API and the webhooks, each revoked by itself."""

from typing import TYPE_CHECKING

import click

from worker.asking.rows import iso
from worker.asking.wording import when
from worker.cli.running import as_json, print_json, print_table, run
from worker.cli.tokens import named
from worker.domain.errors import Problem
from worker.domain.integration import Secret
from worker.store.api_tokens import ApiToken, ApiTokens

if TYPE_CHECKING:
    from worker.bootstrap import Services


@click.group()
def command() -> None:
    """Give programs tokens of their own for the HTTP API and the webhooks.

    From the first one on, every request needs a token.

    \b
    ik-slack api-tokens add alertmanager
    ik-slack api-tokens list
    ik-slack api-tokens revoke alertmanager
    """


@command.command()
@click.argument("name", callback=named)
@as_json
def add(name: str, as_json: bool) -> None:
    """Make a token and print it, this once: only its hash is kept.

    \b
    ik-slack api-tokens add alertmanager > /etc/alertmanager/ik-slack-token
    """

    async def work(made: "Services") -> Secret:
        token = await ApiTokens(made.server).add(name)
        if token is None:
            raise Problem(
                f"There is a token {name!r} already, and it cannot be shown again: revoke it with "
                f"`ik-slack api-tokens revoke {name}`, or take another name."
            )
        return token

    token = run(work).reveal()
    if as_json:
        print_json({"name": name, "token": token})
        return
    click.echo(token)
    click.echo("Keep it: it is not shown again. Use it as `Authorization: Bearer TOKEN`.", err=True)


@command.command("list")
@as_json
def list_(as_json: bool) -> None:
    """All tokens by name, never the tokens themselves."""

    async def work(made: "Services") -> list[ApiToken]:
        return await ApiTokens(made.server).all()

    found = run(work)
    if as_json:
        print_json([{"name": one.name, "created_at": iso(one.created_at_ms)} for one in found])
        return
    rows = [(one.name, when(one.created_at_ms)) for one in found]
    print_table(
        ("Name", "Created"), rows, empty="No token yet: make one with `ik-slack api-tokens add NAME`."
    )


@command.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Let nobody in with it any more, from this moment."""

    async def work(made: "Services") -> None:
        if not await ApiTokens(made.server).revoke(name):
            raise Problem(f"There is no token {name!r}: see `ik-slack api-tokens list`.")

    run(work)
    click.echo(f"Revoked {name}.")

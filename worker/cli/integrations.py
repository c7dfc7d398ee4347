"""`ik-slack integrations`: Slack apps that were installed for InfraKitchen, their tokens and their health."""

from dataclasses import replace
from typing import IO, TYPE_CHECKING

import click

from worker.asking.changing import discarded
from worker.asking.choosing import every_integration, one_integration
from worker.asking.connecting import disabled, enabled, removed
from worker.asking.rows import plain_integration
from worker.asking.templating import checked_template
from worker.asking.wording import count, when
from worker.cli import tokens
from worker.cli.files import text_of
from worker.cli.running import as_json, print_json, print_table, run
from worker.cli.showing import print_facts
from worker.domain.errors import Problem
from worker.domain.integration import Integration

if TYPE_CHECKING:
    from worker.bootstrap import Services


@click.group()
def command() -> None:
    """Connect Slack workspaces, and look after their tokens.

    \b
    ik-slack manifest                        what to paste when the Slack app is created
    ik-slack integrations add ops            asks for the token, tests and saves it
    ik-slack integrations test ops           token, scopes, and every subscribed channel
    """


command.add_command(tokens.add)
command.add_command(tokens.test)
command.add_command(tokens.rotate)


@command.command("list")
@as_json
def list_(as_json: bool) -> None:
    """All integrations, their workspaces and health."""

    async def work(made: "Services") -> tuple[list[Integration], list[str]]:
        subscriptions = [one.integration_id for one in await made.subscriptions.all()]
        return await every_integration(made), subscriptions

    found, subscribed = run(work)
    if as_json:
        print_json([plain_integration(integration) for integration in found])
        return
    rows = [(one.name, one.team, f"@{one.bot_name}", one.state, subscribed.count(one.id)) for one in found]
    columns = ("Name", "Workspace", "Bot", "State", "Subscriptions")
    print_table(columns, rows, empty="No integration yet: add one with `ik-slack integrations add NAME`.")
    for one in found:
        if one.hint:
            click.echo(f"\n{one.name}: {one.reason}. {one.hint}")


@command.command()
@click.argument("name")
@as_json
def show(name: str, as_json: bool) -> None:
    """One integration by its name or id; never its token."""

    async def work(made: "Services") -> Integration:
        return await one_integration(made, name)

    found = run(work)
    if as_json:
        print_json(plain_integration(found))
        return
    print_facts(
        (
            ("Name", found.name),
            ("Id", found.id),
            ("Description", found.description),
            ("Labels", ", ".join(found.labels)),
            ("Template", "one of its own, for subscriptions without" if found.template else ""),
            ("Workspace", f"{found.team} ({found.team_id})"),
            ("Bot", f"@{found.bot_name} ({found.bot_user_id})"),
            ("Scopes", ", ".join(found.scopes)),
            ("Missing", ", ".join(found.missing_scopes)),
            ("State", found.state),
            ("Since", when(found.since_ms)),
            ("Reason", found.reason),
            ("What to do", found.hint),
        )
    )


@command.command()
@click.argument("name")
@click.option("--with-subscriptions", is_flag=True, help="Remove its subscriptions too.")
def remove(name: str, with_subscriptions: bool) -> None:
    """Forget an integration and its token.

    Refused while subscriptions use it. What waits for subscriptions that are removed with it is discarded.
    """

    async def work(made: "Services") -> str:
        integration, lost = await removed(made, name, with_subscriptions=with_subscriptions)
        return f"Removed integration {integration.name}." + discarded(lost)

    click.echo(run(work))


@command.command()
@click.argument("name")
def disable(name: str) -> None:
    """Post nothing with it; what is for it waits."""

    async def work(made: "Services") -> str:
        integration, hint = await disabled(made, name)
        return f"Disabled {integration.name}: what is for it waits. {hint}"

    click.echo(run(work))


@command.command()
@click.argument("name")
def enable(name: str) -> None:
    """Post with it again, what waited first."""

    async def work(made: "Services") -> str:
        integration, lanes = await enabled(made, name)
        if lanes is None:
            return f"{integration.name} is not disabled: it is {integration.state}."
        return f"Enabled {integration.name}." + (
            f" {count(lanes, 'lane')} with something to say go on." if lanes else ""
        )

    click.echo(run(work))


@command.command()
@click.argument("name")
@click.argument("file", type=click.File("rb"), metavar="[FILE|-]", required=False)
@click.option("--remove", "removes", is_flag=True, help="Its subscriptions are told as usual again.")
def template(name: str, file: IO[bytes] | None, removes: bool) -> None:
    """The template of all its subscriptions that have none of their own.

    Jinja2 text or Block Kit JSON, as of `subscriptions add --template`; without FILE it is printed.

    \b
    ik-slack integrations template ops messages.j2
    ik-slack integrations template ops --remove
    """
    if file and removes:
        raise click.UsageError("A template is set or removed: give FILE or --remove.")
    try:
        new = checked_template(text_of(file) or "\n") if file else ""
    except ValueError as error:
        raise Problem(f"The template cannot be used: {error}.") from None

    async def work(made: "Services") -> str:
        integration = await made.integrations.find(name)
        if not (file or removes):
            return integration.template or f"{integration.name} has no template."
        await made.integrations.save(replace(integration, template=new))
        everyone = await made.subscriptions.all()
        told_by_it = [one.id for one in everyone if one.integration_id == integration.id and not one.template]
        await made.drain.template_faults.forget(told_by_it)
        how = "by this template, unless they have their own" if new else "as usual"
        return f"Subscriptions of {integration.name} are told {how}."

    click.echo(run(work))

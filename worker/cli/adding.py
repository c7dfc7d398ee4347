"""`ik-slack subscriptions add`: a new rule, from options."""

import re
from typing import IO, TYPE_CHECKING

import click

from worker.asking.rules import FORMS, LEVELS, MENTIONS, SORTS, STYLES, Rule, read_rule
from worker.asking.subscribing import added
from worker.cli.files import template_option, text_of
from worker.cli.running import as_json, print_json, run
from worker.cli.showing import warn

if TYPE_CHECKING:
    from worker.bootstrap import Services


@click.command()
@click.option("--to", "destination", metavar="DEST", required=True, help=f"{FORMS}. Quote '#' for the shell.")
@click.option("--integration", metavar="NAME", help="Needed when there are several.")
@click.option("--kind", multiple=True, type=click.Choice(SORTS))
@click.option(
    "--entity-type", multiple=True, metavar="TYPE", help="As InfraKitchen names it, such as storage."
)
@click.option("--entity-id", multiple=True, metavar="ID")
@click.option("--name", multiple=True, metavar="GLOB", help="Of the entity, such as 'prod-*'.")
@click.option("--project", multiple=True, metavar="P")
@click.option("--status", multiple=True, metavar="S", help="Such as error or done.")
@click.option("--min-severity", type=click.Choice(LEVELS), help="This bad, or worse.")
@click.option("--label", multiple=True, metavar="K=V", help="Different keys must all match.")
@click.option("--mention", default="", metavar="STRING", help=f"Whom to mention: {MENTIONS}.")
@click.option(
    "--mention-from",
    type=click.Choice(LEVELS),
    default="critical",
    show_default=True,
    help="This bad, or worse.",
)
@click.option("--style", type=click.Choice(STYLES), default="card", show_default=True, help="How it looks.")
@template_option
@click.option("--broadcast", is_flag=True, help="What a card's thread tells is shown in the channel too.")
@click.option("--only-changes", is_flag=True, help="Nothing about what stands as it was last told.")
@click.option("--inhibit-resources", is_flag=True,
              help="Nothing calm about a resource while the card of its workflow is live.")  # fmt: skip
@click.option(
    "--quiet-hours", default="", metavar="HH:MM-HH:MM", help="Held then, told together when they end."
)
@click.option("--time-zone", default="", metavar="ZONE", help="Of the quiet hours, such as Europe/Stockholm.")
@click.option("--quiet-below", type=click.Choice(LEVELS), default="critical", show_default=True,
              help="What is this bad, or worse, is told at once.")  # fmt: skip
@as_json
def add(as_json: bool, integration: str | None, template_file: IO[bytes] | None, **written: object) -> None:
    """Send events to a channel or a person.

    Without filters, every event. Filters may be repeated: all must match, several values of one are
    alternatives. A destination that cannot be posted to yet is accepted: what is for it waits.

    \b
    ik-slack subscriptions add --to '#ops'
    ik-slack subscriptions add --to oncall@example.com --kind alert --min-severity critical
    ik-slack subscriptions add --to '#prod' --name 'prod-*' --status error --status cancelled
    ik-slack subscriptions add --to '#deploys' --kind workflow --template deploys.j2
    """
    if template_file:
        written["template"] = text_of(template_file) or "\n"  # an empty file is a mistake
    try:
        rule = read_rule(written)
    except ValueError as error:
        raise click.UsageError(re.sub(r"^(\w+)", _option, str(error))) from None

    async def work(made: "Services") -> tuple[Rule, bool, list[str]]:
        return await added(made, rule, integration)

    found, is_new, said = run(work)
    if as_json:
        print_json(found.model_dump())
    else:
        done = "Added" if is_new else "There is already"
        click.echo(f"{done} {found.id}: {found.filters} to {found.destination} ({found.integration}).")
    warn(said)


def _option(field: re.Match[str]) -> str:
    return "--to" if field[1] == "destination" else f"--{field[1].replace('_', '-')}"

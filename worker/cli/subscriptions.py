"""`ik-slack subscriptions`: which events go to which destination."""

from collections.abc import Sequence
from typing import IO

import click

from worker.cli.context import AppContext, read_text, run, template_option
from worker.cli.output import as_json, print_facts, print_json, print_table, warn
from worker.cli.subscriptions_file import apply, export
from worker.domain.destination import has_placeholders
from worker.services import subscriptions as service
from worker.services.destinations import SentTestMessage, send_test_message
from worker.services.formatting import format_time, pluralize, printable
from worker.services.preview import RecentPreview, preview_recent
from worker.services.subscription_schema import ACTIONS, FORMS, KINDS, LEVELS, MENTIONS, STYLES, InvalidSpec, parse_spec

SEVERITY = click.Choice(LEVELS)
ids_argument = click.argument("subscription_ids", metavar="ID...", nargs=-1, required=True)
id_argument = click.argument("subscription_id", metavar="ID")


@click.group()
def command() -> None:
    """Manage which events go to which channel or person.

    \b
    ik-slack subscriptions add --to '#ops' --kind alert --min-severity error
    ik-slack subscriptions export > subscriptions.yaml
    """


command.add_command(apply)
command.add_command(export)


@command.command()
@click.option("--to", "destination", metavar="DEST", required=True, help=f"{FORMS}. Quote '#' for the shell.")
@click.option("--otherwise", default="", metavar="DEST",
              help="Where an event goes that lacks a value its destination is made from; else nowhere.")  # fmt: skip
@click.option("--integration", metavar="NAME", help="Required when there are several integrations.")
@click.option("--kind", multiple=True, type=click.Choice(KINDS), help="Kind of the event.")
@click.option("--entity-type", multiple=True, metavar="TYPE", help="InfraKitchen's name of the type, such as storage.")
@click.option("--entity-id", multiple=True, metavar="ID", help="InfraKitchen's id of the entity.")
@click.option("--with-children", is_flag=True, help="Also what names --entity-id as its project, resource or parent.")
@click.option("--name", multiple=True, metavar="GLOB", help="Name of the entity, such as 'prod-*'.")
@click.option("--project", multiple=True, metavar="P", help="Project of the entity.")
@click.option("--status", multiple=True, metavar="S", help="Status, such as error or done.")
@click.option("--action", multiple=True, metavar="A", help=f"Action: {', '.join(ACTIONS)}.")
@click.option("--min-severity", type=SEVERITY, help="This severity or worse.")
@click.option("--label", multiple=True, metavar="K=V", help="Labels with different keys must all match.")
@click.option("--mention", default="", metavar="STRING", help=f"Whom to mention: {MENTIONS}.")
@click.option("--mention-from", type=SEVERITY, default="critical", show_default=True,
              help="Mention from this severity on.")  # fmt: skip
@click.option("--style", type=click.Choice(STYLES), default="card", show_default=True, help="Look of the messages.")
@template_option
@click.option("--broadcast", is_flag=True, help="Show replies of a card's thread in the channel too.")
@click.option("--only-changes", is_flag=True, help="Report only state changes.")
@click.option("--inhibit-resources", is_flag=True,
              help="Suppress routine resource updates while the workflow's card is live.")  # fmt: skip
@click.option("--quiet-hours", default="", metavar="HH:MM-HH:MM",
              help="Hold deliveries in these hours, and send them together afterwards.")  # fmt: skip
@click.option("--time-zone", default="", metavar="ZONE", help="Zone of the quiet hours, such as Europe/Stockholm.")
@click.option("--quiet-below", type=SEVERITY, default="critical", show_default=True,
              help="Send this severity or worse in quiet hours too.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show where the recent events would go; add nothing.")
@as_json
def add(
    as_json: bool, dry_run: bool, integration: str | None, template_file: IO[bytes] | None, **values: object
) -> None:
    """Send events to a channel or a person.

    Without filters every event is sent. Filters may be repeated: several values of one filter are
    alternatives, different filters must all match. A destination that cannot be posted to yet is accepted
    with a warning: its deliveries wait until it can.

    A destination may be made from each event, by the placeholders {name}, {project}, {template},
    {entity_type}, {requester} and {label:KEY}. The values become a legal name of a channel, such as
    #team-payments-eu; the bot must be invited to each. {requester} alone is a direct message to the person
    who started it. An event without the value goes to --otherwise, or nowhere, as `explain` then says.

    \b
    ik-slack subscriptions add --to '#prod' --name 'prod-*' --status error
    ik-slack subscriptions add --to '#team-{label:team}' --otherwise '#infrastructure' --dry-run
    ik-slack subscriptions add --to '{requester}' --kind resource --action approve
    """
    if template_file:
        values["template"] = read_text(template_file) or "\n"  # an empty file is an error, no template is not
    try:
        spec = parse_spec(values)
    except InvalidSpec as error:
        raise click.UsageError(error.describe(_option)) from None
    if dry_run:
        _print_recent(run(lambda app: preview_recent(app, spec, integration)), as_json=as_json)
        return
    subscription, is_new, warnings = run(lambda app: service.add_subscription(app, spec, integration))
    if as_json:
        print_json(subscription)
    else:
        route = f"{subscription.filters} to {subscription.destination} ({subscription.integration})"
        click.echo(f"{'Added' if is_new else 'It exists already:'} {subscription.id}: {route}.")
    warn(warnings)


@command.command()
@id_argument
@as_json
def preview(subscription_id: str, as_json: bool) -> None:
    """Show where a subscription would send the recent events.

    \b
    ik-slack subscriptions preview sub-1a2b3c4d
    """

    async def work(app: AppContext) -> RecentPreview:
        spec = await service.get_subscription(app, subscription_id)
        return await preview_recent(app, spec, spec.integration)

    _print_recent(run(work), as_json=as_json)


def _print_recent(recent: RecentPreview, *, as_json: bool) -> None:
    """Print where the recent events would go, and why some would not."""
    if as_json:
        numbers = {"examined": recent.examined, "matched": len(recent.matched)}
        print_json({**numbers, "destinations": recent.destinations, "nowhere": recent.nowhere})
        return
    click.echo(f"{len(recent.matched):,} of the last {pluralize(recent.examined, 'event')} match.")
    if recent.matched:
        click.echo(f"Would go to {recent.route}.")
    for reason, number in recent.nowhere.items():
        click.echo(f"  nowhere {number:,}: {printable(reason)}")
    for reason, number in recent.reasons:
        click.echo(f"  no match {number:,}: {reason}")


@command.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List all subscriptions, oldest first."""
    subscriptions = run(service.list_subscriptions)
    if as_json:
        print_json(subscriptions)
        return
    rows = [(sub.id, sub.destination, sub.integration, sub.filters, sub.options, sub.state) for sub in subscriptions]
    empty = "No subscription yet: add one with `ik-slack subscriptions add --to '#channel'`."
    print_table(("Id", "Destination", "Integration", "Events", "Options", "State"), rows, empty=empty)


@command.command()
@id_argument
@as_json
def show(subscription_id: str, as_json: bool) -> None:
    """Show one subscription and the status of its destination."""
    status = run(lambda app: service.get_subscription_status(app, subscription_id))
    if as_json:
        print_json(status)
        return
    is_made = has_placeholders(status.destination)
    print_facts(
        ("Id", status.id),
        ("Destination", status.destination),
        ("Integration", status.integration),
        ("Events", status.filters),
        ("Options", status.options),
        ("State", status.state),
        ("Lane", status.lane),
        ("Channel", f"{status.address_name} ({status.address})" if status.address else ""),
        ("Lanes", f"{status.lanes:,}, {status.parked_lanes:,} parked" if is_made else ""),
        ("Pending", status.waiting),
        ("Parked", f"{status.reason}. {status.hint}" if status.parked else ""),
        ("Template error", status.template_fault),
    )
    if status.template:
        click.echo()
    for line in status.template.splitlines():
        click.echo(f"    {''.join(filter(str.isprintable, line.expandtabs(4)))}".rstrip())


@command.command()
@id_argument
@click.option("--to", "destination", metavar="DEST", required=True, help=f"{FORMS}. Quote '#' for the shell.")
@click.option("--otherwise", metavar="DEST",
              help="Where an event goes that lacks a value its destination is made from.")  # fmt: skip
def move(subscription_id: str, destination: str, otherwise: str | None) -> None:
    """Send the events of a subscription to another destination. Deliveries already queued stay in their lane.

    \b
    ik-slack subscriptions move sub-1a2b3c4d --to '#deployments'
    """

    async def work(app: AppContext) -> service.SavedSubscription:
        spec = await service.get_subscription(app, subscription_id)
        values = spec.model_dump(exclude={"id", "muted_until"}) | {"destination": destination}
        if otherwise is not None or not has_placeholders(destination):
            values["otherwise"] = otherwise or ""
        return await service.replace_subscription(app, spec.id, parse_spec(values))

    try:
        saved = run(work)
    except InvalidSpec as error:
        raise click.UsageError(error.describe(_option)) from None
    click.echo(f"Moved {saved.spec.id}: {saved.spec.filters} to {saved.spec.destination} ({saved.spec.integration}).")
    warn(saved.warnings)


@command.command()
@ids_argument
def pause(subscription_ids: tuple[str, ...]) -> None:
    """Pause subscriptions. Deliveries already queued are still sent."""
    run(lambda app: service.set_paused(app, subscription_ids, True))
    _print_done("Paused", subscription_ids)


@command.command()
@ids_argument
def resume(subscription_ids: tuple[str, ...]) -> None:
    """Resume paused subscriptions. Events of the pause are not sent."""
    run(lambda app: service.set_paused(app, subscription_ids, False))
    _print_done("Resumed", subscription_ids)


@command.command()
@ids_argument
@click.option("--for", "span", metavar="SPAN", help="Length, such as 30m, 2h, 3d or 1h30m.")
@click.option("--until", metavar="TIME", help="End, such as '2026-11-25 08:00' or 08:00, in this machine's time zone.")
def mute(subscription_ids: tuple[str, ...], span: str | None, until: str | None) -> None:
    """Mute subscriptions for a time. Events of that time are not sent; queued deliveries are.

    \b
    ik-slack subscriptions mute sub-1a2b3c4d --for 2h
    """
    if (span is None) == (until is None):
        raise click.UsageError("Give either --for SPAN or --until TIME.")

    async def work(app: AppContext) -> int:
        try:
            until_ms = service.end_of_mute_ms(span, until, await app.redis.now_ms())
        except ValueError as error:
            raise click.UsageError(f"{'--for' if span is not None else '--until'}: {error}.") from None
        await service.set_muted(app, subscription_ids, until_ms)
        return until_ms

    until_ms = run(work)
    _print_done("Muted", subscription_ids, f" until {format_time(until_ms)}.")


@command.command()
@ids_argument
def unmute(subscription_ids: tuple[str, ...]) -> None:
    """End the mute of subscriptions now."""
    run(lambda app: service.set_muted(app, subscription_ids, 0))
    _print_done("Unmuted", subscription_ids)


@command.command()
@ids_argument
def remove(subscription_ids: tuple[str, ...]) -> None:
    """Remove subscriptions and discard their pending deliveries."""
    lost = run(lambda app: service.remove_subscriptions(app, subscription_ids))
    _print_done("Removed", tuple(dict.fromkeys(subscription_ids)), f".{service.describe_discarded(lost)}")


def _option(field: str) -> str:
    """Return the option that holds a field."""
    return "--to" if field == "destination" else f"--{field.replace('_', '-')}"


def _print_done(done: str, subscription_ids: Sequence[str], end: str = ".") -> None:
    click.echo(f"{done} {', '.join(subscription_ids)}{end}")


@command.command()
@id_argument
@as_json
def test(subscription_id: str, as_json: bool) -> None:
    """Post a short test message to a subscription's destination now.

    It mentions no one. Exits with 1 and shows the fix when it cannot be posted.
    """

    async def work(app: AppContext) -> SentTestMessage:
        return await send_test_message(app, await app.subscriptions.find(subscription_id))

    posted = run(work)
    if as_json:
        print_json(posted)
    else:
        click.echo(f"Posted to {posted.name} in {posted.team}: {posted.link}")

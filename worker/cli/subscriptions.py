"""`ik-slack subscriptions`: which events go where."""

import click

from worker.asking.changing import discarded
from worker.asking.choosing import every_rule
from worker.asking.subscribing import forget, placed, plain_placed, set_paused
from worker.cli import adding, applying, muting, trying
from worker.cli.muting import some_ids
from worker.cli.running import as_json, print_json, print_table, run
from worker.cli.showing import print_facts, print_indented


@click.group()
def command() -> None:
    """Say which events go to which channel or person.

    \b
    ik-slack subscriptions add --to '#ops' --kind alert --min-severity error
    ik-slack subscriptions test sub-1a2b3c4d
    ik-slack subscriptions export > subscriptions.yaml
    """


command.add_command(adding.add)
command.add_command(trying.test)
command.add_command(muting.mute)
command.add_command(muting.unmute)
command.add_command(applying.apply)
command.add_command(applying.export)
one_id = click.argument("subscription_id", metavar="ID")


@command.command("list")
@as_json
def list_(as_json: bool) -> None:
    """All subscriptions, oldest first."""
    found = run(every_rule)
    if as_json:
        print_json([rule.model_dump() for rule in found])
        return
    rows = [
        (
            one.id,
            one.destination,
            one.integration,
            one.filters,
            one.options,
            one.state,
        )
        for one in found
    ]
    empty = "No subscription yet: add one with `ik-slack subscriptions add --to '#channel'`."
    print_table(("Id", "To", "Integration", "Events", "Options", "State"), rows, empty=empty)


@command.command()
@one_id
@as_json
def show(subscription_id: str, as_json: bool) -> None:
    """One subscription, and how its destination is."""

    found = run(lambda made: placed(made, subscription_id))
    if as_json:
        print_json(plain_placed(found))
        return
    rule, lane, note, fault = found.rule, found.lane, found.note, found.template_fault
    print_facts(
        (
            ("Id", rule.id),
            ("To", rule.destination),
            ("Integration", rule.integration),
            ("Events", rule.filters),
            ("Options", rule.options),
            ("State", rule.state),
            ("Lane", lane),
            ("Posts to", f"{note['name']} ({note['address']})" if note["address"] else ""),
            ("Waiting there", found.waiting),
            ("Parked", f"{note['reason']}. {note['hint']}" if note["parked"] else ""),
            ("Template", f"failed: {fault}" if fault else ""),
        )
    )
    if rule.template:
        print_indented(rule.template)


@command.command()
@some_ids
def pause(subscription_ids: tuple[str, ...]) -> None:
    """Deliver no more; what waits is still told."""
    _set_paused(subscription_ids, True)


@command.command()
@some_ids
def resume(subscription_ids: tuple[str, ...]) -> None:
    """Deliver again, from now on."""
    _set_paused(subscription_ids, False)


@command.command()
@some_ids
def remove(subscription_ids: tuple[str, ...]) -> None:
    """Forget subscriptions; what waits for them is discarded."""

    lost = run(lambda made: forget(made, subscription_ids))
    click.echo(f"Removed {', '.join(dict.fromkeys(subscription_ids))}.{discarded(lost)}")


def _set_paused(ids: tuple[str, ...], paused: bool) -> None:
    run(lambda made: set_paused(made, ids, paused))
    click.echo(f"{'Paused' if paused else 'Resumed'} {', '.join(ids)}.")

"""`ik-slack subscriptions`: which events go where."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from worker.cli import adding, applying, muting, trying
from worker.cli.changing import change_subscriptions, discarded
from worker.cli.choosing import every_rule, some_ids
from worker.cli.rules import Rule
from worker.cli.running import as_json, print_json, print_table, run
from worker.cli.showing import print_facts, print_indented

if TYPE_CHECKING:
    from worker.bootstrap import Services


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

    async def work(made: "Services") -> tuple[Rule, dict[str, str], str, int, str]:
        lane = (await made.subscriptions.find(subscription_id)).lane
        rules, note, waiting, faults = await asyncio.gather(
            every_rule(made),
            made.upkeep.lane_note(lane),
            made.deliveries.waiting(lane, most=10_000),
            made.drain.template_faults.all(),
        )
        rule = next(one for one in rules if one.id == subscription_id)
        return rule, note, lane, len(waiting), str(faults.get(subscription_id, ""))

    rule, note, lane, waiting, fault = run(work)
    if as_json:
        where = {"lane": lane, "address": note["address"], "waiting": waiting}
        parked = {"parked": note["parked"], "reason": note["reason"], "hint": note["hint"]}
        print_json({**rule.model_dump(), **where, **parked, "template_fault": fault})
        return
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
            ("Waiting there", waiting),
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

    async def work(made: "Services") -> int:
        gone = [await made.subscriptions.find(one) for one in dict.fromkeys(subscription_ids)]
        return await change_subscriptions(made, gone=gone)

    lost = run(work)
    click.echo(f"Removed {', '.join(dict.fromkeys(subscription_ids))}.{discarded(lost)}")


def _set_paused(ids: tuple[str, ...], paused: bool) -> None:
    async def work(made: "Services") -> None:
        found = [await made.subscriptions.find(one) for one in ids]
        await change_subscriptions(made, save=[replace(one, paused=paused) for one in found])

    run(work)
    click.echo(f"{'Paused' if paused else 'Resumed'} {', '.join(ids)}.")

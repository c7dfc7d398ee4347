"""`ik-slack parked`: what waits for a person, why, and the step that frees it."""

from typing import TYPE_CHECKING

import click

from worker.asking.plain import plain_parked
from worker.asking.resuming import resumed
from worker.asking.wording import count, when
from worker.cli.running import as_json, print_json, run
from worker.domain.delivery import lane_parts
from worker.domain.integration import Health, Integration
from worker.store.parked import ParkedLane

if TYPE_CHECKING:
    from worker.bootstrap import Services


Listed = tuple[list[ParkedLane], list[Integration]]


@click.group()
def command() -> None:
    """See what waits for a person, and let it go on.

    \b
    ik-slack parked list
    ik-slack parked resume 'ops/#alerts'
    """


@command.command("list")
@as_json
def list_(as_json: bool) -> None:
    """Every lane that waits for a person, with the step that frees it.

    Once the step is taken, a lane goes on by itself within PROBE_INTERVAL_S.
    """

    async def work(made: "Services") -> Listed:
        return await made.parked.all(), await made.integrations.all()

    found, integrations = run(work)
    if as_json:
        print_json([plain_parked(one) for one in found])
        return
    told = [
        _lines_of_integration(
            integration,
            [one for one in found if one.whole_integration and lane_parts(one.lane)[0] == integration.id],
        )
        for integration in integrations
        if integration.state is not Health.ACTIVE
    ]
    told += [_lines_of(one) for one in found if not one.whole_integration]
    click.echo("\n\n".join(told) or "Nothing waits for a person.")


@command.command()
@click.argument("lane")
def resume(lane: str) -> None:
    """Let LANE go on now, without waiting for the next look.

    LANE is written as `ik-slack parked list` shows it; its destination alone will do when no other lane has
    the same.

    \b
    ik-slack parked resume 'ops/#alerts'
    """

    click.echo(run(lambda made: resumed(made, lane), waking=True))


def _lines_of(one: ParkedLane) -> str:
    waiting = count(one.pending, "delivery", "deliveries")
    return (
        f"! {one.lane}  {waiting} since {when(one.since_ms)}\n"
        f"    {one.detail or 'it waits for a person'} ({one.reason})\n    {one.hint}"
    )


def _lines_of_integration(integration: Integration, lanes: list[ParkedLane]) -> str:
    sign = "–" if integration.state is Health.DISABLED else "!"
    lines = [
        f"{sign} integration {integration.name} is {integration.state} since {when(integration.since_ms)}",
        f"    {integration.reason}",
        f"    {integration.hint}",
        *(f"    waits for it: {one.lane}, {count(one.pending, 'delivery', 'deliveries')}" for one in lanes),
    ]
    return "\n".join(lines)

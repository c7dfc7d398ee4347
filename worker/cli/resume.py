"""`ik-slack parked resume`: let a lane try once now."""

import click

from worker.cli.context import run
from worker.services.lanes import resume_lane


@click.command()
@click.argument("lane")
def resume(lane: str) -> None:
    """Resume LANE now, before its next probe, or try now what waits out an outage.

    LANE is a lane as `ik-slack parked list` prints it, or its destination alone where no other lane has the
    same destination.
    """
    resumed = run(lambda app: resume_lane(app, lane), can_wake=True)
    note = " If posting fails, it waits again: `ik-slack parked list`." if resumed.is_trying else ""
    click.echo(f"{resumed}{note}")

"""`ik-slack parked`: the lanes that need a person."""

from functools import partial

import click

from worker.bootstrap.stores import Stores
from worker.cli import LazyGroup
from worker.cli.output import as_json, print_json, print_prose
from worker.cli.stores import read
from worker.domain.delivery import lane_parts
from worker.domain.integration import Health, Integration
from worker.services.formatting import format_time, pluralize
from worker.services.lanes import get_parked_page
from worker.services.schemas import ParkedLaneSchema
from worker.store.lanes import ParkedLane
from worker.store.ledger import LaneCount, take_ledger_snapshot
from worker.store.pagination import take_rows


@click.group(cls=LazyGroup, commands_in={"list": "parked:list_lanes", "resume": "resume:resume"})
def command() -> None:
    """See which lanes need a person, and resume them.

    \b
    ik-slack parked resume 'ops/#alerts'
    """


@click.command("list")
@as_json
def list_lanes(as_json: bool) -> None:
    """List every parked lane and integration, with its fix.

    After the fix a lane resumes automatically within PROBE_INTERVAL_S.
    """

    async def work(app: Stores) -> tuple[list[ParkedLane], list[Integration], list[LaneCount]]:
        counts = (await take_ledger_snapshot(app.redis)).lanes
        return await take_rows(partial(get_parked_page, app)), await app.integrations.list_all(), counts

    lanes, integrations, counts = read(work)
    if as_json:
        print_json([ParkedLaneSchema.of(lane) for lane in lanes])
        return
    paragraphs = []
    for integration in integrations:
        if integration.state is not Health.ACTIVE:
            sign = "–" if integration.state is Health.DISABLED else "!"
            since = format_time(integration.since_ms)
            paragraphs.append(
                f"{sign} integration {integration.name}: {integration.state} since {since}\n"
                f"    {integration.reason}\n    {integration.hint}"
            )
            paragraphs[-1] += "".join(
                f"\n    waiting lane: {lane.lane}, {_pending(lane)}"
                for lane in lanes
                if lane.whole_integration and lane_parts(lane.lane)[0] == integration.id
            )
    paragraphs += [
        f"! {lane.lane}: {_pending(lane)} since {format_time(lane.since_ms)}\n"
        f"    {lane.detail or 'Action required'} ({lane.reason})\n    {lane.hint}"
        for lane in lanes
        if not lane.whole_integration
    ]
    for line in ("\n\n".join(paragraphs) or "No lane is parked.").split("\n"):
        indent = " " * (len(line) - len(line.lstrip()))
        print_prose(line.lstrip(), first=indent, indent=indent or "  ")
    for count in counts:
        if count.failure and not (count.parked or count.integration_parked):
            pending = pluralize(count.pending - count.held, "delivery", "deliveries")
            command = f"ik-slack parked resume '{count.lane}'"
            click.echo(f"\n… {count.lane}: {pending}, retried automatically\n    {count.failure}")
            click.echo(f"    To try now, run `{command}`.")


def _pending(lane: ParkedLane) -> str:
    return pluralize(lane.pending, "delivery", "deliveries")

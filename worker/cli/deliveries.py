"""`ik-slack deliveries`: what became of each event for each subscription."""

from typing import TYPE_CHECKING

import click

from worker.asking.listing import matching, one_way
from worker.asking.plain import plain_one_way
from worker.asking.rows import event_ids, plain_delivery, shown
from worker.asking.wording import count, when
from worker.cli.explain import print_way
from worker.cli.running import as_json, print_json, print_table, run
from worker.domain.delivery import Delivery, State
from worker.store.pages import Where

if TYPE_CHECKING:
    from worker.bootstrap import Services

SHOWN_MOST = 50
Found = tuple[list[Delivery], dict[str, str], bool]


@click.group()
def command() -> None:
    """See what became of each delivery.

    \b
    ik-slack deliveries list --state parked
    ik-slack deliveries list --event deploy-4711
    ik-slack deliveries show 3f9a0c6b1d2e4f5a6b7c
    """


@command.command("list")
@click.option("--state", type=click.Choice([*map(str, State)]), help="Only those in this state.")
@click.option("--lane", metavar="LANE", help="Only those of this lane, such as 'ops/#alerts'.")
@click.option("--event", "event_id", metavar="ID", help="Only those of this event.")
@click.option(
    "--limit", type=click.IntRange(0), metavar="N", help=f"0 is all. Default: {SHOWN_MOST}, with --json all."
)
@as_json
def list_(
    state: str | None, lane: str | None, event_id: str | None, limit: int | None, as_json: bool
) -> None:
    """Deliveries, newest first.

    \b
    ik-slack deliveries list --state dead --limit 10
    ik-slack deliveries list --lane 'ops/#alerts' --state pending
    """
    most = limit if limit is not None else 0 if as_json else SHOWN_MOST

    async def work(made: "Services") -> Found:
        where = Where(State(state) if state else None, lane)
        found, more = await matching(made, where, event_id, most)
        return found, await event_ids(made, (one.event_ref for one in found)), more

    found, ids, more = run(work)
    if as_json:
        print_json([plain_delivery(one, ids[one.event_ref]) for one in found])
        return
    rows = [
        (one.id, when(one.created_at_ms), shown(ids[one.event_ref], 60), one.lane, one.state, _more(one))
        for one in found
    ]
    columns = ("Id", "Created", "Event", "Lane", "State", "Note")
    print_table(columns, rows, empty="No delivery to show.")
    if more:
        click.echo(f"The newest {count(len(found), 'delivery', 'deliveries')}; --limit 0 shows all.")


@command.command()
@click.argument("delivery_id", metavar="ID")
@as_json
def show(delivery_id: str, as_json: bool) -> None:
    """One delivery, with every call to Slack that told it or tried to.

    \b
    ik-slack deliveries show 3f9a0c6b1d2e4f5a6b7c --json
    """

    way, event_id = run(lambda made: one_way(made, delivery_id))
    if as_json:
        print_json(plain_one_way(way, event_id))
        return
    click.echo(f"Event {shown(event_id) or 'no longer kept'}")
    print_way(way)


def _more(delivery: Delivery) -> str:
    """What is worth a glance, in a few words."""
    match delivery.state:
        case State.MERGED:
            return f"told by {delivery.merged_into}"
        case State.DEAD:
            return shown(f"{delivery.error}: {delivery.detail}", 80)
        case State.DISCARDED:
            return delivery.error
        case _:
            calls = count(delivery.attempts, "call") if delivery.attempts > 1 else ""
            return ", ".join(filter(None, (calls, "perhaps twice" if delivery.repeated else "")))

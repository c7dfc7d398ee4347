"""`ik-slack deliveries`: what became of each event for each subscription."""

from functools import partial
from typing import TYPE_CHECKING

import click

from worker.asking.rows import event_ids, first, plain_delivery, shown
from worker.asking.story import Way, deliveries_of, way_of
from worker.asking.wording import count, when
from worker.cli.explain import plain_way, print_way
from worker.cli.running import as_json, print_json, print_table, run
from worker.domain.delivery import Delivery, State
from worker.domain.errors import Problem
from worker.pipeline.reading import event_of
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
        found, more = await _matching(made, where, event_id, most)
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

    async def work(made: "Services") -> tuple[Way, str]:
        found = await made.deliveries.find(delivery_id)
        if found is None:
            raise Problem(
                f"There is no delivery {delivery_id!r} (any more): finished ones are kept for RETENTION_S. "
                "See `ik-slack deliveries list`."
            )
        return await way_of(made, found), (await event_ids(made, [found.event_ref]))[found.event_ref]

    way, event_id = run(work)
    if as_json:
        plain = plain_way(way, event_id)
        print_json({**plain, "attempts": way.delivery.attempts, "history": plain["attempts"]})
        return
    click.echo(f"Event {shown(event_id) or 'no longer kept'}")
    print_way(way)


async def _matching(
    made: "Services", where: Where, event_id: str | None, most: int
) -> tuple[list[Delivery], bool]:
    """The newest so many that are asked for, or all for 0; and whether there are more."""
    if event_id is None:
        found = await first(partial(made.deliveries.page, where), most and most + 1)
    else:
        found = [
            one
            for one in await _of_event(made, event_id)
            if where.state in (None, one.state) and where.lane in (None, one.lane)
        ]
    return (found[:most], len(found) > most) if most else (found, False)


async def _of_event(made: "Services", event_id: str) -> list[Delivery]:
    """Of every event with this id, one a source."""
    events = [await event_of(made.events, record.ref) for record in await made.events.find(event_id)]
    found = [delivery for event in events if event for delivery in await deliveries_of(made, event)]
    return sorted(found, key=lambda one: (one.created_at_ms, one.seq), reverse=True)


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

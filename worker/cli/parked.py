"""`ik-slack parked`: what waits for a person, why, and the step that frees it."""

import difflib
from typing import TYPE_CHECKING

import click

from worker.asking.rows import Row, iso
from worker.asking.wording import count, when
from worker.cli.running import as_json, print_json, run
from worker.domain.delivery import lane_parts
from worker.domain.errors import Problem
from worker.domain.integration import Health, Integration
from worker.store.ledger import take_census
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
        print_json([_plain(one) for one in found])
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

    async def work(made: "Services") -> str:
        return await _resume(made, lane)

    click.echo(run(work, waking=True))


async def _resume(made: "Services", written: str) -> str:
    """What was done; Problem when the lane is none, or what stops it is not the lane's."""
    lane = await _named(made, written)
    one = next((one for one in await made.parked.all() if one.lane == lane), None)
    if one is None:
        return f"{lane} is not parked: there is nothing to resume."
    if one.whole_integration:
        raise Problem(f"{lane} waits for its integration, not for its channel: {one.detail}. {one.hint}")
    _, wake = await made.lanes.resume(lane, certain=False)
    if wake:
        await made.sweep.wake([lane])
    waiting = count(one.pending, "delivery", "deliveries")
    return f"{lane} goes on, {waiting} to tell. If it cannot, it parks again: `ik-slack parked list`."


async def _named(made: "Services", written: str) -> str:
    """The lane a person means; Problem when there is none, or several."""
    _, lanes = await take_census(made.server)
    known = sorted({one.lane for one in lanes} | {one.lane for one in await made.subscriptions.all()})
    matching = [one for one in known if one == written] or [
        one for one in known if lane_parts(one)[1] == written
    ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise Problem(f"Several lanes go to {written}; say which: {', '.join(matching)}.")
    similar = difflib.get_close_matches(written, known, n=3)
    did_you_mean = f"did you mean {' or '.join(similar)}?" if similar else "see `ik-slack parked list`."
    raise Problem(f"There is no lane {written!r}: {did_you_mean}")


def _plain(one: ParkedLane) -> Row:
    named = ("lane", "channel", "reason", "detail", "hint", "pending", "whole_integration")
    return {**{name: getattr(one, name) for name in named}, "since": iso(one.since_ms)}


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

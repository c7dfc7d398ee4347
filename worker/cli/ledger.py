"""`ik-slack ledger`: the balance of all events and deliveries, as of one moment."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from worker.asking.wording import count
from worker.cli.running import as_json, print_json, run
from worker.domain.errors import Problem
from worker.store.ledger import Balance, take_census

if TYPE_CHECKING:
    from worker.bootstrap import Services

Line = tuple[str, int, str]
DEAD = "dead-letters list"


@click.command()
@as_json
def command(as_json: bool) -> None:
    """Show that nothing is lost: every event and every delivery, by what became of it.

    Exits with 1 when something is unaccounted for.

    \b
    ik-slack ledger
    ik-slack ledger --json
    """

    async def work(made: "Services") -> Balance:
        return (await take_census(made.server))[0]

    balance = run(work)
    if as_json:
        print_json(asdict(balance))
    else:
        print_balance(balance)
    if balance.unaccounted:
        lost = count(balance.unaccounted, "event or delivery", "events or deliveries")
        raise Problem(
            f"The ledger does not balance: {lost} unaccounted for. Redis lost data, or we have a fault."
        )


def print_balance(balance: Balance, *, commands: bool = True) -> None:
    """What came in, what became of it, and whether the two are the same; with the commands that say more."""
    lines: tuple[Line | None, ...] = (
        ("accepted", balance.accepted, "distinct events"),
        ("suppressed", balance.suppressed, "of them, for no subscription"),
        ("repeats ignored", balance.repeats_ignored, "published again"),
        (
            "rejected",
            balance.rejected,
            _see(balance.rejected, "unreadable entries", f"{DEAD} --reason unreadable", commands),
        ),
        None,
        ("created", balance.created, "deliveries"),
        None,
        ("delivered", balance.delivered, "messages"),
        ("merged", balance.merged, "told in another delivery's message"),
        ("pending", balance.pending, ""),
        ("parked", balance.parked, _see(balance.parked, "wait for a person", "parked list", commands)),
        ("dead", balance.dead, _see(balance.dead, "nobody tries again", DEAD, commands)),
        ("discarded", balance.discarded, "a person decided"),
        None,
        ("repeated", balance.repeated, "posts made again after an unknown outcome"),
    )
    width = max(len(f"{line[1]:,}") for line in lines if line)
    for line in lines:
        click.echo("" if line is None else f"{line[0]:<15}  {line[1]:>{width},}  {line[2]}".rstrip())
    click.echo()
    text = f"{'unaccounted':<15}  {balance.unaccounted:>{width},}"
    if balance.unaccounted:
        click.secho(f"{text}  ✗ DOES NOT BALANCE", fg="red", bold=True)
    else:
        click.echo(f"{text}  ✓ everything is accounted for")


def _see(number: int, meaning: str, command: str, commands: bool) -> str:
    """What a number means, and where the things it counts are listed when there are any."""
    return f"{meaning}: `ik-slack {command}`" if number and commands else meaning

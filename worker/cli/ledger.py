"""`ik-slack ledger`: whether every event and delivery is accounted for."""

from dataclasses import asdict

import click

from worker.cli.output import as_json, print_json
from worker.cli.stores import read
from worker.domain.errors import UserError
from worker.services.formatting import pluralize
from worker.store.ledger import Balance, take_ledger_snapshot

#: Each count's meaning, and the command that lists what it counts.
ROWS = {
    "accepted": ("distinct events", ""),
    "suppressed": ("of these events, without a delivery", ""),
    "repeats_ignored": ("published again", ""),
    "rejected": ("unreadable entries", "dead-letters list"),
    "created": ("deliveries", ""),
    "delivered": ("in messages", ""),
    "merged": ("in another delivery's message", ""),
    "pending": ("not yet sent", ""),
    "parked": ("action required", "parked list"),
    "dead": ("not retried automatically", "dead-letters list"),
    "discarded": ("by a user", ""),
    "lost": ("removed from the stream before they were read", ""),
    "repeated": ("posted again after an unknown outcome", ""),
}


@click.command()
@as_json
def ledger(as_json: bool) -> None:
    """Count all events and deliveries; check that none is lost. Exits with 1 when something is unaccounted for."""
    balance = read(lambda stores: take_ledger_snapshot(stores.redis)).balance
    if as_json:
        print_json(asdict(balance))
    else:
        print_balance(balance)
    if balance.unaccounted:
        lost = pluralize(balance.unaccounted, "event or delivery", "events or deliveries")
        raise UserError(
            f"The ledger does not balance: {lost} unaccounted for. Check whether Redis lost data; if it did not, "
            "this is a bug to report."
        )


def print_balance(balance: Balance, *, with_commands: bool = True) -> None:
    """Print the counts and whether they balance; `with_commands` names the command that lists a non-zero count."""
    counts = asdict(balance)
    width = max(len(f"{count:,}") for count in counts.values())
    for name, (meaning, listing) in ROWS.items():
        see = f": `ik-slack {listing}`" if listing and counts[name] and with_commands else ""
        click.echo(f"{name.replace('_', ' '):<15}  {counts[name]:>{width},}  {meaning}{see}")
    line = f"{'unaccounted':<15}  {balance.unaccounted:>{width},}"
    if balance.unaccounted:
        click.secho(f"{line}  ✗ DOES NOT BALANCE", fg="red", bold=True)
    else:
        click.echo(f"{line}  ✓ everything is accounted for")

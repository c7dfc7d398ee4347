"""`ik-slack audit`: who changed what."""

import click

from worker.cli.context import run
from worker.cli.output import as_json, print_json, print_table
from worker.services.formatting import format_json_time, format_time
from worker.store.audit import AuditTrail


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Maximum number of rows.")
@as_json
def command(limit: int, as_json: bool) -> None:
    """List the newest changes: who made them, what they were and how they ended.

    They come from the console, the HTTP API, commands and Flower. The last 10,000 are kept.

    \b
    ik-slack audit --limit 10
    """
    entries = run(lambda app: AuditTrail(app.redis).find_newest(limit))
    if as_json:
        print_json(
            [
                {"at": format_json_time(entry.at_ms), "who": entry.who, "what": entry.what, "which": entry.which,
                 "outcome": entry.outcome}
                for entry in entries
            ]
        )  # fmt: skip
        return
    rows = [(format_time(entry.at_ms), entry.who, entry.what, entry.which, entry.outcome) for entry in entries]
    print_table(("Time", "Who", "What", "Which", "Outcome"), rows, empty="No change yet.")

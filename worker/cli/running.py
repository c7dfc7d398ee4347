"""What most commands share: settings, the services of one event loop, and printing for people or machines."""

import asyncio
import json
import logging.config
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from config.logs import log_config
from config.settings import Settings

if TYPE_CHECKING:
    from worker.bootstrap import Services

Answer = TypeVar("Answer")

LONG_TABLE = 500  # rows: rich takes a second for some thousands, and nobody reads so many wrapped

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")


def run(work: "Callable[[Services], Coroutine[Any, Any, Answer]]", *, waking: bool = False) -> Answer:
    """Do something with the services of this environment; `waking` when it wakes lanes."""
    from worker.bootstrap import services
    from worker.bootstrap.calls import make_celery

    settings = Settings.load()
    logging.config.dictConfig(log_config(settings.model_copy(update={"log_level": "ERROR"})))

    async def main() -> Answer:
        celery = make_celery(settings) if waking else None
        async with services(settings, celery=celery) as made:
            await made.origin.require()
            return await work(made)

    return asyncio.run(main())


def print_json(value: object) -> None:
    """One JSON value."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """A table as wide as the terminal, or one line when there is nothing to show."""
    if not rows:
        click.echo(empty)
        return
    if len(rows) > LONG_TABLE:
        _print_long_table(columns, rows)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    # Into a pipe a row is a line, however long.
    Console(width=None if sys.stdout.isatty() else 500).print(table)


def _print_long_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """The same table, as wide as it is."""
    from rich.cells import cell_len

    cells = [columns, *([str(cell) for cell in row] for row in rows)]
    sizes = [[cell_len(cell) for cell in row] for row in cells]
    widths = [max(column) for column in zip(*sizes, strict=True)]
    lines = [
        "   ".join(
            cell + " " * (width - size) for cell, size, width in zip(row, measured, widths, strict=True)
        )
        for row, measured in zip(cells, sizes, strict=True)
    ]
    lines.insert(1, "─" * len(lines[0]))
    click.echo("\n".join(lines))

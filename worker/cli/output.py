"""Output of commands: JSON, tables, facts, checks and warnings."""

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence

import click
from pydantic_core import to_jsonable_python

GAP, INDENT = "  ", "    "
COLOURS = {"✓": "green", "!": "yellow", "✗": "red"}

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")


def print_json(value: object) -> None:
    """Print one JSON value, which may contain schemas and dataclasses."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=to_jsonable_python))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Print a table, or `empty` without rows; the most important columns are first.

    In a terminal the columns that do not fit are printed below each row, with their names and unbroken words; in a
    pipe a row is one line.
    """
    from rich.cells import cell_len

    if not rows:
        click.echo(empty)
        return
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    is_terminal, fitting = sys.stdout.isatty(), len(columns)
    terminal_width = shutil.get_terminal_size().columns if is_terminal else 0
    while is_terminal and fitting > 1 and sum(widths[:fitting]) + len(GAP) * (fitting - 1) > terminal_width:
        fitting -= 1

    def join(row: Sequence[str]) -> str:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths[:fitting], strict=False))
        return GAP.join(padded).rstrip()

    header = join(columns)
    if not is_terminal:
        click.echo("\n".join((header, join(["─" * it for it in widths]), *map(join, cells))))
        return
    click.echo(click.style(header, bold=True))
    for row in cells:
        click.echo(join(row))
        below = zip(columns[fitting:], row[fitting:], strict=True)
        text = " · ".join(f"{name.lower()}: {value}" for name, value in below if value)
        lines = textwrap.wrap(text, terminal_width - len(INDENT), break_long_words=False, break_on_hyphens=False)
        click.echo("".join(f"{INDENT}{line}\n" for line in lines), nl=False)


def print_prose(text: str, *, first: str = "", indent: str = "") -> None:
    """Print a text behind `first`, in a terminal broken between words, with further lines indented."""
    if sys.stdout.isatty():
        width = max(shutil.get_terminal_size().columns - len(indent), 20)
        lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
        text = f"\n{indent}".join(lines)
    click.echo(f"{first}{text}")


def print_facts(*facts: tuple[str, object]) -> None:
    """Print names and values in two columns, without facts that have no value."""
    rows = [(name, str(value)) for name, value in facts if value not in ("", None, ())]
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        print_prose(value, first=f"{name:<{width}}  ", indent=" " * (width + 2))


def print_checks(checks: Sequence[tuple[str, str, str, object]]) -> None:
    """Print a line for each check: its sign (✓, ! or ✗), name and detail, and below it the fix of a failed check."""
    width = max((len(name) for _, name, _, _ in checks), default=0)
    for sign, name, detail, fix in checks:
        start = f"{click.style(sign, fg=COLOURS[sign])} {name:<{width}}  "
        print_prose(detail, first=start, indent=" " * (width + 4))
        if fix:
            print_prose(str(fix), first=" " * (width + 4), indent=" " * (width + 4))


def warn(warnings: Sequence[str]) -> None:
    """Print warnings on stderr."""
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)


def show_progress(text: str) -> None:
    """Show a text on stderr: in a terminal in place of the last one, else on a line of its own."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text}", err=True, nl=False)
    elif text:
        click.echo(text, err=True)

"""How one thing is shown: its facts in two columns, checks with their mend, counts; and as JSON."""

from collections.abc import Sequence

import click

from worker.pipeline.connect import Check


def print_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Names and values; what has no value is left out."""
    shown = [(name, str(value)) for name, value in facts if value not in ("", None, ())]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name:<{width}}  {value}")


def print_checks(checks: Sequence[Check]) -> None:
    """One line each, and under a failed one the step that mends it."""
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        click.echo(f"{'✓' if check.passed else '✗'} {check.name:<{width}}  {check.detail}")
        if check.mend:
            click.echo(f"  {'':<{width}}  {check.mend}")


def print_indented(text: str) -> None:
    """A text of several lines, which the terminal shows and does not obey."""
    click.echo()
    for line in text.splitlines():
        click.echo(f"    {''.join(sign for sign in line.expandtabs(4) if sign.isprintable())}".rstrip())


def warn(said: Sequence[str]) -> None:
    """Warnings, on stderr."""
    for line in said:
        click.echo(f"Warning: {line}", err=True)

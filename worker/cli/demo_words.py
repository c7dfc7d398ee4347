"""What the demo says: where to look, what to try, the story in words, and how far it got."""

import os
import time
from pathlib import Path
from typing import TextIO

import click

from worker.cli.demo_story import Scene
from worker.cli.sandbox import NOT_INVITED
from worker.cli.stage import Stage
from worker.store.ledger import Balance


def introduce(on: Stage, run: str) -> None:
    """The addresses, and the next commands."""
    slack = on.sandbox.url
    control = "curl -s -H 'Content-Type: application/json'"
    _title("Open")
    _table(
        (slack, "Slack as people see it, channel by channel"),
        (f"{on.web_url}/", "the console: how everything stands, and what waits for you"),
        *_flower(on.flower_url),
        (f"{on.web_url}/metrics", "what Prometheus reads"),
    )
    _title("Try, in another terminal")
    _table(
        (f". {_short(on.folder / 'env')}", "the settings of this demo, for that terminal"),
        ("ik-slack ledger", "the balance: nothing is lost"),
        ("ik-slack parked list", "a channel the bot was not invited to, and the step that helps"),
        ("ik-slack dead-letters list", "an entry that was cut off in its middle"),
        (f"ik-slack explain checkout-api-failed-4-{run}", "the whole way of one event"),
    )
    _title(f"Invite the bot to #{NOT_INVITED}, as a person would: what waits there arrives in seconds")
    click.echo(f'  {control} -d \'{{"channel": "{NOT_INVITED}"}}\' {slack}sandbox/invite')
    _title("Let Slack fail for a while: Flower shows who waits, and why. End it with false")
    click.echo(f"  {control} -d '{{\"on\": true}}' {slack}sandbox/outage")
    _title("Or kill ingest, worker or Flower: it is started again, and nothing is lost")
    click.echo(f"  What the programs say is in {_short(on.folder / 'log')}.")
    _title("The story")


def _flower(url: str) -> list[tuple[str, str]]:
    if not url:
        return [("Flower is left out", "pip install 'infrakitchen-slack[flower]'")]
    return [
        (f"{url}/tasks", "Flower: every wake-up call"),
        (f"{url}/tasks?name=slack.dead_letter", "its dead letters"),
        (f"{url}/tasks?state=RETRY", "lanes that wait out a failure"),
        (f"{url}/broker", "how many wake-up calls and dead letters there are"),
    ]


def say_scene(scene: Scene) -> None:
    """One scene in words, those that need any."""
    if scene.says:
        say(scene.says)


def say(line: str) -> None:
    """A line of what happens, with the time."""
    click.echo(f"  {click.style(time.strftime('%H:%M:%S'), dim=True)}  {line}")


class Progress:
    """One line on a terminal that is written over; elsewhere nothing."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown = out.isatty()

    def published(self, number: int, of: int) -> None:
        """So many samples are in the stream."""
        self._show(f"published {number:,} of {of:,}")

    def balance(self, now: Balance) -> None:
        """How much of it is told."""
        told = now.delivered + now.merged
        self._show(
            f"told {told:,} of {now.created:,} deliveries, {now.pending:,} pending, {now.parked:,} parked"
        )

    def note(self, line: str) -> None:
        """Something worth a line of its own."""
        click.echo(line, file=self._out)

    def end(self) -> None:
        """Leave the terminal clean."""
        self._show("")

    def _show(self, line: str) -> None:
        if self._shown:
            click.echo(f"\r\033[K{line}", file=self._out, nl=False)


def _title(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)


def _table(*rows: tuple[str, str]) -> None:
    width = max(len(left) for left, _ in rows)
    for left, right in rows:
        click.echo(f"  {left:<{width}}   {right}")


def _short(path: Path) -> str:
    """A path as it is typed from here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)

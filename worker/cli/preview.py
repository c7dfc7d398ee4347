"""`ik-slack preview`: what would be posted for the events of a file, without posting it."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from config.settings import Settings
from worker.asking.previewing import Unmatched, as_told, by_template, plain, read, sent_of, sort_out
from worker.asking.rows import shown
from worker.asking.wording import count
from worker.cli.files import events_of, file_argument, template_option, text_of
from worker.cli.running import as_json, print_json, run
from worker.domain.subscription import Subscription

if TYPE_CHECKING:
    from rich.console import RenderableType

    from worker.slack.blocks import JsonObject
    from worker.slack.limits import Use

WIDEST = 100
NAMED_MOST = 5


@click.command()
@file_argument
@click.option("--subscription", "subscription_id", metavar="ID", help="What this subscription makes of them.")
@click.option(
    "--png", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT.png",
    help="Draw the message as Slack would, with Chromium, into this file.",
)  # fmt: skip
@template_option
@as_json
def command(
    file: IO[bytes], subscription_id: str | None, png: Path | None, template_file: IO[bytes] | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Show what would be posted for events, and post nothing.

    FILE holds events as `publish` takes them; several become one message, as if all had waited together.
    Shown are the message, its plain text (the line on a phone), and every limit of Slack's it comes near.

    Nothing has to run for this. Links lead to INFRAKITCHEN_URL. Only --subscription reads Redis: it adds the
    subscription's mention and template, and leaves out events it does not match. --template tries a template
    without saving it.

    \b
    ik-slack preview event.json
    ik-slack preview events.json --subscription sub-1a2b3c4d
    ik-slack preview event.json --png message.png
    ik-slack preview event.json --template deploys.j2
    jq '.events[0]' export.json | ik-slack preview -

    \b
    To paste into https://app.slack.com/block-kit-builder:
    ik-slack preview event.json --json | jq '{blocks, attachments}'
    """
    base = Settings.load().infrakitchen_url or ""
    events, repeats = read(events_of(file, "There is nothing to preview"), time.time_ns() // 1_000_000)
    subscription = run(lambda made: as_told(made, subscription_id)) if subscription_id else None
    told, unmatched = sort_out(events, subscription)
    if template_file:
        told = by_template(told, text_of(template_file))
    sent, fault = sent_of(told, base)
    _say_notes(repeats, str(fault or ""))
    _say_unmatched(unmatched, subscription)
    if as_json:
        print_json(plain(sent, unmatched))
    _show(sent, subscription, png, printing=not as_json)


def _show(
    sent: "JsonObject | None", subscription: Subscription | None, png: Path | None, *, printing: bool
) -> None:
    if png and sent:
        draw(sent, png)
    elif printing and sent:
        _print(sent, subscription)
    elif printing:
        click.echo("Nothing would be posted.")


def _say_notes(repeats: int, fault: str) -> None:
    if repeats:
        again = count(repeats, "event repeats an earlier one", "events repeat earlier ones")
        click.echo(f"Note: {again} (same source and id) and would not be told again.", err=True)
    if fault:
        click.echo(f"Note: the template fails, the default message is posted: {fault}.", err=True)


def draw(sent: "JsonObject", out: Path) -> None:
    """A preview as a picture; Problem when there is no browser to draw it."""
    from worker.cli.camera import photograph
    from worker.sandbox.page import picture
    from worker.sandbox.state import Post

    now = datetime.now(UTC).astimezone()
    photograph(picture([Post("", f"{now.timestamp():.6f}", sent)], now), out)
    click.echo(f"Drawn in {out}.", err=True)


def sheet(sent: "JsonObject", where: str, now: datetime, *, linking: bool) -> "RenderableType":
    """A preview for people: the message, its plain text, the limits it comes near."""
    from rich.console import Group
    from rich.text import Text

    from worker.cli.drawing import Beside, Drawing
    from worker.slack.limits import near

    draw = Drawing(now, linking=linking)
    limits = Text("\n".join(map(in_words, near(sent))), "yellow") or Text("far from every limit")
    parts: tuple[tuple[str, RenderableType], ...] = (
        (where, draw.message(sent)),
        ("Plain text", draw.text(sent.get("text"))),
        ("Limits", limits),
    )
    return Group(*(Group(Text(title, "bold"), Beside(part, sign="  "), "") for title, part in parts))


def in_words(use: "Use") -> str:
    """`text of section 2: 2,710 of 3,000 characters`."""
    over = ", more than Slack takes" if use.used > use.limit else ""
    return f"{use.name}: {use.used:,} of {use.limit:,} {use.unit}".rstrip() + over


def _print(sent: "JsonObject", subscription: Subscription | None) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.width = min(console.width, WIDEST)
    where = f"In Slack, {shown(subscription.destination)}" if subscription else "In Slack"
    now = datetime.now(UTC).astimezone()
    console.print(sheet(sent, where, now, linking=console.is_terminal), end="")


def _say_unmatched(unmatched: Sequence[Unmatched], subscription: Subscription | None) -> None:
    """On stderr, a line for each reason."""
    who = subscription.id if subscription else ""
    by_reason: dict[str, list[Unmatched]] = {}
    for one in unmatched:
        by_reason.setdefault(one.reason, []).append(one)
    for reason, some in by_reason.items():
        named = ", ".join(str(one.place) for one in some[:NAMED_MOST])
        more = f" and {len(some) - NAMED_MOST:,} more" if len(some) > NAMED_MOST else ""
        which = f"event{'s' if len(some) > 1 else ''} {named}{more}"
        click.echo(f"Note: {who} does not match {which}: {reason}.", err=True)

"""`ik-slack preview`: the message for the events of a file, without posting it."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from config.settings import Settings
from worker.cli.context import file_argument, read_text, run, template_option
from worker.cli.output import as_json, print_json
from worker.cli.publish import read_events
from worker.message_preview.mrkdwn_parser import Element, Parts, Tag, parse
from worker.services.formatting import pluralize, printable
from worker.services.preview import get_templated_subscription, preview_events
from worker.services.schemas import PreviewSchema

if TYPE_CHECKING:
    from worker.slack.blocks import JsonObject, LimitUse

NAMED_EVENTS_MAX = 5


@click.command()
@file_argument
@click.option("--subscription", "subscription_id", metavar="ID", help="Preview for this subscription.")
@click.option(
    "--png", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT.png",
    help="Draw the message as Slack does, with Chromium, into this file.",
)  # fmt: skip
@template_option
@as_json
def command(
    file: IO[bytes], subscription_id: str | None, png: Path | None, template_file: IO[bytes] | None, as_json: bool
) -> None:
    """Show the message for events, without posting it.

    FILE holds events or bodies of webhooks as `publish` takes them; several events become one message. Shown
    are the message, its plain text (as in a notification), and each limit of Slack that it comes near.

    Redis is read only for --subscription, which adds the subscription's mention and template, and leaves out
    events that it does not match. --template tries a template without saving it. Links lead to
    INFRAKITCHEN_URL.

    \b
    ik-slack preview event.json --template deploys.j2 --png message.png

    \b
    To paste into https://app.slack.com/block-kit-builder:
    ik-slack preview event.json --json | jq '{blocks, attachments}'
    """
    encoded = read_events(file, "Nothing to preview").events
    subscription = run(lambda app: get_templated_subscription(app, subscription_id)) if subscription_id else None
    preview = asyncio.run(
        preview_events(
            encoded,
            now_ms=time.time_ns() // 1_000_000,
            subscription=subscription,
            template=read_text(template_file) if template_file else None,
            infrakitchen_url=Settings.load().infrakitchen_url or "",
        )
    )
    if preview.repeats:
        repeated = pluralize(preview.repeats, "event repeats an earlier event", "events repeat earlier events")
        _note(f"{repeated} (same source and id) and would not be posted again")
    if preview.template_fault:
        _note(f"the template fails, so the default message is posted: {preview.template_fault}")
    by_reason: dict[str, list[str]] = {}
    for event in preview.unmatched if subscription else ():
        by_reason.setdefault(event.reason, []).append(str(event.place))
    for reason, places in by_reason.items():
        more = f" and {len(places) - NAMED_EVENTS_MAX:,} more" if len(places) > NAMED_EVENTS_MAX else ""
        events = f"event{'s' if len(places) > 1 else ''} {', '.join(places[:NAMED_EVENTS_MAX])}{more}"
        _note(f"{subscription_id} does not match {events}: {reason}")
    if as_json:
        print_json(PreviewSchema.of_preview(preview))
    now = datetime.now(UTC).astimezone()
    if png and preview.message:
        from worker.message_preview.html import ShownMessage, render_messages
        from worker.message_preview.screenshot import take_screenshot

        take_screenshot(render_messages([ShownMessage(f"{now.timestamp():.6f}", preview.message)], now), png)
        click.echo(f"Drawn in {png}.", err=True)
    elif preview.message and not as_json:
        title = ", ".join(("In Slack", *map(printable, preview.destinations)))
        click.echo(format_preview(preview.message, title, now))
    elif not as_json:
        click.echo("Nothing would be posted.")


def _note(text: str) -> None:
    click.echo(f"Note: {text}.", err=True)


def format_preview(sent: "JsonObject", title: str, now: datetime) -> str:
    """Return the texts of a message, its plain text, and the limits it comes near."""
    from worker.slack.blocks import find_near_limits

    limits = "\n".join(map(describe_use, find_near_limits(sent))) or "not near any limit"
    message = "\n\n".join(_block_texts(sent, now)) or _text(sent, now)
    paragraphs = []
    for heading, text in ((title, message), ("Plain text", _text(sent, now)), ("Limits", limits)):
        # No character of an event can move the cursor or change the terminal.
        lines = ("".join(filter(str.isprintable, line)).rstrip() for line in text.expandtabs(4).split("\n"))
        body = "\n".join(f"  {line}" if line else "" for line in lines)
        paragraphs.append(f"{click.style(heading, bold=True)}\n{body}\n")
    return "\n".join(paragraphs)


def describe_use(use: "LimitUse") -> str:
    """Return a limit and its use, such as `text of section 2: 2,710 of 3,000 characters`."""
    over = ", more than Slack accepts" if use.used > use.limit else ""
    return f"{use.name}: {use.used:,} of {use.limit:,} {use.unit}".rstrip() + over


def _block_texts(sent: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """Yield the text of each block of a message and of its attachments."""
    for block in sent.get("blocks") or ():
        match block.get("type"):
            case "section":
                texts = (block.get("text"), *(block.get("fields") or ()))
                yield "\n".join(_text(text, now) for text in texts if text)
            case "context":
                yield "   ".join(_text(element, now) for element in block.get("elements") or ())
            case "divider":
                yield "───"
            case other:
                yield f"({other} block, not drawn here)"
    for attachment in sent.get("attachments") or ():
        yield from _block_texts(attachment, now)


def _text(value: Mapping[str, Any], now: datetime) -> str:
    return _plain(parse(str(value.get("text") or ""), now)).strip("\n")


def _plain(parts: Parts) -> str:
    """Return parsed mrkdwn without styles; the address of a link follows it, code blocks have lines of their own."""
    return "".join(part if isinstance(part, str) else _plain_element(part) for part in parts)


def _plain_element(element: Element) -> str:
    text = _plain(element.inside)
    match element.tag:
        case Tag.QUOTE:
            return "\n> " + text.replace("\n", "\n> ") + "\n"
        case Tag.CODE_BLOCK:
            return f"\n{text}\n"
        case Tag.LINK:
            return f"{text} ({element.detail})"
        case _:
            return text

"""`ik-slack publish`: put the events of a file into the stream; if one is wrong, none is published."""

import asyncio
import sys
from typing import IO

import click

from config.settings import Settings
from worker import publish
from worker.bootstrap.redis_urls import open_redis
from worker.cli.context import file_argument, read_text
from worker.cli.output import as_json, print_json, warn
from worker.cli.stores import REDIS_TIMEOUT_S
from worker.domain.errors import UserError
from worker.services.formatting import pluralize
from worker.services.publishing import EventFile, convert_bodies, encode_with_rounds, load_label_mapping
from worker.store.events import Events
from worker.store.redis_client import texts
from worker.store.redis_errors import StoreUnavailable

BATCH = 500


@click.command()
@file_argument
@as_json
def command(file: IO[bytes], as_json: bool) -> None:
    """Publish the events of a file, or none if one is wrong.

    FILE holds a JSON object, an array of objects, or JSON lines: events, or requests of Alertmanager or Grafana
    as their webhooks take them. Each alert is then an event; a wrong alert is left out with a warning. With
    --json, the ids of the stream's entries are printed.

    \b
    jq -c '.[]' events.json | ik-slack publish -
    """
    events = read_events(file, "Nothing was published")
    entry_ids = asyncio.run(_publish(events))
    if as_json:
        print_json(entry_ids)
    else:
        click.echo(f"Published {pluralize(len(entry_ids), 'event')}.")


async def _publish(file: EventFile) -> list[str]:
    """Publish events and return their entry ids; neither ENCRYPTION_KEY nor Slack is needed."""
    settings, entry_ids = Settings.load(), list[str]()
    total = len(file.events)
    is_hidden = total <= BATCH or not sys.stderr.isatty()
    try:
        async with open_redis(settings, timeout_s=REDIS_TIMEOUT_S) as redis:
            stored = Events(redis, life_s=0, retention_s=0)
            events = await encode_with_rounds(stored, file, await redis.now_ms()) if file.alerts else file.events
            starts = range(0, total, BATCH)
            with click.progressbar(starts, label="Publishing", file=sys.stderr, hidden=is_hidden) as progress:
                for start in progress:
                    batch = events[start : start + BATCH]
                    commands = [("XADD", settings.events_stream, "*", "event", raw) for raw in batch]
                    entry_ids += texts(await redis.pipeline(commands))
    except StoreUnavailable as error:
        if not entry_ids:
            raise
        raise UserError(
            f"{error.failure.reason} ({error}) after {len(entry_ids)} of {pluralize(total, 'event')} were published. "
            "Publish the file again: each event is delivered once."
        ) from None
    return entry_ids


def read_events(file: IO[bytes], failure: str) -> EventFile:
    """Return the events of a file, with warnings for the alerts that a webhook would leave out.

    Raises UserError, which begins with `failure` and names the first wrong event.
    """
    try:
        read = convert_bodies(publish.read_events(read_text(file)), load_label_mapping(Settings.load().alert_labels))
    except ValueError as error:
        raise UserError(f"{failure}: {str(error).rstrip('.')}.") from None
    warn(read.faults)
    return read

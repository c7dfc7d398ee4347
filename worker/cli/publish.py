"""`ik-slack publish`: events of a file go into the stream, all of them or, if one is wrong, none."""

import asyncio
import sys
from typing import IO

import click

from worker.asking.wording import count
from worker.cli.files import events_of, file_argument
from worker.cli.running import as_json, print_json
from worker.domain.errors import Problem

BATCH = 500


@click.command()
@file_argument
@as_json
def command(file: IO[bytes], as_json: bool) -> None:
    """Publish events: a JSON object, an array of them, or JSON lines.

    Every event is read first; if one is wrong, none is published.

    \b
    ik-slack publish events.json
    echo '{"specversion": "1.0", "id": "1", "source": "/me", "type": "hello"}' | ik-slack publish -
    """
    events = events_of(file, "Nothing was published")
    entry_ids = asyncio.run(_publish(events))
    if as_json:
        print_json(entry_ids)
        return
    click.echo(f"published {len(events)} event{'' if len(events) == 1 else 's'}")


async def _publish(events: list[bytes]) -> list[str]:
    """The entry ids, in order. Neither the key ring nor Slack is needed for this."""
    from config.settings import Settings
    from worker.bootstrap.where import addresses, client_of
    from worker.store.server import Server, Unavailable, texts

    settings = Settings.load()
    server = Server(client_of(addresses(settings)[0]))
    entry_ids: list[str] = []
    batches = range(0, len(events), BATCH)
    silent = len(events) <= BATCH or not sys.stderr.isatty()
    try:
        with click.progressbar(batches, label="Publishing", file=sys.stderr, hidden=silent) as progress:
            for start in progress:
                some = [
                    ("XADD", settings.events_stream, "*", "event", raw)
                    for raw in events[start : start + BATCH]
                ]
                entry_ids += texts(await server.each(some))
    except Unavailable as error:
        if not entry_ids:
            raise
        raise Problem(
            f"Redis failed ({error}) when {len(entry_ids)} of {count(len(events), 'event')} were published. "
            "Publish the file again: an id that was published before is told once."
        ) from None
    finally:
        await server.aclose()
    return entry_ids

"""What `channels refresh` shows while it reads: a line that changes, or in a pipe a line a page."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from worker.asking.wording import count
from worker.domain.errors import NotYet, Problem
from worker.domain.integration import Integration
from worker.domain.markup import duration

if TYPE_CHECKING:
    from worker.bootstrap import Services

PATIENCE_S = 300.0  # without any sign that somebody reads
LOOK_EVERY_S = 1.0


async def read_now(made: "Services", integration: Integration) -> int:
    """How many pages the directory has, read by us, or by a worker that was at it already.

    Problem when nothing comes for PATIENCE_S, or Slack asks to wait for longer.
    """
    token = await made.integrations.token(integration.id)
    before = await made.directory.known(integration.id)
    of_about = f" of about {before.pages}" if before.pages else ""
    began = sign_at = time.monotonic()
    waits = ""
    with _line() as show:

        def progress(pages: int, channels: int) -> None:
            nonlocal sign_at
            sign_at = time.monotonic()
            total = of_about if pages <= before.pages else ""
            show(f"Page {pages}{total}: {count(channels, 'channel')} so far, {duration(sign_at - began)}")

        while True:
            try:
                return (
                    await made.reader.read(
                        integration, token, unless_younger_s=time.monotonic() - began, progress=progress
                    )
                    or (await made.directory.known(integration.id)).pages
                )
            except NotYet as error:
                if error.reason != waits:
                    waits, sign_at = error.reason, time.monotonic()
                    show(f"Waiting: {waits}")
                if time.monotonic() - sign_at + error.wait_s > PATIENCE_S:
                    raise Problem(_not_read(integration, error)) from None
                await asyncio.sleep(min(error.wait_s, LOOK_EVERY_S))


def _not_read(integration: Integration, error: NotYet) -> str:
    again = f"in {duration(error.wait_s)}" if error.wait_s > PATIENCE_S else "in a minute"
    return (
        f"The channels of {integration.name} were not read ({error.reason}): try again {again}. "
        "What was known of them before stays in use."
    )


@contextmanager
def _line() -> Iterator[Callable[[str], None]]:
    """Shows texts on stderr: each in the place of the last on a terminal, else below it."""
    if not sys.stderr.isatty():
        yield lambda text: click.echo(text, err=True)
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text("Asking Slack …")) as status:
        yield lambda text: status.update(Text(text))

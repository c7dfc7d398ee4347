"""`ik-slack ingest`: the process that turns the stream into lanes."""

import asyncio
import logging.config
import signal

import click

from config.logs import log_config
from config.settings import Settings
from worker.bootstrap import Stopping, services
from worker.bootstrap.calls import make_celery


@click.command()
def command() -> None:
    """Read the stream and put deliveries into lanes, until stopped.

    Any number may run, on any machine. `ik-slack up` starts one.
    """
    settings = Settings.load()
    logging.config.dictConfig(log_config(settings))
    asyncio.run(_ingest(settings))


async def _ingest(settings: Settings) -> None:
    stopping = Stopping()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with services(settings, celery=make_celery(settings), stopping=stopping) as made:
        made.vault.require()
        await made.ingest.run()

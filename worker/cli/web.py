"""`ik-slack web`: the process that answers over HTTP."""

import asyncio
import logging.config
import signal
import socket

import click

from config.logs import log_config
from config.settings import Settings
from worker.bootstrap import Stopping, services
from worker.cli.before import guard_web


@click.command()
def command() -> None:
    """Serve the console, the API, webhooks, health and metrics over HTTP, until stopped.

    It listens on WEB_HOST and WEB_PORT, by default for this machine only; for others it wants API_TOKEN or
    ADMIN_PASSWORD set: the console asks for the latter. `ik-slack up` starts one.

    \b
    Examples:
      ik-slack web                           the console is at http://127.0.0.1:8765/
      curl http://127.0.0.1:8765/healthz     the process lives
      curl http://127.0.0.1:8765/readyz      Redis answers, the stream is there, a worker was seen
      curl http://127.0.0.1:8765/metrics     for Prometheus
      WEB_HOST=0.0.0.0 ADMIN_PASSWORD_FILE=/run/secrets/admin-password ik-slack web
    """
    settings = Settings.load()
    logging.config.dictConfig(log_config(settings))
    guard_web(settings)
    from worker.web.app import listen

    with listen(settings.web_host, settings.web_port) as listening:
        asyncio.run(_serve(settings, listening))


async def _serve(settings: Settings, listening: socket.socket) -> None:
    from worker.bootstrap.calls import make_celery
    from worker.web.app import make_app, serve

    stopping = Stopping()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with services(settings, celery=make_celery(settings), stopping=stopping) as made:
        await serve(make_app(made), listening, stopping)

"""`ik-slack alive`: whether a process of this host runs, for container probes. It imports little, as it runs often."""

from urllib.request import ProxyHandler, build_opener

import click

from config.settings import Settings
from worker.domain.errors import UserError
from worker.local_machine import ALIVE_S, has_life_sign

ROLES = ("worker", "ingest", "bridge", "web", "flower")
FLOWER_TIMEOUT_S = 3.0


@click.command()
@click.argument("role", type=click.Choice(ROLES))
def command(role: str) -> None:
    """Exit with 0 when a process of ROLE runs on this host and gave a sign of life in the last 15 s, else with 1.

    For container probes: it does not ask Redis, so that an outage of Redis restarts nothing.

    \b
    ik-slack alive worker
    """
    settings = Settings.load()
    if role == "flower":
        is_alive = _answers(f"http://127.0.0.1:{settings.flower_port}/healthcheck")
    else:
        is_alive = has_life_sign(settings.key_prefix, role)
    if not is_alive:
        raise UserError(f"No {role} process gave a sign of life on this host in the last {ALIVE_S:g} s.")


def _answers(url: str) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=FLOWER_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

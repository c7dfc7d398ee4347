"""Where Redis and the broker are."""

from config.sentinel import SCHEME, parse_sentinel
from config.settings import Settings
from worker.domain.errors import Problem
from worker.sandbox.redis import running_url
from worker.store.connection import Client, connect, connect_by_sentinels


def addresses(settings: Settings) -> tuple[str, str]:
    """Of Redis and of the broker; Problem when nobody said and no embedded server runs."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else None
    url = url or running_url(settings.data_dir / "redis")
    if url is None:
        raise Problem(
            f"REDIS_URL is not set, and no embedded server runs under {settings.data_dir}: "
            "set REDIS_URL (redis://host:6379/0), or start `ik-slack up`."
        )
    return url, settings.broker.get_secret_value() if settings.broker else url


def client_of(url: str, *, waits: bool = False) -> Client:
    """A client of a server's address."""
    if not url.startswith(SCHEME):
        return connect(url, waits=waits)
    at = parse_sentinel(url)
    return connect_by_sentinels(at.hosts, at.service, db=at.db, username=at.username, password=at.password)

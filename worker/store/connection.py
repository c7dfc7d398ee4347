"""How the server is reached: one address, or sentinels that know where it is now."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut

Client = Redis
CONNECT_S, ANSWER_S = 5.0, 10.0


def connect(url: str) -> Client:
    """A client of `redis://` or `rediss://`; nothing is opened yet."""
    return Redis.from_url(url, **_options())


def connect_by_sentinels(
    hosts: Sequence[tuple[str, int]], service: str, *, db: int, username: str | None, password: str | None
) -> Client:
    """A client of the server that is master of `service` now, as its sentinels say."""
    login: dict[str, Any] = {"username": username, "password": password}
    sentinel = Sentinel(list(hosts), socket_connect_timeout=CONNECT_S)  # type: ignore[no-untyped-call]  # redis-py's
    client: Client = sentinel.master_for(service, db=db, **login, **_options())
    return client


def _options() -> dict[str, Any]:
    """Lost connections are made anew at once: every step of ours may run twice."""
    return {
        "protocol": 2,
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": ANSWER_S,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
        "retry_on_error": [Disconnected, TimedOut],
    }

"""How the server is reached: one address, or sentinels that know where it is now."""

from collections.abc import Iterable, Sequence
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut

Client = Redis
CONNECT_S, ANSWER_S = 5.0, 10.0


class _Packing:
    """Packs a pipeline in C: redis-py's asyncio client does it in Python, which is a fifth of a post."""

    def pack_commands(self, commands: Iterable[Sequence[Any]]) -> list[bytes]:
        """The bytes of all commands."""
        try:
            return [hiredis.pack_command(tuple(command)) for command in commands]
        except UnicodeEncodeError:  # a lone surrogate: redis-py replaces it
            packed: list[bytes] = super().pack_commands(commands)  # type: ignore[misc]  # of the class it is mixed into
            return packed


class PackingConnection(_Packing, Connection):  # type: ignore[misc]  # narrower than redis-py's annotation
    """`redis://`"""


class PackingSSLConnection(_Packing, SSLConnection):  # type: ignore[misc]  # the same
    """`rediss://`"""


class _OfSentinels(Redis):
    """A client that also closes its connections to the sentinels."""

    sentinels: Sequence[Redis] = ()

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        for sentinel in self.sentinels:
            await sentinel.aclose()


def connect(url: str, *, waits: bool = False) -> Client:
    """A client of `redis://` or `rediss://`; nothing is opened yet.

    One that `waits` bounds every read by itself; the others' batches are bounded as a whole (`Server`).
    """
    client = Redis.from_url(url, **_options(waits=waits))
    secured = url.startswith("rediss://")
    client.connection_pool.connection_class = PackingSSLConnection if secured else PackingConnection
    return client


def connect_by_sentinels(
    hosts: Sequence[tuple[str, int]], service: str, *, db: int, username: str | None, password: str | None
) -> Client:
    """A client of the server that is master of `service` now, as its sentinels say."""
    login: dict[str, Any] = {"username": username, "password": password}
    sentinel = Sentinel(list(hosts), socket_connect_timeout=CONNECT_S)  # type: ignore[no-untyped-call]  # redis-py's
    client: _OfSentinels = sentinel.master_for(service, _OfSentinels, db=db, **login, **_options(waits=True))
    client.sentinels = sentinel.sentinels
    return client


def _options(*, waits: bool) -> dict[str, Any]:
    """Lost connections are made anew at once: every step of ours may run twice."""
    return {
        "protocol": 2,
        "encoding_errors": "replace",  # a lone surrogate in one command must not fail the whole batch
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": ANSWER_S if waits else None,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
        "retry_on_error": [Disconnected, TimedOut],
    }

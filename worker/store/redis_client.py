"""The client of Redis: it sends commands of many coroutines in one batch, and scripts by their hash.

A command in flight costs a future, not a connection: commands issued while a batch is on its way leave in the next
one. Every script may run twice, so a command whose reply was lost is simply sent again.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any
from urllib.parse import quote, unquote

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as TimedOut

from worker.domain.errors import UserError
from worker.store.keys import Keys
from worker.store.redis_errors import store_errors, to_store_error

Client = Redis
CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 5.0, 10.0
BATCH_COMMANDS = 256
CONCURRENT_TRANSACTIONS = 8  # each takes a connection of its own
BATCH_TIMEOUT_S = 20.0  # with its retries

ASKS_FOR_TIME = re.compile(r"\b(now|time)\b")
OF_WAITING_LANES = ("ledger_snapshot", "pending_page")  # scripts that read all lanes with pending deliveries

Value = str | bytes | int | float


class _Packing:
    """A connection that packs a pipeline in C: redis-py does it in Python, a fifth of the time of a post."""

    def pack_commands(self, commands: Iterable[Sequence[Any]]) -> list[bytes]:
        """Return the bytes of all commands."""
        try:
            return [hiredis.pack_command(tuple(command)) for command in commands]
        except UnicodeEncodeError:  # a lone surrogate: redis-py replaces it
            packed: list[bytes] = super().pack_commands(commands)  # type: ignore[misc]  # of the class it is mixed into
            return packed


class PackingConnection(_Packing, Connection):  # type: ignore[misc]  # narrower than redis-py's annotation
    """The connection of `redis://`."""


class PackingSSLConnection(_Packing, SSLConnection):  # type: ignore[misc]  # narrower than redis-py's annotation
    """The connection of `rediss://`."""


class _SentinelClient(Redis):
    """A client that also closes its connections to the sentinels."""

    sentinels: Sequence[Redis] = ()

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        for sentinel in self.sentinels:
            await sentinel.aclose()


def connect(url: str, *, blocking: bool = False) -> Client:
    """Return a client of `redis://` or `rediss://` that connects with its first command.

    `blocking` is for commands that wait in the server: each read then has its own time-out. The other clients'
    batches have one as a whole (`RedisClient`). Raises UserError when a parameter of the address is wrong.
    """
    try:
        client = Redis.from_url(url, **_options(blocking=blocking))
        secured = url.startswith("rediss://")
        client.connection_pool.connection_class = PackingSSLConnection if secured else PackingConnection
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # only fails for a wrong parameter
    except (ValueError, TypeError, AttributeError, RedisError):
        names = ", ".join(part.partition("=")[0] for part in url.partition("?")[2].split("&"))
        raise UserError(f"A parameter of the Redis address is unknown or has a wrong value: {names}.") from None
    return client


def connect_by_sentinels(
    hosts: Sequence[tuple[str, int]], service: str, *, db: int, username: str | None, password: str | None
) -> Client:
    """Return a client of the server that the sentinels name as the master of `service`."""
    login: dict[str, Any] = {"username": username, "password": password}
    timeout_s = CONNECT_TIMEOUT_S
    sentinel = Sentinel(list(hosts), socket_connect_timeout=timeout_s)  # type: ignore[no-untyped-call]  # redis-py's
    client: _SentinelClient = sentinel.master_for(service, _SentinelClient, db=db, **login, **_options(blocking=True))
    client.sentinels = sentinel.sentinels
    return client


@cache
def _driver_info() -> DriverInfo:
    """Return the name and version that redis-py sends; each connection would read them from the package."""
    return DriverInfo()


def _options(*, blocking: bool) -> dict[str, Any]:
    return {
        "driver_info": _driver_info(),
        "protocol": 2,
        "encoding_errors": "replace",  # a lone surrogate in one command must not fail the whole batch
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S if blocking else None,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),  # every command may run twice
        "retry_on_error": [Disconnected, TimedOut],
    }


@cache
def script_source(name: str) -> str:
    """Return the text of a script, behind the functions that it shares with others, and the clock if it asks for it."""
    folder = files("worker.store").joinpath("scripts")
    shared = ("lane",) if name.startswith("lane_") else ("waiting_lanes",) if name in OF_WAITING_LANES else ()
    source = "".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in (*shared, name))
    return folder.joinpath("clock.lua").read_text("utf-8") + source if ASKS_FOR_TIME.search(source) else source


@cache
def script_sha(name: str) -> str:
    """Return the hash by which Redis knows a script."""
    return sha1(script_source(name).encode(), usedforsecurity=False).hexdigest()


class RedisClient:
    """A Redis server as one event loop uses it. Raises `StoreUnavailable` when the server cannot serve."""

    def __init__(self, redis: "Redis", keys: Keys | None = None, *, timeout_s: float = BATCH_TIMEOUT_S) -> None:
        self.redis = redis
        self.keys = keys or Keys()  #: The names of this installation's keys.
        self._timeout_s = timeout_s  #: For a batch with its retries.
        self._queue: list[tuple[Sequence[Value], asyncio.Future[Any]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._transactions = asyncio.Semaphore(CONCURRENT_TRANSACTIONS)

    async def command(self, *words: Value) -> Any:
        """Send one command with the next batch and return its reply."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.append((words, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = loop.create_task(self._flush())
            self._flusher.add_done_callback(self._on_flushed)
        return await future

    async def run_script(self, name: str, keys: Sequence[str], arguments: Sequence[Value] = ()) -> Any:
        """Run `scripts/<name>.lua` and return its reply."""
        words = (script_sha(name), len(keys), *keys, *arguments)
        try:
            return await self.command("EVALSHA", *words)
        except NoScriptError:
            await self.command("SCRIPT", "LOAD", script_source(name))
            return await self.command("EVALSHA", *words)

    async def pipeline(self, commands: Sequence[Sequence[Value]]) -> list[Any]:
        """Send several commands together and return their replies; another client's may come between them."""
        return list(await asyncio.gather(*(self.command(*words) for words in commands)))

    async def transaction(self, *commands: Sequence[Value]) -> list[Any]:
        """Run several commands as one step (MULTI) and return their replies."""
        async with self._transactions:
            with store_errors():
                replies = await self._execute(commands, is_transaction=True)
                for reply in replies:
                    if isinstance(reply, Exception):
                        raise reply
        return replies

    async def now_ms(self) -> int:
        """Return the time of the server's clock, the one that counts for all processes."""
        seconds, micros = await self.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def info(self, section: str) -> dict[str, str]:
        """Return a section of the server's INFO."""
        return fields(await self.command("INFO", section))

    async def aclose(self) -> None:
        """Wait for the batch in flight, then close the connection."""
        while self._flusher is not None and not self._flusher.done():
            await asyncio.wait({self._flusher})
        await self.redis.aclose()

    async def _flush(self) -> None:
        while self._queue:
            queued, self._queue = self._queue[:BATCH_COMMANDS], self._queue[BATCH_COMMANDS:]
            batch = [(words, future) for words, future in queued if not future.done()]
            try:
                replies = await self._execute([words for words, _ in batch], is_transaction=False)
            except BaseException as error:
                replies = [error] * len(batch)
                if not isinstance(error, Exception):
                    raise
            finally:
                for (_, future), reply in zip(batch, replies, strict=True):
                    _answer(future, reply)

    def _on_flushed(self, flusher: asyncio.Task[None]) -> None:
        """Cancel the commands not sent yet when their flusher was cancelled with its loop."""
        if flusher.cancelled() and flusher is self._flusher:
            unsent, self._queue = self._queue, []
            for _, future in unsent:
                future.cancel()

    async def _execute(self, commands: Sequence[Sequence[Value]], *, is_transaction: bool) -> list[Any]:
        """Send commands over one connection; the reply of one that failed is its exception."""
        pipeline = self.redis.pipeline(transaction=is_transaction)
        for words in commands:
            pipeline.execute_command(*words)
        async with asyncio.timeout(self._timeout_s):
            return list(await pipeline.execute(raise_on_error=False))


class RedisStore:
    """A part of the store, on one server."""

    def __init__(self, server: RedisClient) -> None:
        self._server = server
        self._keys = server.keys


def _answer(future: asyncio.Future[Any], reply: Any) -> None:
    """Give a command its reply, or the error that came in place of one."""
    if future.done():
        return
    if isinstance(reply, asyncio.CancelledError):
        future.cancel()
    elif isinstance(reply, BaseException):
        future.set_exception(to_store_error(reply))
    else:
        future.set_result(reply)


def text(value: object) -> str:
    """Return a reply as text; no reply is the empty text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)


def pack_name(name: str) -> str:
    """Return a person's or a program's name as one word, for `unpack_name`."""
    return quote(name, safe="") or "%"


def unpack_name(word: str) -> str:
    """Return the name in a word of `pack_name`."""
    return "" if word == "%" else unquote(word)


def texts(values: Sequence[object]) -> list[str]:
    """Return replies as texts."""
    return [text(value) for value in values]


def rows(flat: Sequence[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """Return a flat reply as rows of `size` values."""
    return zip(*(flat[part::size] for part in range(size)), strict=True)


def fields(reply: object) -> dict[str, str]:
    """Return a hash as a dictionary, whether the server sent a map or a flat list."""
    if isinstance(reply, dict):
        return {text(key): text(value) for key, value in reply.items()}
    flat = texts(reply if isinstance(reply, list) else [])
    return dict(zip(flat[::2], flat[1::2], strict=True))

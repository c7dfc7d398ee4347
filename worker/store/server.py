"""The one connection to Redis: commands of many coroutines go out together, scripts by their hash.

A waiting command costs a future, not a connection: whatever is asked for while a batch is on its way
leaves in the next one. Every script may run twice, so a lost reply is simply asked for again.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import DataError, NoScriptError, RedisError

from worker.store.keys import Keys

Unavailable = RedisError
BATCH = 256
MEMBERS_AT_ONCE = 200
TRANSACTIONS = 8  # at once: each takes a connection of its own
BATCH_S = 20.0  # with its tries; a server that is silent for so long does not answer

Value = str | bytes | int | float


@cache
def script_source(name: str) -> str:
    """A script's text; a lane's has the shared part in front."""
    folder = files("worker.store").joinpath("lua")
    text = folder.joinpath(f"{name}.lua").read_text("utf-8")
    return folder.joinpath("lane.lua").read_text("utf-8") + text if name.startswith("lane_") else text


@cache
def _sha(name: str) -> str:
    return sha1(script_source(name).encode(), usedforsecurity=False).hexdigest()


class Server:
    """A Redis server seen from one event loop. Raises `Unavailable` when it does not answer."""

    def __init__(self, redis: "Redis", keys: Keys | None = None) -> None:
        self.redis = redis
        self.keys = keys or Keys()
        self._queue: list[tuple[Sequence[Value], asyncio.Future[Any]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._transactions = asyncio.Semaphore(TRANSACTIONS)

    async def command(self, *words: Value) -> Any:
        """One command's answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.append((words, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = loop.create_task(self._flush())
            self._flusher.add_done_callback(self._flushed)
        return await future

    async def script(self, name: str, keys: Sequence[str], arguments: Sequence[Value] = ()) -> Any:
        """What `lua/<name>.lua` returns."""
        words = (_sha(name), len(keys), *keys, *arguments)
        try:
            return await self.command("EVALSHA", *words)
        except NoScriptError:
            await self.command("SCRIPT", "LOAD", script_source(name))
            return await self.command("EVALSHA", *words)

    async def each(self, commands: Sequence[Sequence[Value]]) -> list[Any]:
        """Several commands' answers, asked for together."""
        return list(await asyncio.gather(*(self.command(*words) for words in commands)))

    async def members(self, name: str) -> AsyncIterator[list[str]]:
        """A set's, some at a time, so that no script need look at all of them; one may come twice."""
        cursor, some = 0, list[bytes]()
        while True:
            cursor, some = await self.command("SSCAN", name, cursor, "COUNT", MEMBERS_AT_ONCE)
            yield texts(some)
            if not cursor:
                return

    async def now_ms(self) -> int:
        """The server's clock, which counts for everybody."""
        seconds, micros = await self.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def together(self, *commands: Sequence[Value]) -> list[Any]:
        """Several commands as one step (MULTI)."""
        async with self._transactions:
            try:
                async with asyncio.timeout(BATCH_S):
                    return await self._execute(commands, as_one=True)
            except TimeoutError as error:
                raise Unavailable("no answer in time") from error

    async def aclose(self) -> None:
        """Lets what is on its way arrive, then closes the connection."""
        while self._flusher is not None and not self._flusher.done():
            await asyncio.wait({self._flusher})
        await self.redis.aclose()

    async def _flush(self) -> None:
        while self._queue:
            batch, self._queue = self._queue[:BATCH], self._queue[BATCH:]
            await self._send([(words, future) for words, future in batch if not future.done()])

    def _flushed(self, flusher: asyncio.Task[None]) -> None:
        """Cancelled with its loop, it leaves nobody waiting whose command was not sent yet."""
        if flusher.cancelled() and flusher is self._flusher:
            left, self._queue = self._queue, []
            for _, future in left:
                future.cancel()

    async def _send(self, batch: Sequence[tuple[Sequence[Value], asyncio.Future[Any]]]) -> None:
        try:
            async with asyncio.timeout(BATCH_S):
                answers = await self._execute([words for words, _ in batch], as_one=False)
        except (DataError, TypeError) as error:  # one of them is no command at all; none was sent
            if len(batch) == 1:
                _refuse(batch[0][1], error)
                return
            for alone in batch:
                await self._send([alone])
        except BaseException as error:
            for _, future in batch:
                _refuse(future, error)
            if not isinstance(error, Exception):
                raise
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                _answer(future, answer)

    async def _execute(self, commands: Sequence[Sequence[Value]], *, as_one: bool) -> list[Any]:
        pipeline = self.redis.pipeline(transaction=as_one)
        for words in commands:
            pipeline.execute_command(*words)
        return list(await pipeline.execute(raise_on_error=as_one))


def _answer(future: asyncio.Future[Any], answer: object) -> None:
    if isinstance(answer, Exception):
        _refuse(future, answer)
    elif not future.done():
        future.set_result(answer)


def _refuse(future: asyncio.Future[Any], error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, (RedisError, asyncio.CancelledError)):
        future.set_exception(error) if isinstance(error, RedisError) else future.cancel()
    else:
        future.set_exception(Unavailable(f"{type(error).__name__}: {error}"))


def text(value: object) -> str:
    """A reply as text; nothing is the empty text."""
    return (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
    )


def texts(values: Sequence[object]) -> list[str]:
    """Replies as texts."""
    return [text(value) for value in values]


def fields(reply: object) -> dict[str, str]:
    """A hash, whether the server answered a map or a flat list."""
    if isinstance(reply, dict):
        return {text(key): text(value) for key, value in reply.items()}
    flat = texts(reply if isinstance(reply, list) else [])
    return dict(zip(flat[::2], flat[1::2], strict=True))

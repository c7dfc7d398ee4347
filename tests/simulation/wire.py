"""The way from a machine to Redis: a client that may lose a command, its answer, or send it twice."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from fakeredis import FakeRedis
from machine import Machine
from redis.exceptions import ConnectionError as Disconnected

Words = Sequence[Any]
AT_STAKE = 10
"""How much more often a machine ends around long commands, which are those of lanes, than elsewhere."""

Effect = Callable[[Machine, Words], Any]
"""A command at the server, which returns its reply; an error is a reply too."""


class News:
    """Notifies the readers that wait for a new entry of the stream."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def notify(self) -> None:
        for one in self._waiting:
            if not one.done():
                one.set_result(None)
        self._waiting.clear()

    async def within(self, seconds: float) -> None:
        """Wait until there is an entry, at most this long."""
        one = asyncio.get_running_loop().create_future()
        self._waiting.append(one)
        await asyncio.wait({one}, timeout=seconds)


class Server:
    """The server's side of the wire: one command, its answer as redis-py gives it; an error is an answer too.

    It speaks to fakeredis beside redis-py's connection, which would take a third of a run's time.
    """

    def __init__(self, redis: FakeRedis) -> None:
        connection = redis.connection_pool.get_connection()
        connection.connect()
        self._socket, self._shaped = connection._sock, redis.response_callbacks
        self._encoded = redis.get_encoder().encode
        server = self._socket._server
        server._lua_runtime = ReadOnce(self._socket._get_server_runtime(server))

    def execute(self, words: Words) -> Any:
        self._socket._process_command([self._encoded(word) for word in words])
        answer = self._socket.responses.get_nowait()
        shaped = self._shaped.get(words[0])
        return answer if shaped is None or isinstance(answer, Exception) else shaped(answer)


class ReadOnce:
    """Fakeredis' Lua, but each script is read once and its waste is left: a quarter of a run's time."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._read: dict[bytes, Any] = {}

    def execute(self, script: bytes | str) -> Any:
        if isinstance(script, str):  # the collection of waste after each script
            return None
        if script not in self._read:
            self._read[script] = self._runtime.compile(script)
        return self._read[script]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)


class Wire:
    """The part of a redis-py client that the store uses, for one machine."""

    def __init__(self, machine: Machine, effect: Effect, news: News) -> None:
        self.machine, self.effect, self.news = machine, effect, news

    def pipeline(self, transaction: bool = True) -> "Batch":
        return Batch(self, transaction)

    async def execute_command(self, *words: Any) -> Any:
        """One command alone; a read that waits looks again when there is news."""
        wait_s = 0.0
        if "BLOCK" in words:
            place = words.index("BLOCK")
            wait_s = words[place + 1] / 1000
            words = (*words[:place], *words[place + 2 :])
        until_s = self.machine.loop.now_s + wait_s
        while True:
            (answer,) = await self.send([words], as_one=True)
            left_s = until_s - self.machine.loop.now_s
            if answer or left_s <= 0:
                return answer
            await self.news.within(left_s)

    async def send(self, commands: Sequence[Words], *, as_one: bool) -> list[Any]:
        """All commands' answers. Sent again after a lost connection, as redis-py does, or not."""
        machine, luck = self.machine, self.machine.luck
        weight = AT_STAKE if any(len(words) > 10 for words in commands) else 1
        await machine.reaches(weight)
        if luck.hits(luck.rates.refused):
            machine.troubles += 1
            raise Disconnected("the server is away")
        if luck.hits(luck.rates.sent_again):
            await self._done(commands[: luck.random.randint(1, len(commands))], as_one=as_one)
            await machine.reaches(weight)
        answers = await self._done(commands, as_one=as_one)
        await machine.reaches(weight)
        if luck.hits(luck.rates.reply_lost):
            machine.troubles += 1
            raise Disconnected("the reply was lost")
        return answers

    async def _done(self, commands: Sequence[Words], *, as_one: bool) -> list[Any]:
        answers = []
        for words in commands:
            if answers and not as_one and self.machine.luck.random.random() < 0.2:
                await self.machine.reaches()  # another's command may come between
            answers.append(self.effect(self.machine, words))
        return answers

    async def aclose(self) -> None:
        """There is nothing to close."""


class Batch:
    """Commands that go out together; as one step, or each for itself."""

    def __init__(self, wire: Wire, as_one: bool) -> None:
        self.wire, self.as_one = wire, as_one
        self.commands: list[Words] = []

    def execute_command(self, *words: Any) -> None:
        self.commands.append(words)

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        answers = await self.wire.send(self.commands, as_one=self.as_one)
        if raise_on_error:
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers

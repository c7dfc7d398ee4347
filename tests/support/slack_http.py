"""A server that answers a call with exact bytes, or ends the connection where a test wants it."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from worker.domain.integration import Secret
from worker.domain.message import Message, Section

TOKEN = Secret("xoxb-1-very-secret")
MESSAGE = Message("hello", (Section("*hello*"),), (Section("there"),))

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


def http_response(status: int, body: str | bytes = "", content_type: str = "application/json", **headers: str) -> bytes:
    """Return the bytes of an HTTP response; `Content_Length` and other `headers` override."""
    data = body.encode() if isinstance(body, str) else body
    fields = {"Content-Type": content_type, "Content-Length": str(len(data))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + data


def slack_answer(**answer: object) -> bytes:
    """Return the bytes of an answer of Slack: 200 and JSON."""
    return http_response(200, json.dumps(answer))


def slack_error(code: str, **more: object) -> bytes:
    """Return the bytes of Slack's answer to a call that it rejects."""
    return slack_answer(ok=False, error=code, **more)


async def close(_: asyncio.StreamWriter) -> None:
    """End the connection without a byte."""


async def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection by RST."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang(_: asyncio.StreamWriter) -> None:
    """Send nothing until the test ends."""
    await asyncio.Event().wait()


@dataclass
class SlackServer:
    """A server that gives its answers in turn, the last one again and again, and keeps the requests."""

    answers: list[bytes | Behaviour]
    url: str = ""
    asked: list[bytes] = field(default_factory=list)
    connections: int = 0
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._answer(reader, writer):
                    pass
        finally:
            self._serving.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        self.asked.append(head + await reader.readexactly(length))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not isinstance(answer, bytes):
            await answer(writer)
            return False
        writer.write(answer)
        await writer.drain()
        return b"connection: close" not in answer.lower()

    async def end(self) -> None:
        for task in tuple(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    @property
    def body(self) -> dict[str, object]:
        """Return the JSON of the last request."""
        sent: dict[str, object] = json.loads(self.asked[-1].partition(b"\r\n\r\n")[2])
        return sent

    @property
    def line(self) -> str:
        """Return the request line of the last request."""
        return self.asked[-1].partition(b"\r\n")[0].decode()

"""A far end that answers every call at once (or after `--latency-ms`) and counts what came.

    python benchmarks/far_end.py --port 9001 [--latency-ms 50] [--channels 3000]

`GET /stats` tells how many posts came, and when the first and the last did; `GET /reset` forgets them.
"""

import argparse
import asyncio
import json
import time
from urllib.parse import parse_qs, urlsplit

SCOPES = "channels:read,chat:write,groups:read,users:read,users:read.email"


class Counted:
    """What came so far."""

    def __init__(self) -> None:
        self.posts = 0
        self.first = self.last = 0.0
        self.channels: dict[str, int] = {}

    def note(self, channel: str) -> None:
        """One more post."""
        self.last = time.time()
        self.first = self.first or self.last
        self.posts += 1
        self.channels[channel] = self.channels.get(channel, 0) + 1


class Connection(asyncio.Protocol):
    """One keep-alive connection, just enough HTTP."""

    def __init__(self, far_end: "FarEnd") -> None:
        self.far_end = far_end
        self.received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """asyncio's: every whole request is answered."""
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].decode("latin-1")
            length = next(
                (
                    int(line.split(":")[1])
                    for line in head.split("\r\n")
                    if line.lower().startswith("content-length")
                ),
                0,
            )
            if len(self.received) < end + 4 + length:
                return
            body = self.received[end + 4 : end + 4 + length]
            self.received = self.received[end + 4 + length :]
            answer = self.far_end.answer(head.split(" ")[1], body)
            asyncio.get_running_loop().call_later(self.far_end.latency_s, self.send, answer)

    def send(self, answer: object) -> None:
        """After the latency."""
        body = json.dumps(answer).encode()
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
            f"x-oauth-scopes: {SCOPES}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        if self.transport and not self.transport.is_closing():
            self.transport.write(head.encode() + body)


class FarEnd:
    """Knows `channels` channels `#c0`, `#c1` …, all with the bot in them."""

    def __init__(self, latency_s: float, channels: int) -> None:
        self.latency_s = latency_s
        self.counted = Counted()
        self.channels = [
            {"id": f"C{number:09d}", "name": f"c{number}", "is_member": True, "is_archived": False}
            for number in range(channels)
        ]

    def answer(self, target: str, body: bytes) -> dict[str, object]:
        """By the method's name."""
        url = urlsplit(target)
        match url.path.rpartition("/")[2]:
            case "chat.postMessage":
                asked = (
                    json.loads(body)
                    if body[:1] == b"{"
                    else {k: v[0] for k, v in parse_qs(body.decode()).items()}
                )
                self.counted.note(str(asked["channel"]))
                ts = f"{int(time.time())}.{self.counted.posts:06d}"
                return {"ok": True, "channel": asked["channel"], "ts": ts, "message": {"type": "message"}}
            case "auth.test":
                who = {"user": "bot", "user_id": "U00000001", "bot_id": "B00000001"}
                return {"ok": True, "team_id": "T00000001", "team": "Bench", "url": "http://bench/", **who}
            case "conversations.list":
                asked = parse_qs(url.query)
                start = int(asked.get("cursor", ["0"])[0] or 0)
                page = self.channels[start : start + 999] if "public_channel" in asked["types"][0] else []
                following = str(start + 999) if page and start + 999 < len(self.channels) else ""
                return {"ok": True, "channels": page, "response_metadata": {"next_cursor": following}}
            case "stats":
                found = self.counted
                return {"ok": True, "posts": found.posts, "first": found.first, "last": found.last,
                        "most_in_one_channel": max(found.channels.values(), default=0)}  # fmt: skip
            case "reset":
                self.counted = Counted()
                return {"ok": True}
        return {"ok": False, "error": "unknown_method"}


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--channels", type=int, default=0)
    given = parser.parse_args()
    far_end = FarEnd(given.latency_ms / 1000, given.channels)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(far_end), "127.0.0.1", given.port
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

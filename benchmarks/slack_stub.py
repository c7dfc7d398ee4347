"""A stub of Slack that answers every call after `--latency-ms` and counts the posts.

    python benchmarks/slack_stub.py --port 9001 [--latency-ms 50] [--channels 3000]

`GET /stats` returns the number of posts and the times of the first and the last, `GET /arrivals` that of each channel.
"""

import argparse
import asyncio
import json
import time
from urllib.parse import parse_qs, urlsplit

SCOPES = "channels:read,chat:write,groups:read,users:read,users:read.email"


class PostCounts:
    """The posts so far."""

    def __init__(self) -> None:
        self.posts = 0
        self.first = self.last = 0.0
        self.arrivals: dict[str, float] = {}

    def add(self, channel: str) -> None:
        """Count a post."""
        self.last = self.arrivals[channel] = time.time()
        self.first = self.first or self.last
        self.posts += 1


class Connection(asyncio.Protocol):
    """A keep-alive connection with a minimal HTTP."""

    def __init__(self, stub: "SlackStub") -> None:
        self.stub = stub
        self.received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every complete request."""
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].decode("latin-1")
            length = next(
                (int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")),
                0,
            )
            if len(self.received) < end + 4 + length:
                return
            body = self.received[end + 4 : end + 4 + length]
            self.received = self.received[end + 4 + length :]
            answer = self.stub.answer(head.split(" ")[1], body)
            asyncio.get_running_loop().call_later(self.stub.latency_s, self.send, answer)

    def send(self, answer: object) -> None:
        """Send an answer."""
        body = json.dumps(answer).encode()
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
            f"x-oauth-scopes: {SCOPES}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        if self.transport and not self.transport.is_closing():
            self.transport.write(head.encode() + body)


class SlackStub:
    """A workspace with the channels `#c0`, `#c1` …; the bot is a member of all of them."""

    def __init__(self, latency_s: float, channels: int) -> None:
        self.latency_s = latency_s
        self.counts = PostCounts()
        self.channels = [
            {"id": f"C{number:09d}", "name": f"c{number}", "is_member": True, "is_archived": False}
            for number in range(channels)
        ]

    def answer(self, target: str, body: bytes) -> dict[str, object]:
        """Return the answer of a method."""
        url = urlsplit(target)
        match url.path.rpartition("/")[2]:
            case "chat.postMessage":
                args = json.loads(body) if body[:1] == b"{" else {k: v[0] for k, v in parse_qs(body.decode()).items()}
                self.counts.add(args["channel"])
                ts = f"{int(time.time())}.{self.counts.posts:06d}"
                return {"ok": True, "channel": args["channel"], "ts": ts, "message": {"type": "message"}}
            case "auth.test":
                bot = {"user": "bot", "user_id": "U00000001", "bot_id": "B00000001"}
                return {"ok": True, "team_id": "T00000001", "team": "Bench", "url": "http://bench/", **bot}
            case "conversations.list" | "users.conversations":
                query = parse_qs(url.query)
                start = int(query.get("cursor", ["0"])[0] or 0)
                page = self.channels[start : start + 999] if "public_channel" in query["types"][0] else []
                cursor = str(start + 999) if page and start + 999 < len(self.channels) else ""
                return {"ok": True, "channels": page, "response_metadata": {"next_cursor": cursor}}
            case "stats":
                counts = self.counts
                return {"ok": True, "posts": counts.posts, "first": counts.first, "last": counts.last}
            case "arrivals":
                return {"ok": True, "arrivals": self.counts.arrivals}
        return {"ok": False, "error": "unknown_method"}


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--channels", type=int, default=0)
    options = parser.parse_args()
    stub = SlackStub(options.latency_ms / 1000, options.channels)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(stub), "127.0.0.1", options.port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

"""Connections without a complete request are closed, so that they do not block others."""

import asyncio
import re
import socket

import pytest
from support.web import Web, serve_web

from worker.web import request_limits as connection
from worker.web.console import middleware as door
from worker.web.console.templating import assets

pytestmark = pytest.mark.slow

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


async def send_raw(web: Web, data: bytes) -> bytes:
    """Send data and return everything received until the server closes."""
    host, port = f"{web.client._base_url}".strip("/").removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    async with asyncio.timeout(20):
        found = await reader.read()
    writer.close()
    return found


@pytest.fixture
def _short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_CHECK_S", 0.05)


@pytest.mark.usefixtures("_short_timeouts")
@pytest.mark.parametrize("data", [b"", b"GET", HEAD])
async def test_a_connection_without_a_complete_request_head_is_closed(web: Web, data: bytes) -> None:
    assert await send_raw(web, data) == b""


@pytest.mark.usefixtures("_short_timeouts")
async def test_a_connection_with_an_incomplete_second_request_head_is_closed(web: Web) -> None:
    assert (await send_raw(web, HEAD + b"\r\n" + HEAD)).count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.usefixtures("_short_timeouts")
async def test_a_request_with_a_complete_head_may_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "FORM_S", 0.5)
    form = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
    async with serve_web(admin_password="p" * 12) as web:
        found = await send_raw(web, form + b"Content-Type: application/x-www-form-urlencoded\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 408 ")


PORT_OF = re.compile(r":(\d+)/?$")
FORM = (
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 90\r\n\r\npassword="
)


@pytest.mark.parametrize("data", [b"", b"GET / HT", HEAD, HEAD + b"\r\n", FORM])
async def test_many_silent_connections_of_one_address_keep_no_other_out(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", connection.ROOM + 20)
    async with serve_web(admin_password="p" * 12) as web:
        port = int(PORT_OF.search(f"{web.client._base_url}")[1])
        open_ = [await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.3", 0)) for _ in range(5)]
        for _, writer in open_:
            writer.write(data)
        for _ in range(40):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
            writer.write(data)
            open_.append((reader, writer))
            assert (await web.get("/healthz"))[0] == 200
        assert not open_[0][0].at_eof(), "the address with the most connections loses its own"
        for _, writer in open_:
            writer.transport.abort()
        await asyncio.sleep(0)


def deaf_client(web: Web) -> socket.socket:
    """Connect a client with a small buffer, which reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", int(PORT_OF.search(f"{web.client._base_url}")[1])))
    client.setblocking(False)
    return client


def request_for_asset(times: int) -> bytes:
    return b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % assets()["console.css"].path.encode() * times


@pytest.mark.usefixtures("_short_timeouts")
async def test_a_client_that_takes_no_answer_is_disconnected(web: Web) -> None:
    with deaf_client(web) as client, pytest.raises(ConnectionError):
        async with asyncio.timeout(20):
            await asyncio.get_running_loop().sock_sendall(client, request_for_asset(200_000))

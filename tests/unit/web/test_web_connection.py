"""Connections that bring nothing do not keep others out."""

import asyncio

import pytest
from web_house import Web, served

from worker.web import connection
from worker.web.pages import door

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


async def sent(web: Web, data: bytes) -> bytes:
    """All that comes back until the other side closes."""
    host, port = f"{web.client._base_url}".strip("/").removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    async with asyncio.timeout(20):
        found = await reader.read()
    writer.close()
    return found


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.05)


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("data", [b"", b"GET", HEAD])
async def test_one_that_brings_no_whole_head_is_closed(web: Web, data: bytes) -> None:
    assert await sent(web, data) == b""


@pytest.mark.usefixtures("_hasty")
async def test_one_that_begins_a_second_head_and_does_not_end_it_is_closed_too(web: Web) -> None:
    assert (await sent(web, HEAD + b"\r\n" + HEAD)).count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.usefixtures("_hasty")
async def test_a_request_may_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "SEND_S", 0.5)
    form = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
    async with served(admin_password="p" * 12) as web:
        found = await sent(web, form + b"Content-Type: application/x-www-form-urlencoded\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 408 ")

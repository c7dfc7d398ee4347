"""Gateways and their servers, closed after the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from support.slack_http import Behaviour, SlackServer

from worker.slack.gateway import SlackGateway


@pytest.fixture
async def open_wire() -> AsyncIterator[Callable[..., Awaitable[SlackServer]]]:
    """Return a function that opens a server with these answers."""
    async with contextlib.AsyncExitStack() as stack:

        async def opened(*answers: bytes | Behaviour) -> SlackServer:
            wire = SlackServer(list(answers))
            server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
            stack.push_async_callback(server.wait_closed)
            stack.push_async_callback(wire.end)
            stack.callback(server.close)
            wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/"
            return wire

        yield opened


@pytest.fixture
async def gateway_to() -> AsyncIterator[Callable[..., SlackGateway]]:
    """Return a function that opens a gateway to an address with these timeouts."""
    async with contextlib.AsyncExitStack() as stack:

        def app(url: str, **arguments: float) -> SlackGateway:
            gateway = SlackGateway(url, **arguments)  # type: ignore[arg-type]  # `connections` is not passed here
            stack.push_async_callback(gateway.aclose)
            return gateway

        yield app

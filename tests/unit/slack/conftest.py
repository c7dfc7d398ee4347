"""Gateways and the servers they talk to, closed when the test is over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from slack_wire import Behaviour, Wire

from worker.slack.gateway import SlackGateway


@pytest.fixture
async def open_wire() -> AsyncIterator[Callable[..., Awaitable[Wire]]]:
    """Opens a server with its answers."""
    async with contextlib.AsyncExitStack() as stack:

        async def opened(*answers: bytes | Behaviour) -> Wire:
            wire = Wire(list(answers))
            server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
            stack.push_async_callback(server.wait_closed)
            stack.push_async_callback(wire.end)
            stack.callback(server.close)
            wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/"
            return wire

        yield opened


@pytest.fixture
async def gateway_to() -> AsyncIterator[Callable[..., SlackGateway]]:
    """Makes a gateway to an address, closed when the test is over; time-outs as arguments."""
    async with contextlib.AsyncExitStack() as stack:

        def made(url: str, **arguments: float) -> SlackGateway:
            gateway = SlackGateway(url, **arguments)  # type: ignore[arg-type]  # `connections` is not passed here
            stack.push_async_callback(gateway.aclose)
            return gateway

        yield made

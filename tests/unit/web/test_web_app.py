"""The web server: its addresses, its OpenAPI document, and its shutdown."""

import asyncio
import socket

import pytest
from support.web import Web

from worker.bootstrap.context import ShutdownSignal
from worker.domain.errors import UserError
from worker.web.app import listen, make_app, serve


async def test_every_path_is_in_the_openapi_document(web: Web) -> None:
    status, document = await web.json("/api/openapi.json")
    assert status == 200
    assert {"/healthz", "/readyz", "/metrics", "/webhooks/alertmanager"} <= set(document["paths"])
    assert set(document["paths"]["/readyz"]["get"]["responses"]) == {"200", "503"}


async def test_the_documentation_pages_with_foreign_scripts_are_not_served(web: Web) -> None:
    for path in ("/docs", "/redoc"):
        assert "https://" not in (await web.get(path))[1]


async def test_the_web_process_ends_on_request(web: Web) -> None:
    shutdown = ShutdownSignal()
    with listen("127.0.0.1", 0) as listening:
        serving = asyncio.create_task(serve(make_app(web.app), listening, shutdown))
        async with web.client.get(f"http://127.0.0.1:{listening.getsockname()[1]}/healthz") as answer:
            assert answer.status == 200
        shutdown.set()
        async with asyncio.timeout(10):
            await serving


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"^Port {port} of 127.0.0.1 is in use: set WEB_PORT to another.$"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
def test_an_address_that_this_machine_does_not_have_is_one_line(host: str) -> None:
    with pytest.raises(UserError, match=f"^{host} port 8765 cannot be used .*: correct WEB_HOST or WEB_PORT.$"):
        listen(host, 8765)


def test_accepted_connections_send_without_delay() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_every_name_of_this_machine_is_served(host: str) -> None:
    with listen(host, 0) as listening:
        assert listening.getsockname()[1] > 0

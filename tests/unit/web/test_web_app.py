"""The server: where it listens, what it documents, and that it ends when asked to."""

import asyncio
import socket

import pytest
from web_house import Web

from worker.domain.errors import Problem
from worker.web.app import listen


async def test_every_path_is_in_the_openapi_document(web: Web) -> None:
    status, document = await web.json("/api/openapi.json")
    assert status == 200
    assert {"/healthz", "/readyz", "/metrics", "/webhooks/alertmanager"} <= set(document["paths"])
    assert set(document["paths"]["/readyz"]["get"]["responses"]) == {"200", "503"}


async def test_the_body_of_an_answer_does_not_wait_for_an_acknowledgement_of_its_head() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_no_page_is_served_that_loads_scripts_from_elsewhere(web: Web) -> None:
    assert [(await web.get(path))[0] for path in ("/docs", "/redoc")] == [404, 404]


async def test_it_ends_when_asked_to(web: Web) -> None:
    await web.get("/healthz")
    web.stopping.set()
    async with asyncio.timeout(10):
        await web.serving


def test_a_port_that_is_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Problem, match=f"^Port {port} of 127.0.0.1 is in use: set WEB_PORT to another.$"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
def test_an_address_this_machine_does_not_have_is_one_clear_line(host: str) -> None:
    with pytest.raises(
        Problem, match=f"^{host} port 8765 cannot be served .*: correct WEB_HOST or WEB_PORT.$"
    ):
        listen(host, 8765)


def test_the_end_of_an_answer_does_not_wait_for_an_acknowledgement() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_any_name_of_this_machine_is_served(host: str) -> None:
    with listen(host, 0) as listening:
        assert listening.getsockname()[1] > 0

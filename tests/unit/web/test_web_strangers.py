"""Strangers at the web process: no route opens without a credential, and no request makes it fail."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from json import dumps
from urllib.parse import quote

import pytest
from support.examples import THOROUGH
from support.web import Browser, Web, serve_web
from support.web_routes import DOCUMENT, PAGES, Routes, api_routes, is_closed, is_page
from yarl import URL

from worker.store.api_tokens import ApiTokens
from worker.web import request_limits

pytestmark = pytest.mark.slow
STEP = 1 if THOROUGH else 3  # in the short form every third case is tried

CREDENTIALS = [
    {"api_token": "t" * 40},
    {"admin_password": "p" * 12},
    {"api_token": "t" * 40, "admin_password": "p" * 12},
    {},
]
LONG = "x" * 5_000
IDS = (
    "x",
    LONG,
    "%ed%a0%80",
    "%ff",
    "%00",
    "a%2fb",
    "%2f%2fevil.example.com%2f",
    "%2e%2e",
    "..%5c",
    "\u20ac",
    "%0d%0ax%3ay",
    "a b/",
)
DEEP = b"[" * 100_000 + b"]" * 100_000
BODIES = (
    b"", b"{", b"null", b"[]", b'"x"', b"1e999", b"NaN", b"\xff\xfe", b"\xef\xbb\xbf{}", b"{}", DEEP, b'{"a":' * 60_000,
    b'{"ids": ["\\ud800"]}', b'{"lane": "\\ud800", "reason": "\\ud800"}', b'{"lane": "' + LONG.encode() + b'"}',
    b'{"all": 1, "ids": {}}', b'{"destination": "\\ud800"}', b'{"destination": ["#ops"], "template": 1}',
    b'{"name": null, "token": 1}', b'{"events": [{"\\ud800": "\\udfff"}]}', b'{"events": "x", "template": []}',
    b'{"version": "4", "alerts": [{"labels": "\\ud800"}]}', b'{"x": ' + b"9" * 5000 + b"}",
    dumps({"destination": "#ops", "name": [LONG] * 20}).encode(),
)  # fmt: skip
FORGED: tuple[dict[str, str], ...] = (
    {"host": "localhost"},
    {"host": "slack.example.com", "x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1"},
    {"forwarded": "for=127.0.0.1;host=localhost", "x-forwarded-host": "localhost", "x-forwarded-user": "admin"},
    {"authorization": "Bearer ", "cookie": "ik_slack=; ik_slack_visitor=x"},
    {"x-original-url": "/healthz", "x-rewrite-url": "/healthz", "x-http-method-override": "GET"},
)
FIELDS = (
    "id", "lane", "name", "text", "token", "to", "reason", "event", "destination", "template", "password",
)  # fmt: skip
QUERY = "&".join(f"{name}={{0}}" for name in (*FIELDS, "after", "limit", "since", "state", "severity", "raw", "source"))


async def all_routes(web: Web) -> Routes:
    """Return every route of the application, the console's included."""
    async with web.client.get("/api/openapi.json") as answer:
        routes = (*PAGES, *api_routes(await answer.json()))
    assert len(routes) > 60
    return tuple(route for route in routes if route != ("GET", "/api/v1/doctor"))  # fakeredis has no INFO


def filled(path: str, value: str = "x") -> URL:
    """Return a path with a value in place of its parameters, exactly as it is written."""
    names = [part.partition("}")[0] for part in path.split("{")[1:]]
    for name in names:
        path = path.replace(f"{{{name}}}", quote(value, safe="%"))
    return URL(path, encoded=True)


@pytest.mark.parametrize("credentials", CREDENTIALS, ids=lambda given: "+".join(given) or "start-up key")
async def test_no_route_opens_without_a_credential(credentials: dict[str, str]) -> None:
    async with serve_web(**credentials) as web:
        asked = (*await all_routes(web), *(() if credentials else (DOCUMENT,)))
        for headers in FORGED:
            for method, path in asked:
                sent = {"authorization": ""} | headers
                async with web.client.request(method, filled(path), headers=sent, allow_redirects=False) as answer:
                    location = answer.headers.get("location", "")
                    assert is_closed(path, answer.status, location), (method, path, headers, answer.status)
        assert await web.entries() == []


@pytest.fixture
async def logged_in() -> AsyncIterator[Browser]:
    async with serve_web() as web:
        browser = Browser(web)
        async with browser.client:
            await browser.log_in_by_key()
            yield browser


def require_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    failed = [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
    assert failed == []


@pytest.mark.slow
@pytest.mark.parametrize("id_", IDS[::STEP], ids=range(len(IDS[::STEP])))
async def test_no_page_fails_whatever_id_it_is_asked_for(
    logged_in: Browser, id_: str, caplog: pytest.LogCaptureFixture
) -> None:
    web = logged_in.web
    for method, path in await all_routes(web):
        is_api = not is_page(path)
        client = web.client if is_api else logged_in.client
        if method == "GET":
            for target in (f"{filled(path, id_)}", f"{filled(path, id_)}/", f"{filled(path)}?{QUERY.format(id_)}"):
                async with client.get(URL(target, encoded=True), allow_redirects=False) as answer:
                    assert answer.status < 500, target
                    location = answer.headers.get("location", "/")
                    assert re.match(r"/(?![/\\])", location), (target, location)
        elif is_api:
            async with client.request(method, filled(path, id_), json={}) as answer:
                assert answer.status < 500, (method, path)
        else:
            page = await logged_in.send(
                f"{filled(path, id_)}",
                dict.fromkeys(FIELDS, id_),
                follow=False,
            )
            assert page.status < 500, path
            if path in ("/logout", "/login"):
                await logged_in.log_in_by_key()
    require_no_failure(caplog)


@pytest.mark.slow
@pytest.mark.parametrize("body", BODIES[::STEP], ids=range(len(BODIES[::STEP])))
async def test_no_path_of_the_api_fails_whatever_body_it_gets(
    web: Web, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for method, path in await all_routes(web):
        if method != "GET" and not is_page(path):
            for kind in (
                "application/json",
                "application/cloudevents+json",
                "application/cloudevents-batch+json",
                "text/plain",
            ):
                answer = await web.ask(method, filled(path), body, headers={"content-type": kind})
                assert answer.status < 500, (method, path, kind)
    require_no_failure(caplog)


RAW = (
    b"GET http://evil.example.com/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //evil.example.com/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\\evil.example.com/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /subscriptions/../api/v1/ledger HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz/../api/v1/ledger HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /assets/../subscriptions HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /assets/%2e%2e/subscriptions HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /assets/..%2fsubscriptions HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /API/v1/ledger HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //api/v1/ledger HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api//v1/ledger HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/v1/ledger;x HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/v1/ledger%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT 127.0.0.1:6379 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/v1/ledger HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nCookie: ik_slack=\xff\xfe; ik_slack_notice=\xff.\xff; ik_slack_visitor=\xe9\r\n\r\n",
    b"GET /api/v1/ledger HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xe9\r\n\r\n",
    b"POST /webhooks/grafana HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \xff\xe9\r\nContent-Length: 0\r\n\r\n",
    b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    (
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 11\r\n\r\npassword=\xff\xfe"
    ),
    b"GET / HTTP/1.1\r\nHost: " + b"x" * 70_000 + b"\r\n\r\n",
    b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


@pytest.mark.parametrize("data", RAW, ids=range(len(RAW)))
async def test_no_request_of_a_stranger_opens_or_breaks_anything(
    data: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_limits, "IDLE_CHECK_S", 0.05)
    async with serve_web(admin_password="p" * 12, api_token="t" * 40) as web:
        host, port = str(web.client._base_url).strip("/").removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        status = answer.split(b" ")[1] if answer else b""
        assert status in (b"", b"303", b"400", b"401", b"403", b"404", b"405", b"413", b"415", b"431"), answer[:200]
        location = re.search(rb"\r\nlocation: (\S+)", answer)
        assert location is None or re.match(rb"/(?![/\\])", location[1])
        assert (await web.get("/healthz"))[0] == 200
    require_no_failure(caplog)


async def test_a_named_token_alone_closes_every_page_that_the_start_up_key_opened(logged_in: Browser) -> None:
    web = logged_in.web
    routes = await all_routes(web)
    await ApiTokens(web.app.redis).add("one", "")
    for method, path in routes:
        is_api = not is_page(path)
        client = web.client if is_api else logged_in.client
        async with client.request(method, filled(path), allow_redirects=False) as answer:
            assert answer.status == (401 if is_api else 403), path

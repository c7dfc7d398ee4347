"""Access to Flower: credentials, host names, waits after wrong passwords, and the audit lines of changes."""

import logging
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery
from flower.api import BaseApiHandler
from flower.app import Flower
from flower.options import default_options
from flower.urls import handlers
from flower.urls import settings as flower_settings
from flower.views import BaseHandler
from tornado.httpclient import HTTPResponse
from tornado.testing import AsyncHTTPTestCase
from tornado.web import URLSpec

from config.flower_options import FREE_ATTEMPTS, FlowerAccess, protect_flower

pytestmark = pytest.mark.slow

LOGIN = "ada:pässwörd"


def basic(login: str, encoding: str = "utf-8") -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(login.encode(encoding)).decode()}"}


class Server(AsyncHTTPTestCase):
    """Flower on a port of its own."""

    def runTest(self) -> None:  # noqa: N802  # the name that unittest calls
        """Exist, as `unittest` wants it."""

    def get_app(self) -> Flower:
        return Flower(capp=Celery(broker="memory://", set_as_current=False), options=default_options, **flower_settings)

    def ask(self, path: str, headers: dict[str, str] | None = None, **more: Any) -> HTTPResponse:
        return self.fetch(path, headers=headers or {}, **more)


@contextmanager
def flower(*logins: str) -> Iterator[tuple[Server, list[float]]]:
    """Serve Flower with these logins and a clock."""
    now = [0.0]
    names = ("prepare", "on_finish")
    kept = [(kind, name, vars(kind).get(name)) for kind in (BaseHandler, BaseApiHandler) for name in names]
    default_options.basic_auth = list(logins)
    protect_flower(FlowerAccess(logins, clock=lambda: now[0]))
    server = Server()
    server.setUp()
    try:
        yield server, now
    finally:
        server.tearDown()
        default_options.basic_auth = []
        for kind, name, value in kept:
            if value is not None:
                setattr(kind, name, value)
            elif name in vars(kind):
                delattr(kind, name)


@pytest.mark.parametrize("path", ["/", "/tasks", "/metrics", "/api/workers", "/nowhere"])
def test_every_page_of_flower_needs_the_password(path: str) -> None:
    with flower(LOGIN) as (server, _):
        assert server.ask(path).code == 401
        assert server.ask(path, basic("ada:wrong")).code == 401
        for encoding in ("utf-8", "latin-1"):
            assert server.ask(path, basic(LOGIN, encoding)).code in ((404,) if path == "/nowhere" else (200,))
        assert server.ask("/healthcheck").code == 200


@pytest.mark.parametrize("header", ["Basic", "Basic %", "Bearer x", "Basic YQ==", "x"])
def test_damaged_credentials_are_401(header: str) -> None:
    with flower(LOGIN) as (server, _):
        assert server.ask("/", {"Authorization": header}).code == 401


def test_after_some_wrong_passwords_even_the_right_one_must_wait() -> None:
    with flower(LOGIN) as (server, now):
        for _ in range(FREE_ATTEMPTS):
            assert server.ask("/", basic("ada:wrong")).code == 401
        answer = server.ask("/", basic(LOGIN))
        assert (answer.code, int(answer.headers["Retry-After"]) >= 1) == (429, True)
        now[0] += 2
        assert server.ask("/", basic(LOGIN)).code == 200
        assert server.ask("/", basic("ada:wrong")).code == 401, "the right password ends the waits"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:5555", "", "["])
def test_without_credentials_another_host_name_is_refused(host: str) -> None:
    with flower() as (server, _):
        assert server.ask("/", {"Host": host}).code in (400, 403)


def test_without_credentials_this_machine_sees_pages_but_no_metrics() -> None:
    with flower() as (server, _):
        for host in ("localhost:5555", "127.0.0.1", "[::1]:5555"):
            assert server.ask("/", {"Host": host}).code == 200
        assert server.ask("/metrics").code == 403


def test_a_change_in_flower_has_an_audit_line_with_its_user(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "worker.audit")
    recorded: list[tuple[str, ...]] = []
    with flower(LOGIN) as (server, _):
        server._app.capp.record_change = lambda *change: recorded.append(change)
        server.ask("/api/task/async-apply/slack.nothing", basic(LOGIN), method="POST", body='{"args": ["d1"]}')
        server.ask("/api/task/async-apply/slack.nothing", method="POST", body="{}")
    (line,) = [vars(record) for record in caplog.records if record.name == "worker.audit"]
    assert (line["who"], line["what"], line["outcome"]) == ("ada", "Flower POST", "refused")
    assert line["which"] == '/api/task/async-apply/slack.nothing {"args": ["d1"]}'
    assert recorded == [("ada (Flower)", "Flower POST", line["which"], "refused")]


METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")


def every_address() -> list[tuple[str, str]]:
    """Return the methods and addresses of everything that Flower serves but its probe and its public files."""
    patterns = [handler.regex.pattern if isinstance(handler, URLSpec) else handler[0] for handler in handlers]
    paths = {re.sub(r"\(.[*+]\)|\.\*", "x", pattern.removesuffix("$")).replace("/?", "") for pattern in patterns}
    return [
        (method, f"/{path.strip('/')}") for path in sorted(paths - {"/static/x", "/healthcheck"}) for method in METHODS
    ]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Host": "localhost"}, basic("ada:"), {"Authorization": "Basic \xe9"}, {"X-Forwarded-For": "127.0.0.1"}],
    ids=range(5),
)
def test_no_address_of_flower_opens_without_the_password(headers: dict[str, str]) -> None:
    with flower(LOGIN) as (server, now):
        for method, path in every_address():
            now[0] += 1_000  # no wait hides an address that is open
            body = {"method": method, "allow_nonstandard_methods": True, "body": b"{}" if method[0] == "P" else None}
            assert server.ask(path, headers, **body).code == 401, (method, path)


def test_without_a_password_another_host_name_opens_no_address_and_this_machine_changes_nothing() -> None:
    with flower() as (server, _):
        for method, path in every_address():
            more = {"method": method, "allow_nonstandard_methods": True, "body": b"{}" if method[0] == "P" else None}
            assert server.ask(path, {"Host": "evil.example"}, **more).code == 403, (method, path)
            if method not in ("GET", "HEAD"):
                assert server.ask(path, {"Host": "localhost"}, **more).code in (400, 401, 403, 404, 405), (method, path)


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}]
)
def test_a_page_of_another_site_changes_nothing_with_the_password_of_its_reader(headers: dict[str, str]) -> None:
    with flower(LOGIN) as (server, _):
        sent = basic(LOGIN) | headers
        answer = server.ask("/api/task/async-apply/slack.replay", sent, method="POST", body='{"args": ["d1"]}')
        assert answer.code == 403


@pytest.mark.parametrize(
    "path", ["/task/%ed%a0%80", "/task/" + "x" * 5_000, "/worker/%00", "/task/a%2fb", "/tasks?x=%ff", "/%2e%2e/"]
)
def test_an_odd_address_is_no_failure(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with flower(LOGIN) as (server, _):
        assert server.ask(path, basic(LOGIN)).code < 500
    assert [record for record in caplog.records if record.exc_info] == []

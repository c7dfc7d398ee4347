"""Behind nginx and haproxy, as Debian has them, nothing opens without a credential, whatever host they name."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, CookieJar
from support.examples import cases
from support.installation import Installation, until
from support.web_routes import DOCUMENT, OPEN, PAGES, Routes, api_routes, is_closed

from worker.local_machine import free_port

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{web_port}; {host} }}
  }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend all
  bind 127.0.0.1:{port}
  {host}
  default_backend web
backend web
  server web 127.0.0.1:{web_port}
"""
#: By name: the program, its arguments, its configuration, and the line that sets the Host header.
PROXIES = {
    "nginx as it comes": ("nginx", ("-c",), NGINX, ""),
    "nginx passing the host": ("nginx", ("-c",), NGINX, "proxy_set_header Host $http_host;"),
    "nginx naming this machine": ("nginx", ("-c",), NGINX, "proxy_set_header Host localhost;"),
    "haproxy as it comes": ("haproxy", ("-db", "-f"), HAPROXY, ""),
    "haproxy naming this machine": ("haproxy", ("-db", "-f"), HAPROXY, "http-request set-header Host localhost"),
}  # fmt: skip
HOSTS: tuple[dict[str, str], ...] = (
    {"Host": "localhost"},
    {"Host": "127.0.0.1", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost"},
    {"Host": "slack.example.com", "Forwarded": "for=127.0.0.1;host=localhost", "X-Forwarded-User": "admin"},
)


def find_program(name: str) -> str | None:
    """Return the path of a proxy; Debian installs them where users' PATH does not look."""
    return shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


async def statuses(base: str, paths: tuple[str, ...], **headers: str) -> dict[str, tuple[int, str]]:
    """Return each path's status and where it leads."""
    found = {}
    async with ClientSession(base) as session:
        for path in paths:
            async with session.get(path, allow_redirects=False, headers=headers) as answer:
                found[path] = (answer.status, answer.headers.get("location", ""))
    return found


def answers(base: str) -> Callable[[], object]:
    async def answered() -> bool:
        try:
            return (await statuses(base, ("/healthz",)))["/healthz"][0] == 200
        except ClientError:
            return False

    return answered


async def require_closed(base: str, routes: Routes) -> None:
    """Ask for every route without a credential: each is refused, or leads to the login."""
    async with ClientSession(base) as session:
        for headers in HOSTS:
            for method, template in routes:
                path = re.sub(r"{\w+}", "x", template)
                async with session.request(method, path, headers=headers, allow_redirects=False) as answer:
                    location = answer.headers.get("location", "")
                    assert is_closed(path, answer.status, location), (headers, method, path, answer.status)


@pytest.mark.slow
@pytest.mark.parametrize("name", cases(*reversed(PROXIES), short=3))
async def test_behind_a_proxy_nothing_opens_without_a_credential(name: str, fast: Installation) -> None:
    command, arguments, text, host = PROXIES[name]
    program = find_program(command)
    if program is None:
        pytest.skip(f"{command} is not installed")
    web_port, port = free_port(), free_port()
    web = fast.start("web", ("ik-slack", "web"), WEB_PORT=str(web_port))
    config = Path(fast.directory) / "proxy.conf"
    values = {"folder": fast.directory, "port": port, "web_port": web_port}
    config.write_text(text.format(**values, host=host.format(**values)))
    fast.start(command, (program, *arguments, str(config)))
    base = f"http://127.0.0.1:{port}"
    await until(answers(base), "the web process answers through the proxy")

    found = await statuses(base, tuple(path for path in OPEN if "{" not in path))
    assert {path for path, (status, _) in found.items() if status not in (200, 503)} == set()
    link = next(line for line in web.log.splitlines() if "/login?key=" in line).split()[-1]
    path = link.removeprefix(f"http://127.0.0.1:{web_port}")
    key = path.partition("key=")[2]
    bearer = {"authorization": f"Bearer {key}"}
    async with ClientSession(base, headers=bearer) as session, session.get("/api/openapi.json") as answer:
        routes = (*PAGES, *api_routes(await answer.json()), DOCUMENT)
    await require_closed(base, routes)
    async with ClientSession(base, cookie_jar=CookieJar(unsafe=True)) as session:
        async with session.get(path) as answer:
            assert (answer.status, answer.url.path_qs) == (200, "/")
        async with session.get("/api/v1/ledger", headers=bearer) as answer:
            assert answer.status == 200
        added = await fast.cli("api-tokens", "add", "alertmanager", "--only", "webhooks")
        assert added.code == 0, added
        async with session.get("/") as answer:
            assert (answer.status, "ADMIN_PASSWORD" in await answer.text()) == (403, True)
    await require_closed(base, routes)
    assert key not in web.log.replace(link, "")

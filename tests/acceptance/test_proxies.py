"""Behind nginx and haproxy, as Debian has them, nothing opens without a credential, whatever host they name."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, CookieJar
from support.installation import Installation, until

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
OPEN = ("/healthz", "/readyz", "/metrics", "/login")
PAGES = ("/", "/integrations", "/integrations/slack/setup", "/subscriptions", "/deliveries", "/parked", "/dead-letters")
HOSTS = ("localhost", "127.0.0.1", "slack.example.com")


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


async def require_closed(base: str, document: tuple[str, ...]) -> None:
    for host in HOSTS:
        for path, (status, location) in (await statuses(base, PAGES, Host=host)).items():
            assert (status, location.partition("?")[0]) in ((303, "/login"), (403, "")), (host, path)
        for path, (status, _) in (await statuses(base, document, Host=host)).items():
            assert status == 401, (host, path)
        async with ClientSession(base) as session:
            for path in ("/api/v1/events", "/webhooks/alertmanager", "/api/v1/dead-letters/discard"):
                async with session.post(path, json={"all": True}, headers={"Host": host}) as answer:
                    assert answer.status == 401, (host, path)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROXIES)
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

    assert {path for path, (status, _) in (await statuses(base, OPEN)).items() if status not in (200, 503)} == set()
    documents = ("/api/v1/ledger", "/api/v1/status", "/api/v1/integrations", "/api/openapi.json")
    await require_closed(base, documents)
    link = next(line for line in web.log.splitlines() if "/login?key=" in line).split()[-1]
    path = link.removeprefix(f"http://127.0.0.1:{web_port}")
    key = path.partition("key=")[2]
    async with ClientSession(base, cookie_jar=CookieJar(unsafe=True)) as session:
        async with session.get(path) as answer:
            assert (answer.status, answer.url.path_qs) == (200, "/")
        async with session.get("/api/v1/ledger", headers={"authorization": f"Bearer {key}"}) as answer:
            assert answer.status == 200
        added = await fast.cli("api-tokens", "add", "alertmanager", "--only", "webhooks")
        assert added.code == 0, added
        async with session.get("/") as answer:
            assert (answer.status, "ADMIN_PASSWORD" in await answer.text()) == (403, True)
    await require_closed(base, documents)
    assert key not in web.log.replace(link, "")

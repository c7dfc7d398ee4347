"""Access to the console: who is let in, and that nothing else gets past its door."""

import asyncio
import logging
import re
from pathlib import Path

import pytest
from browser import PASSWORD, TYPE, Browser, browsing
from pydantic import SecretStr
from yarl import URL

from worker.store.sessions import OF_AN_ADDRESS
from worker.web.nearness import counted_address, is_from_here
from worker.web.pages import access, door
from worker.web.pages.access import COST
from worker.web.pages.console import ELSEWHERE
from worker.web.pages.look import assets


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password is checked in no time; that it costs something has a test of its own."""
    monkeypatch.setattr(access, "COST", 16)


def test_a_try_of_the_password_costs_32_mib() -> None:
    assert 128 * 8 * COST == 32 * 1024 * 1024


async def test_who_has_not_logged_in_is_led_to_the_login_and_then_back() -> None:
    async with browsing() as browser:
        page = await browser.open("/?day=1")
        assert (page.status, page.path) == (200, "/login?to=/?day%3D1")
        page = await browser.send("/login", {"password": PASSWORD, "to": "/?day=1"})
        assert (page.status, page.path) == (200, "/?day=1")


async def test_the_password_is_nowhere_kept_as_it_is() -> None:
    async with browsing() as browser:
        await browser.log_in()
        kept = [
            value
            for key in await browser.web.made.server.command("KEYS", "*")
            for value in (key, await browser.web.made.server.command("DUMP", key))
        ]
        assert not any(PASSWORD.encode() in value for value in kept)


async def test_a_wrong_password_opens_nothing() -> None:
    async with browsing() as browser:
        page = await browser.log_in("a wrong horse")
        assert (page.status, "That is not the password." in page.text) == (403, True)
        assert "wrong horse" not in page.html
        assert (await browser.open("/")).path.startswith("/login")


async def test_the_cookie_is_for_this_site_alone_and_no_script_reads_it() -> None:
    async with browsing() as browser:
        await browser.open("/login")
        page = await browser.send("/login", {"password": PASSWORD, "to": "/"}, follow=False)
        (session,) = page.headers.getall("set-cookie")
        assert session.startswith("ik_slack=")
        assert session.endswith("; Path=/; HttpOnly; SameSite=Strict")


async def test_behind_tls_the_cookie_is_for_tls_alone() -> None:
    async with browsing() as browser:
        await browser.open("/login")
        fields = {"password": PASSWORD, "to": "/"}
        page = await browser.send("/login", fields, follow=False, Origin="https://slack.example.com")
        (session,) = page.headers.getall("set-cookie")
        assert session.startswith("__Host-ik_slack=")
        assert session.endswith("; Secure")


async def test_a_session_is_another_than_the_cookie_one_came_with() -> None:
    async with browsing() as browser:
        browser.plant("planted")
        await browser.log_in()
        assert browser.cookies()["ik_slack"] != "planted"


async def test_what_redis_keeps_is_no_session() -> None:
    async with browsing() as browser:
        await browser.log_in()
        (key,) = await browser.web.made.server.command("KEYS", "ik:session:*")
        name = key.decode().removeprefix("ik:session:")
        assert browser.cookies()["ik_slack"] not in name
        browser.plant(name)
        assert (await browser.open("/")).path == "/login"


async def test_logging_out_ends_the_session_everywhere() -> None:
    async with browsing() as browser:
        await browser.log_in()
        stolen = browser.cookies()["ik_slack"]
        assert (await browser.send("/logout")).path == "/login"
        assert "ik_slack" not in browser.cookies()
        browser.plant(stolen)
        assert (await browser.open("/")).path == "/login"


async def test_a_session_is_known_to_every_web_process_with_the_same_password_and_no_other() -> None:
    async with browsing() as browser:
        await browser.log_in()
        cookie = browser.cookies()["ik_slack"]
        names = [
            access.ConsoleAccess(SecretStr(password), None, salt="ik").session_name(cookie)
            for password in (PASSWORD, "another")
        ]
        assert await browser.web.made.server.command("EXISTS", f"ik:session:{names[0]}")
        assert not await browser.web.made.server.command("EXISTS", f"ik:session:{names[1]}")


async def test_after_some_wrong_passwords_even_the_right_one_has_to_wait() -> None:
    async with browsing() as browser:
        for _ in range(OF_AN_ADDRESS.free):
            assert (await browser.log_in("wrong")).status == 403
        page = await browser.log_in()
        assert page.status == 429
        assert int(page.headers["retry-after"]) >= 1
        assert "Too many tries: wait" in page.text


async def test_many_tries_at_the_same_moment_count_too() -> None:
    async with browsing() as browser:
        await browser.open("/login")
        token = browser.page.form_token
        fields = {"password": "wrong", "form_token": token}

        async def attempt() -> int:
            async with browser.client.post("/login", data=fields) as answer:
                return answer.status

        found = await asyncio.gather(*(attempt() for _ in range(20)))
        assert sorted(found) == [403] * OF_AN_ADDRESS.free + [429] * (20 - OF_AN_ADDRESS.free)


@pytest.mark.parametrize("to", ["//evil.example", "/\\evil.example", "https://evil.example", "/logout", ""])
async def test_a_login_leads_to_no_other_site(to: str) -> None:
    async with browsing() as browser:
        await browser.open("/login")
        page = await browser.send("/login", {"password": PASSWORD, "to": to}, follow=False)
        assert page.headers["location"] == "/"


async def test_a_form_without_its_token_changes_nothing() -> None:
    async with browsing() as browser:
        await browser.log_in()
        page = await browser.send("/logout", {"form_token": "0" * 32})
        assert (page.status, "open for too long" in page.text) == (403, True)
        assert (await browser.open("/")).path == "/"


async def test_a_token_of_another_browser_is_none() -> None:
    async with browsing() as browser:
        other = Browser(browser.web)
        async with other.client:
            await other.log_in()
            await browser.log_in()
            page = await browser.send("/logout", {"form_token": other.page.form_token})
        assert page.status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "", "Origin": "null"},
    ],
)
async def test_a_form_from_another_site_is_refused(headers: dict[str, str]) -> None:
    async with browsing() as browser:
        await browser.log_in()
        page = await browser.send("/logout", **headers)
        assert (page.status, "did not come from a page of this console" in page.text) == (403, True)


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "://", "https://]"])
async def test_an_origin_that_is_no_address_is_refused_as_any_other(origin: str) -> None:
    async with browsing() as browser:
        await browser.open("/login")
        page = await browser.send("/login", Sec_Fetch_Site="", Origin=origin)
        assert (page.status, "did not come from a page of this console" in page.text) == (403, True)


@pytest.mark.parametrize("host", ["x/login?", "x/login#", "x/assets/?", "["])
async def test_a_host_that_looks_like_a_path_opens_nothing(host: str) -> None:
    async with browsing() as browser:
        page = await browser.open("/deliveries", follow=False, Host=host)
        assert (page.status, page.headers["location"]) == (303, "/login?to=/deliveries")


def test_nothing_is_decided_by_an_address_that_the_host_header_is_a_part_of() -> None:
    for file in Path(door.__file__).parents[1].rglob("*.py"):
        assert not re.search(r"request\.(url|base_url)\.|url_for", file.read_text()), file


async def test_after_the_login_one_is_back_where_one_was_whatever_signs_that_address_has() -> None:
    async with browsing() as browser:
        page = await browser.open(URL("/explain/100%25%3Fdone%20%23", encoded=True))
        found = re.search('name="to" value="([^"]*)"', page.html)
        fields = {"password": PASSWORD, "to": found[1] if found else ""}
        page = await browser.send("/login", fields, follow=False)
        assert page.headers["location"] == "/explain/100%25%3Fdone%20%23"


async def test_an_old_browser_says_by_origin_that_a_form_is_ours() -> None:
    async with browsing() as browser:
        await browser.log_in()
        assert (await browser.send("/logout", Sec_Fetch_Site="", Origin=browser.base)).path == "/login"


async def test_a_form_of_a_session_that_has_ended_says_so_and_does_nothing() -> None:
    async with browsing() as browser:
        await browser.log_in()
        (key,) = await browser.web.made.server.command("KEYS", "ik:session:*")
        await browser.web.made.server.command("DEL", key)
        page = await browser.send("/logout")
        assert (page.status, "Your session has ended" in page.text) == (403, True)


async def test_a_link_in_slack_arrives_though_strict_cookies_do_not_go_with_it() -> None:
    async with browsing() as browser:
        page = await browser.open("/", follow=False, Sec_Fetch_Site="cross-site")
        assert (page.status, 'http-equiv="refresh" content="0"' in page.html) == (200, True)
        assert "set-cookie" not in page.headers


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere"])
async def test_every_page_forbids_scripts_of_others_framing_and_keeping(path: str) -> None:
    async with browsing(admin_password=None) as browser:
        headers = (await browser.open(path, follow=False)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert not any("unsafe" in value for value in policy.values())
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


async def test_no_page_has_a_script_or_a_style_in_it() -> None:
    async with browsing(admin_password=None) as browser:
        html = (await browser.open("/")).html
        assert " style=" not in html
        assert "<style" not in html
        assert re.search(r"<script(?! src=)|<[^>]* on[a-z]+=", html) is None


@pytest.mark.parametrize("path", ["/deliveries/", "/dead-letters//", "/integrations/slack/setup/"])
async def test_a_slash_too_many_leads_to_the_page_and_names_no_host(path: str) -> None:
    async with browsing() as browser:
        page = await browser.open(path, follow=False)
        assert (page.status, page.headers["location"]) == (307, path.rstrip("/"))


async def test_what_pages_load_is_kept_for_long_under_an_address_of_its_content() -> None:
    async with browsing() as browser:
        for asset in assets().values():
            page = await browser.open(asset.path)
            assert (page.status, page.headers["content-type"]) == (200, asset.media_type)
            assert page.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert (await browser.open("/assets/console.0.css")).status == 404


async def test_without_credentials_this_machine_needs_no_password() -> None:
    async with browsing(admin_password=None) as browser:
        page = await browser.open("/login")
        assert (page.status, page.path) == (200, "/")
        assert "Log out" not in page.text


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Host": "localhost.evil.example:8765"}, {"X_Forwarded_For": "203.0.113.7"}],
)
async def test_without_credentials_another_name_than_this_machines_is_refused(
    headers: dict[str, str],
) -> None:
    async with browsing(admin_password=None) as browser:
        page = await browser.open("/", **headers)
        assert (page.status, "for this machine alone" in page.text) == (403, True)


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1", "[::1]:8765", "LOCALHOST"])
async def test_without_credentials_every_name_of_this_machine_is_served(host: str) -> None:
    async with browsing(admin_password=None) as browser:
        assert (await browser.open("/", Host=host)).status == 200


async def test_with_a_token_for_the_api_alone_the_console_is_closed() -> None:
    async with browsing(admin_password=None, api_token="t" * 32) as browser:
        page = await browser.open("/")
        assert (page.status, "set ADMIN_PASSWORD" in page.text) == (403, True)


async def test_a_form_that_is_too_large_is_refused() -> None:
    async with browsing() as browser:
        await browser.open("/login")
        page = await browser.send("/login", {"password": "x" * 200_000})
        assert (page.status, "A form may have 128 KiB." in page.text) == (413, True)


async def test_a_form_that_does_not_arrive_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "SEND_S", 0.05)
    async with browsing() as browser:
        host, port = browser.base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Type: {TYPE}\r\nContent-Length: 50\r\n\r\npass"
        )
        writer.write(head.encode())
        assert b" 408 " in await reader.readline()
        writer.close()


async def test_a_page_that_takes_too_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "ANSWER_S", 0.0)
    async with browsing(admin_password=None) as browser:
        page = await browser.open("/")
        assert (page.status, "That took too long" in page.text) == (503, True)


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json", "text/plain"])
async def test_what_is_no_form_is_refused(kind: str) -> None:
    async with browsing() as browser:
        assert await browser.post(b"{}", kind) == 415


@pytest.mark.parametrize("body", [b"\xff\xfe", b"&".join(b"a=1" for _ in range(1000))])
async def test_a_damaged_form_is_refused(body: bytes) -> None:
    async with browsing() as browser:
        assert await browser.post(body, TYPE) == 400


async def test_other_methods_are_not_for_pages() -> None:
    async with browsing() as browser, browser.client.put("/login") as answer:
        assert answer.status == 405


async def test_each_change_leaves_a_line_that_says_who_what_and_which(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with browsing() as browser:
        with caplog.at_level(logging.INFO, "worker.web"):
            await browser.log_in()
            await browser.send("/logout")
    told = [record for record in caplog.records if record.getMessage() == "audit"]
    assert [(one.what, one.which) for one in told] == [("logged in", "console"), ("logged out", "console")]
    assert all(one.who.startswith("session ") and "127.0.0.1" in one.who for one in told)
    assert len({one.who for one in told}) == 1


async def test_a_wrong_password_leaves_a_line_without_it(caplog: pytest.LogCaptureFixture) -> None:
    async with browsing() as browser:
        with caplog.at_level(logging.INFO, "worker.web"):
            await browser.log_in("hunter2")
    assert "a wrong password for the console" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_page_that_does_not_exist_says_so_like_all_others() -> None:
    async with browsing(admin_password=None) as browser:
        page = await browser.open("/nowhere")
        assert (page.status, "There is no such page" in page.text, "Overview" in page.text) == (
            404,
            True,
            True,
        )


@pytest.mark.parametrize("path", ["/", "/login"])
async def test_without_redis_a_page_says_what_to_do(path: str) -> None:
    async with browsing() as browser:
        await browser.log_in()
        browser.web.redis.connected = False
        page = await browser.open(path)
        assert (page.status, "Start Redis, or correct REDIS_URL" in page.text) == (503, True)


@pytest.mark.parametrize("path", ELSEWHERE)
async def test_what_is_not_a_page_does_not_end_at_the_consoles_door(path: str) -> None:
    async with browsing() as browser:
        page = await browser.open(f"/{path}/nowhere", follow=False)
        assert (page.status, page.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", "unknown"),
    ],
)
def test_who_has_many_addresses_of_ipv6_is_counted_as_one(client: str, counted: str) -> None:
    assert counted_address(client) == counted


def test_only_names_nobody_else_can_give_are_this_machines() -> None:
    assert is_from_here("127.0.0.1", {"host": "localhost."})
    assert not is_from_here("127.0.0.1", {"host": ""})
    assert not is_from_here("127.0.0.1", {"host": "127.0.0.1.example.com"})
    assert not is_from_here("203.0.113.7", {"host": "localhost"})

"""Access to the console: logins, sessions, cookies, form tokens and refused requests."""

import asyncio
import logging
import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.web import FORM_TYPE, PASSWORD, STARTUP_KEY, Browser, open_browser
from yarl import URL

from worker.store.api_tokens import ApiTokens
from worker.store.sessions import PASSWORD_LIMIT, TOKEN_LIMIT
from worker.web.auth import throttle_key
from worker.web.console import OTHER_PATHS
from worker.web.console import middleware as door
from worker.web.console import request as console_request
from worker.web.console.request import COST
from worker.web.console.templating import assets


def test_a_check_of_the_password_takes_32_mib() -> None:
    assert 128 * 8 * COST == 32 * 1024 * 1024


async def test_a_page_without_a_session_leads_to_the_login_and_back() -> None:
    async with open_browser() as browser:
        page = await browser.open("/?day=1")
        assert (page.status, page.path) == (200, "/login?to=/?day%3D1")
        page = await browser.send("/login", {"password": PASSWORD, "to": "/?day=1"})
        assert (page.status, page.path) == (200, "/?day=1")


async def test_the_password_is_stored_nowhere_in_plain_text() -> None:
    async with open_browser() as browser:
        await browser.log_in()
        kept = [
            value
            for key in await browser.web.app.redis.command("KEYS", "*")
            for value in (key, await browser.web.app.redis.command("DUMP", key))
        ]
        assert not any(PASSWORD.encode() in value for value in kept)


async def test_a_wrong_password_opens_nothing() -> None:
    async with open_browser() as browser:
        page = await browser.log_in("a wrong horse")
        assert (page.status, "Wrong password." in page.text) == (403, True)
        assert "wrong horse" not in page.html
        assert (await browser.open("/")).path.startswith("/login")


async def test_the_cookie_is_strict_and_hidden_from_scripts() -> None:
    async with open_browser() as browser:
        await browser.open("/login")
        page = await browser.send("/login", {"password": PASSWORD, "to": "/"}, follow=False)
        (session,) = page.headers.getall("set-cookie")
        assert session.startswith("ik_slack=")
        assert session.endswith("; Path=/; HttpOnly; SameSite=Strict")


async def test_behind_tls_the_cookie_is_secure() -> None:
    async with open_browser() as browser:
        await browser.open("/login")
        fields = {"password": PASSWORD, "to": "/"}
        page = await browser.send("/login", fields, follow=False, Origin="https://slack.example.com")
        (session,) = page.headers.getall("set-cookie")
        assert session.startswith("__Host-ik_slack=")
        assert session.endswith("; Secure")


async def test_a_login_replaces_a_planted_session_cookie() -> None:
    async with open_browser() as browser:
        browser.plant("planted")
        await browser.log_in()
        assert browser.cookies()["ik_slack"] != "planted"


async def test_a_session_key_of_redis_does_not_open_a_session() -> None:
    async with open_browser() as browser:
        await browser.log_in()
        (key,) = await browser.web.app.redis.command("KEYS", "ik:session:*")
        name = key.decode().removeprefix("ik:session:")
        assert browser.cookies()["ik_slack"] not in name
        browser.plant(name)
        assert (await browser.open("/")).path == "/login"


async def test_logging_out_ends_the_session_everywhere() -> None:
    async with open_browser() as browser:
        await browser.log_in()
        stolen = browser.cookies()["ik_slack"]
        assert (await browser.send("/logout")).path == "/login"
        assert "ik_slack" not in browser.cookies()
        browser.plant(stolen)
        assert (await browser.open("/")).path == "/login"


async def test_a_session_is_known_to_every_web_process_with_the_same_password_and_no_other() -> None:
    async with open_browser() as browser:
        await browser.log_in()
        cookie = browser.cookies()["ik_slack"]
        names = [
            console_request.ConsoleAccess(
                SecretStr(password), "", ApiTokens(browser.web.app.redis), salt="ik"
            ).session_name(cookie)
            for password in (PASSWORD, "another")
        ]
        assert await browser.web.app.redis.command("EXISTS", f"ik:session:{names[0]}")
        assert not await browser.web.app.redis.command("EXISTS", f"ik:session:{names[1]}")


async def test_after_some_wrong_passwords_even_the_right_one_must_wait() -> None:
    async with open_browser() as browser:
        for _ in range(PASSWORD_LIMIT.free):
            assert (await browser.log_in("wrong")).status == 403
        page = await browser.log_in()
        assert page.status == 429
        assert int(page.headers["retry-after"]) >= 1
        assert "Too many wrong passwords: wait" in page.text


async def test_concurrent_login_attempts_count() -> None:
    async with open_browser() as browser:
        await browser.open("/login")
        token = browser.page.form_token
        fields = {"password": "wrong", "form_token": token}

        async def attempt() -> int:
            async with browser.client.post("/login", data=fields) as answer:
                return answer.status

        found = await asyncio.gather(*(attempt() for _ in range(20)))
        assert sorted(found) == [403] * PASSWORD_LIMIT.free + [429] * (20 - PASSWORD_LIMIT.free)


@pytest.mark.parametrize("to", ["//evil.example", "/\\evil.example", "https://evil.example", "/logout", ""])
async def test_a_login_does_not_redirect_to_another_site(to: str) -> None:
    async with open_browser() as browser:
        await browser.open("/login")
        page = await browser.send("/login", {"password": PASSWORD, "to": to}, follow=False)
        assert page.headers["location"] == "/"


async def test_a_form_without_its_token_changes_nothing() -> None:
    async with open_browser() as browser:
        await browser.log_in()
        page = await browser.send("/logout", {"form_token": "0" * 32})
        assert (page.status, "open for too long" in page.text) == (403, True)
        assert (await browser.open("/")).path == "/"


async def test_a_form_token_of_another_browser_is_rejected() -> None:
    async with open_browser() as browser:
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
    async with open_browser() as browser:
        await browser.log_in()
        page = await browser.send("/logout", **headers)
        assert (page.status, "not sent by a page of this console" in page.text) == (403, True)


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "://", "https://]"])
async def test_an_origin_that_is_not_an_address_is_refused(origin: str) -> None:
    async with open_browser() as browser:
        await browser.open("/login")
        page = await browser.send("/login", Sec_Fetch_Site="", Origin=origin)
        assert (page.status, "not sent by a page of this console" in page.text) == (403, True)


@pytest.mark.parametrize("host", ["x/login?", "x/login#", "x/assets/?", "["])
async def test_a_host_header_that_looks_like_a_path_opens_no_page(host: str) -> None:
    async with open_browser() as browser:
        page = await browser.open("/deliveries", follow=False, Host=host)
        assert (page.status, page.headers["location"]) == (303, "/login?to=/deliveries")


def test_no_code_reads_an_address_that_contains_the_host_header() -> None:
    for file in Path(door.__file__).parents[1].rglob("*.py"):
        assert not re.search(r"request\.(url|base_url)\.|url_for", file.read_text()), file


async def test_the_login_leads_back_to_an_address_of_any_characters() -> None:
    async with open_browser() as browser:
        page = await browser.open(URL("/explain/100%25%3Fdone%20%23", encoded=True))
        found = re.search('name="to" value="([^"]*)"', page.html)
        fields = {"password": PASSWORD, "to": found[1] if found else ""}
        page = await browser.send("/login", fields, follow=False)
        assert page.headers["location"] == "/explain/100%25%3Fdone%20%23"


async def test_an_old_browser_proves_a_form_by_its_origin() -> None:
    async with open_browser() as browser:
        await browser.log_in()
        assert (await browser.send("/logout", Sec_Fetch_Site="", Origin=browser.base)).path == "/login"


async def test_a_form_of_an_ended_session_changes_nothing_and_names_the_cause() -> None:
    async with open_browser() as browser:
        await browser.log_in()
        (key,) = await browser.web.app.redis.command("KEYS", "ik:session:*")
        await browser.web.app.redis.command("DEL", key)
        page = await browser.send("/logout")
        assert (page.status, "Your session has ended" in page.text) == (403, True)


async def test_a_link_in_slack_works_although_it_carries_no_strict_cookie() -> None:
    async with open_browser() as browser:
        page = await browser.open("/", follow=False, Sec_Fetch_Site="cross-site")
        assert (page.status, 'http-equiv="refresh" content="0"' in page.html) == (200, True)
        assert "set-cookie" not in page.headers


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere"])
async def test_every_page_forbids_foreign_scripts_framing_and_caching(path: str) -> None:
    async with open_browser(admin_password=None) as browser:
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


async def test_no_page_has_an_inline_script_or_style() -> None:
    async with open_browser(admin_password=None) as browser:
        html = (await browser.open("/")).html
        assert " style=" not in html
        assert "<style" not in html
        assert re.search(r"<script(?! src=)|<[^>]* on[a-z]+=", html) is None


@pytest.mark.parametrize("path", ["/deliveries/", "/dead-letters//", "/integrations/slack/setup/"])
async def test_a_trailing_slash_redirects_to_the_page_without_naming_a_host(path: str) -> None:
    async with open_browser() as browser:
        page = await browser.open(path, follow=False)
        assert (page.status, page.headers["location"]) == (307, path.rstrip("/"))


async def test_static_files_are_cached_for_long_under_an_address_of_their_content() -> None:
    async with open_browser() as browser:
        for asset in assets().values():
            page = await browser.open(asset.path)
            assert (page.status, page.headers["content-type"]) == (200, asset.media_type)
            assert page.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert (await browser.open("/assets/console.0.css")).status == 404


async def test_the_printed_link_opens_a_session_and_leaves_the_address_bar() -> None:
    async with open_browser(admin_password=None) as browser:
        browser.client.cookie_jar.clear()
        page = await browser.open(f"/login?key={STARTUP_KEY}&to=/deliveries", follow=False)
        assert (page.status, page.headers["location"]) == (303, "/deliveries")
        assert page.headers["referrer-policy"] == "no-referrer"
        (session,) = (cookie for cookie in page.headers.getall("set-cookie") if cookie.startswith("ik_slack="))
        assert session.endswith("; HttpOnly; SameSite=Strict")
        assert (await browser.open("/")).path == "/"


async def test_the_start_up_key_opens_a_session_in_the_form_too() -> None:
    async with open_browser(admin_password=None) as browser:
        browser.client.cookie_jar.clear()
        page = await browser.open("/")
        assert (page.path, "DATA_DIR" in page.text) == ("/login", True)
        assert (await browser.send("/login", {"password": STARTUP_KEY, "to": "/"})).path == "/"


NAMES_OF_THIS_MACHINE: list[dict[str, str]] = [
    {}, {"Host": "localhost"}, {"Host": "127.0.0.1:8765"}, {"Host": "[::1]"}, {"X_Forwarded_For": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1;host=localhost"}, {"X_Real_IP": "::1"}, {"Via": "1.1 localhost"},
]  # fmt: skip


@pytest.mark.parametrize("headers", NAMES_OF_THIS_MACHINE)
async def test_no_host_name_and_no_header_of_a_proxy_opens_a_page(headers: dict[str, str]) -> None:
    async with open_browser(admin_password=None) as browser:
        browser.client.cookie_jar.clear()
        for path in ("/", "/deliveries", "/integrations/slack/setup", "/nowhere"):
            page = await browser.open(path, follow=False, **headers)
            assert (page.status, page.headers["location"].partition("?")[0]) == (303, "/login")


@pytest.mark.parametrize(
    "key",
    ["wrong", STARTUP_KEY[:-1], f"{STARTUP_KEY}x", "\u00e9", "%00"],
    ids=["word", "shortened", "lengthened", "accent", "null"],  # the key differs in each process
)
async def test_a_wrong_start_up_key_opens_nothing(key: str) -> None:
    async with open_browser(admin_password=None) as browser:
        browser.client.cookie_jar.clear()
        page = await browser.open(f"/login?key={key}")
        assert (page.status, page.headers["referrer-policy"]) == (403, "no-referrer")
        assert (await browser.open("/")).path == "/login"


async def test_guesses_of_the_start_up_key_must_wait_and_the_right_key_does_not() -> None:
    async with open_browser(admin_password=None) as browser:
        statuses = [(await browser.open(f"/login?key=wrong{number}")).status for number in range(TOKEN_LIMIT.free + 1)]
        assert statuses == [403] * TOKEN_LIMIT.free + [429]
        assert (await browser.open(f"/login?key={STARTUP_KEY}")).path == "/"


async def test_a_named_token_closes_the_console_that_the_start_up_key_opened() -> None:
    async with open_browser(admin_password=None) as browser:
        assert (await browser.open("/")).status == 200
        tokens = ApiTokens(browser.web.app.redis)
        await tokens.add("one", "webhooks")
        for path in ("/", "/login", f"/login?key={STARTUP_KEY}"):
            page = await browser.open(path)
            assert (page.status, "set ADMIN_PASSWORD" in page.text) == (403, True)
        await tokens.revoke("one")
        assert (await browser.open("/")).status == 200


async def test_with_a_password_the_start_up_key_opens_nothing() -> None:
    async with open_browser() as browser:
        page = await browser.open(f"/login?key={STARTUP_KEY}", follow=False)
        assert (page.status, page.headers["location"]) == (303, "/login")
        assert (await browser.open("/")).path == "/login"


async def test_no_log_line_contains_the_start_up_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_browser(admin_password=None) as browser:
        await browser.open(f"/login?key={STARTUP_KEY}")
        await browser.open("/login?key=wrong-key-of-a-person")
        await browser.send("/logout")
    written = " ".join(str(vars(record)) for record in caplog.records if record.name.startswith(("worker", "uvicorn")))
    assert "start-up key rejected" in written
    assert STARTUP_KEY not in written
    assert "wrong-key-of-a-person" not in written


async def test_with_only_an_api_token_the_console_is_closed() -> None:
    async with open_browser(admin_password=None, api_token="t" * 32) as browser:
        page = await browser.open("/")
        assert (page.status, "set ADMIN_PASSWORD" in page.text) == (403, True)


async def test_a_form_that_is_too_large_is_refused() -> None:
    async with open_browser() as browser:
        await browser.open("/login")
        page = await browser.send("/login", {"password": "x" * 200_000})
        assert (page.status, "A form can have up to 128 KiB." in page.text) == (413, True)


async def test_a_form_that_does_not_arrive_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "FORM_S", 0.05)
    async with open_browser() as browser:
        host, port = browser.base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Type: {FORM_TYPE}\r\nContent-Length: 50\r\n\r\npass"
        writer.write(head.encode())
        assert b" 408 " in await reader.readline()
        writer.close()


async def test_a_page_that_takes_too_long_names_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "ANSWER_S", 0.0)
    async with open_browser(admin_password=None) as browser:
        page = await browser.open("/")
        assert (page.status, "Timeout" in page.text) == (503, True)


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json", "text/plain"])
async def test_a_body_that_is_not_a_form_is_refused(kind: str) -> None:
    async with open_browser() as browser:
        assert await browser.post(b"{}", kind) == 415


@pytest.mark.parametrize("body", [b"\xff\xfe", b"&".join(b"a=1" for _ in range(1000))])
async def test_a_damaged_form_is_refused(body: bytes) -> None:
    async with open_browser() as browser:
        assert await browser.post(body, FORM_TYPE) == 400


async def test_pages_refuse_other_methods() -> None:
    async with open_browser() as browser, browser.client.put("/login") as answer:
        assert answer.status == 405


async def test_each_change_has_an_audit_line_with_actor_action_and_target(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_browser() as browser:
        with caplog.at_level(logging.INFO, "worker.audit"):
            await browser.log_in()
            await browser.send("/logout")
    audit_lines = [record for record in caplog.records if record.getMessage() == "change audited"]
    assert [(one.what, one.which) for one in audit_lines] == [("logged in", "console"), ("logged out", "console")]
    assert all(one.who.startswith("session ") and "127.0.0.1" in one.who for one in audit_lines)
    assert len({one.who for one in audit_lines}) == 1


async def test_a_wrong_password_has_an_audit_line_without_the_password(caplog: pytest.LogCaptureFixture) -> None:
    async with open_browser() as browser:
        with caplog.at_level(logging.INFO, "worker.web"):
            await browser.log_in("hunter2")
    assert "password rejected" in caplog.text
    assert "hunter2" not in caplog.text


async def test_an_unknown_page_is_404_in_the_layout_of_the_console() -> None:
    async with open_browser(admin_password=None) as browser:
        page = await browser.open("/nowhere")
        assert (page.status, "Page not found" in page.text, "Overview" in page.text) == (
            404,
            True,
            True,
        )


@pytest.mark.parametrize("path", ["/", "/login"])
async def test_without_redis_a_page_names_the_fix(path: str) -> None:
    async with open_browser() as browser:
        await browser.log_in()
        browser.web.redis.connected = False
        page = await browser.open(path)
        assert (page.status, "Start it, or correct REDIS_URL" in page.text) == (503, True)


@pytest.mark.parametrize("path", OTHER_PATHS)
async def test_unknown_paths_of_the_api_do_not_lead_to_the_login(path: str) -> None:
    async with open_browser() as browser:
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
def test_addresses_of_one_ipv6_network_share_a_login_limit(client: str, counted: str) -> None:
    assert throttle_key(client) == counted

"""Access to the API and the webhooks: with a token, or with the start-up key while there is no other credential."""

import logging
from base64 import b64encode

import pytest
from support.web import STARTUP_KEY, Answer, Browser, Web, serve_web

from worker.store.api_tokens import ApiTokens
from worker.store.audit import AuditTrail
from worker.store.sessions import TOKEN_LIMIT

PATH = "/webhooks/alertmanager"
TOKEN = "t" * 40
FREE = TOKEN_LIMIT.free
ALERT = {
    "status": "firing",
    "labels": {"alertname": "a"},
    "startsAt": "2026-11-27T10:00:00Z",
    "fingerprint": "f",
}
GROUP = {"version": "4", "alerts": [ALERT]}


async def post(web: Web, token: str = "", **headers: str) -> Answer:
    given = {"authorization": f"Bearer {token}"} if token else {}
    return await web.ask("POST", PATH, GROUP, headers=given | headers)


async def add_token(web: Web, name: str, only: str = "") -> str:
    token = await ApiTokens(web.app.redis).add(name, only)
    assert token
    return token.reveal()


@pytest.mark.parametrize("given", [{"api_token": TOKEN}, {"admin_password": "p"}, {}])
async def test_with_any_credential_the_api_needs_a_bearer_token(given: dict[str, str]) -> None:
    async with serve_web(**given) as web:
        named = await add_token(web, "one")
        for wrong in (" ", "wrong", "p", named[:-1]):
            answer = await post(web, wrong)
            assert answer.status == 401, wrong
            assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="ik-slack"')
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert "ik-slack api-tokens add" in answer.body["detail"]
        assert (await post(web, named)).status == 202
        assert (await post(web, TOKEN)).status == (202 if "api_token" in given else 401)


async def test_every_path_of_the_api_needs_a_token() -> None:
    async with serve_web(api_token=TOKEN) as web:
        _, document = await web.json("/api/openapi.json")
        asked = [
            (method.upper(), path.replace("{", "").replace("}", ""))
            for path, operations in document["paths"].items()
            for method in operations
            if path.startswith(("/api/", "/webhooks/"))
        ]
        assert len(asked) > 30
        answers = {(method, path): (await web.ask(method, path, {})).status for method, path in asked}
        assert {one: status for one, status in answers.items() if status != 401} == {}


async def test_a_wrong_token_and_a_missing_token_have_different_errors(web: Web) -> None:
    await add_token(web, "one")
    assert 'error="invalid_token"' in (await post(web, "wrong")).headers["WWW-Authenticate"]
    assert "error" not in (await post(web, " ")).headers["WWW-Authenticate"]


async def test_a_revoked_token_is_refused_immediately(web: Web) -> None:
    one, two = await add_token(web, "one"), await add_token(web, "two")
    assert (await post(web, one)).status == 202
    await ApiTokens(web.app.redis).revoke("one")
    assert (await post(web, one)).status == 401
    assert (await post(web, two)).status == 202


async def test_probes_and_metrics_need_no_credentials() -> None:
    async with serve_web(api_token=TOKEN) as web:
        assert [(await web.get(path))[0] for path in ("/healthz", "/metrics")] == [200, 200]


async def test_a_body_without_credentials_is_not_read() -> None:
    async with serve_web(api_token=TOKEN) as web:
        await post(web)
        assert await web.entries() == []


HEADERS_OF_THIS_MACHINE: list[dict[str, str]] = [
    {}, {"host": "localhost"}, {"host": "127.0.0.1:8765"}, {"host": "[::1]:8765"}, {"x-forwarded-for": "127.0.0.1"},
    {"forwarded": "for=127.0.0.1"}, {"sec-fetch-site": "same-origin"}, {"x-real-ip": "::1"},
]  # fmt: skip


@pytest.mark.parametrize("headers", HEADERS_OF_THIS_MACHINE)
async def test_no_address_and_no_header_opens_the_api_without_a_token(web: Web, headers: dict[str, str]) -> None:
    _, document = await web.json("/api/openapi.json")
    assert len(document["paths"]) > 20
    for path in ("/api/openapi.json", "/api/v1/ledger", "/api/v1/events/evt-1"):
        answer = await web.ask("GET", path, headers={"authorization": ""} | headers)
        assert answer.status == 401, path
        assert "startup-key" in answer.body["detail"]
    assert (await post(web, " ", **headers)).status == 401
    assert await web.entries() == []


async def test_the_start_up_key_is_a_token_until_there_is_a_named_one(web: Web) -> None:
    assert (await post(web, STARTUP_KEY)).status == 202
    for wrong in (STARTUP_KEY[:-1], f"{STARTUP_KEY}x", "\u00e9"):
        assert (await post(web, wrong)).status == 401
    await add_token(web, "one", "read")
    answer = await post(web, STARTUP_KEY)
    assert (answer.status, "named tokens" in answer.body["detail"]) == (401, True)
    await ApiTokens(web.app.redis).revoke("one")
    assert (await post(web, STARTUP_KEY)).status == 202


@pytest.mark.parametrize("given", [{"api_token": TOKEN}, {"admin_password": "p"}])
async def test_the_start_up_key_opens_nothing_beside_a_credential_of_the_settings(given: dict[str, str]) -> None:
    async with serve_web(**given) as web:
        assert (await post(web, STARTUP_KEY)).status == 401


READ, PUBLISH, CHANGE = ("GET", "/api/v1/ledger"), ("POST", "/api/v1/events"), ("POST", "/api/v1/parked/resume")


@pytest.mark.parametrize(
    ("only", "allowed"),
    [
        ("webhooks", {("POST", PATH)}),
        ("publish", {PUBLISH}),
        ("read", {READ}),
        ("", {("POST", PATH), PUBLISH, READ, CHANGE}),
    ],
)
async def test_a_scoped_token_may_do_nothing_else(web: Web, only: str, allowed: set[tuple[str, str]]) -> None:
    token = await add_token(web, "one", only)
    for method, path in (("POST", PATH), PUBLISH, READ, CHANGE):
        answer = await web.ask(
            method, path, None if method == "GET" else {}, headers={"authorization": f"Bearer {token}"}
        )
        assert (answer.status != 403) == ((method, path) in allowed), path
        if answer.status == 403:
            assert f"for {only} only" in answer.body["detail"]


@pytest.mark.parametrize("user", ["", "alertmanager", "a b"])
async def test_webhooks_and_nothing_else_take_the_token_as_a_password(web: Web, user: str) -> None:
    token = await add_token(web, "one")

    async def ask(method: str, path: str, password: str) -> Answer:
        credentials = b64encode(f"{user}:{password}".encode()).decode()
        return await web.ask(method, path, GROUP, headers={"authorization": f"bASIC {credentials}"})

    assert (await ask("POST", PATH, token)).status == 202
    refused = await ask("POST", PATH, token[:-1])
    assert (refused.status, "Basic realm=" in refused.headers["WWW-Authenticate"]) == (401, True)
    assert (await ask("GET", "/api/v1/ledger", token)).status == 401
    for broken in ("Basic", "Basic %", "Basic =", f"Basic {b64encode(token.encode()).decode()}", "Basic w6k6w6k="):
        assert (await web.ask("POST", PATH, GROUP, headers={"authorization": broken})).status == 401, broken


async def test_every_change_has_one_audit_line_with_the_token_name(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "worker.audit")
    assert (await post(web)).status == 202
    one = await add_token(web, "one")
    assert (await post(web, one)).status == 202
    assert (await post(web, "wrong")).status == 401
    audit_lines = [vars(record) for record in caplog.records if record.name == "worker.audit"]
    assert [(line["who"], line["what"], line["outcome"], line["events"]) for line in audit_lines] == [
        ("start-up key", f"POST {PATH}", "done", 1),
        ("one", f"POST {PATH}", "done", 1),
    ]


async def test_no_log_line_contains_a_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve_web(api_token=TOKEN) as web:
        one = await add_token(web, "one")
        for token in (TOKEN, one, "wrong-token-of-a-person"):
            await post(web, token)
    written = " ".join(str(vars(record)) for record in caplog.records if record.name.startswith("worker"))
    assert "token rejected" in written
    for token in (TOKEN, one, "wrong-token-of-a-person"):
        assert token not in written


async def test_token_guesses_must_wait_and_a_short_token_waits_with_them() -> None:
    async with serve_web(api_token="short") as web:
        named = await add_token(web, "one")
        answers = [await post(web, f"wrong{number}") for number in range(FREE + 1)]
        assert [answer.status for answer in answers] == [401] * FREE + [429]
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert (await post(web, "short")).status == 429
        assert (await post(web, named)).status == 202, "a long token cannot be guessed and is always accepted"


async def test_a_long_token_is_accepted_however_often_others_were_wrong() -> None:
    async with serve_web(api_token=TOKEN) as web:
        for number in range(FREE + 1):
            await post(web, f"wrong{number}")
        assert (await post(web, TOKEN)).status == 202


async def test_a_refused_change_has_an_audit_line_with_its_outcome(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "worker.audit")
    assert (await web.ask("POST", PATH, {"version": "4", "alerts": []}, headers={"host": "localhost"})).status == 400
    audit_lines = [vars(record) for record in caplog.records if record.name == "worker.audit"]
    assert [(line["who"], line["outcome"]) for line in audit_lines] == [("start-up key", "refused")]


async def test_changes_by_api_and_console_are_in_one_trail_and_published_events_are_not(web: Web) -> None:
    trail = AuditTrail(web.app.redis)
    assert (await post(web)).status == 202
    await web.ask("POST", "/api/v1/dead-letters/discard", {"ids": ["a"]})
    browser = Browser(web)
    async with browser.client:
        await browser.log_in_by_key()
    login, discard = await trail.find_newest(10)
    assert (discard.who, discard.what, discard.outcome) == (
        "start-up key", "POST /api/v1/dead-letters/discard", "done",
    )  # fmt: skip
    assert "ids=a" in discard.which
    assert (login.what, login.which, login.outcome) == ("logged in", "console", "done")
    assert login.who.startswith("session ")

"""Who may use the API and the webhooks: whoever brings a credential; without any, this machine alone."""

import logging
from typing import Any

import pytest
from web_house import Answer, Web, served

from worker.store.api_tokens import ApiTokens
from worker.web.patience import FREE, LONGEST_WAIT_S, REMEMBERED_MOST, Patience

PATH = "/webhooks/alertmanager"
TOKEN = "t" * 40
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


async def added(web: Web, name: str) -> str:
    token = await ApiTokens(web.made.server).add(name)
    assert token
    return token.reveal()


@pytest.mark.parametrize("given", [{"api_token": TOKEN}, {"admin_password": "p"}, {}])
async def test_with_any_credential_a_bearer_token_is_needed(given: dict[str, str]) -> None:
    async with served(**given) as web:
        named = await added(web, "one")
        for wrong in ("", "wrong", "p", named[:-1]):
            answer = await post(web, wrong)
            assert answer.status == 401, wrong
            assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="ik-slack"')
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert "ik-slack api-tokens add" in answer.body["detail"]
        assert (await post(web, named)).status == 202
        assert (await post(web, TOKEN)).status == (202 if "api_token" in given else 401)


async def test_no_path_of_the_api_is_open() -> None:
    async with served(api_token=TOKEN) as web:
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


async def test_a_wrong_token_is_told_from_none(web: Web) -> None:
    await added(web, "one")
    assert 'error="invalid_token"' in (await post(web, "wrong")).headers["WWW-Authenticate"]
    assert "error" not in (await post(web)).headers["WWW-Authenticate"]


async def test_a_revoked_token_opens_nothing_at_once(web: Web) -> None:
    one, two = await added(web, "one"), await added(web, "two")
    assert (await post(web, one)).status == 202
    await ApiTokens(web.made.server).revoke("one")
    assert (await post(web, one)).status == 401
    assert (await post(web, two)).status == 202


async def test_probes_and_metrics_take_no_credentials() -> None:
    async with served(api_token=TOKEN) as web:
        assert [(await web.get(path))[0] for path in ("/healthz", "/metrics")] == [200, 200]


async def test_nothing_is_read_of_who_is_not_let_in() -> None:
    async with served(api_token=TOKEN) as web:
        await post(web)
        assert await web.entries() == []


@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1:1", "[::1]:8765", "127.1.2.3"])
async def test_without_credentials_this_machine_is_let_in_by_its_own_names(web: Web, host: str) -> None:
    assert (await post(web, host=host)).status == 202


async def test_without_credentials_nobody_is_let_in_through_a_proxy_of_this_machine(web: Web) -> None:
    for header in ("X-Forwarded-For", "Forwarded", "Via"):
        answer = await web.ask(
            "GET", "/api/v1/ledger", headers={"Host": "localhost", header: "for=203.0.113.7"}
        )
        assert (answer.status, "through a proxy" in answer.body["detail"]) == (403, True)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "[::2]", "10.0.0.1"]
)
async def test_without_credentials_another_name_is_refused(web: Web, host: str) -> None:
    answer = await post(web, host=host)
    assert answer.status == 403
    assert "API_TOKEN" in answer.body["detail"]
    assert await web.entries() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_without_credentials_a_page_of_another_site_is_refused(
    web: Web, headers: dict[str, str]
) -> None:
    assert (await post(web, **headers)).status == 403
    assert await web.entries() == []


@pytest.mark.parametrize("given", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_without_credentials_a_form_is_refused(web: Web, given: str) -> None:
    assert (await post(web, **{"content-type": given})).status == 415


async def test_every_change_is_one_line_that_names_the_token(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "worker.audit")
    assert (await post(web)).status == 202
    one = await added(web, "one")
    assert (await post(web, one)).status == 202
    assert (await post(web, "wrong")).status == 401
    told = [vars(record) for record in caplog.records if record.name == "worker.audit"]
    assert [(line["by"], line["did"], line["events"]) for line in told] == [
        ("this machine", f"POST {PATH}", 1),
        ("one", f"POST {PATH}", 1),
    ]


async def test_a_token_is_in_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(api_token=TOKEN) as web:
        one = await added(web, "one")
        for token in (TOKEN, one, "wrong-token-of-somebody"):
            await post(web, token)
    written = " ".join(str(vars(record)) for record in caplog.records if record.name.startswith("worker"))
    assert "wrong token" in written
    for token in (TOKEN, one, "wrong-token-of-somebody"):
        assert token not in written


async def test_who_guesses_has_to_wait_and_a_short_token_is_not_looked_at() -> None:
    async with served(api_token="short") as web:
        named = await added(web, "one")
        answers = [await post(web, f"wrong{number}") for number in range(FREE + 1)]
        assert [answer.status for answer in answers] == [401] * FREE + [429]
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert (await post(web, "short")).status == 429
        assert (await post(web, named)).status == 202, "nobody guesses this one: it is always let in"


async def test_a_long_token_is_let_in_however_often_others_were_wrong() -> None:
    async with served(api_token=TOKEN) as web:
        for number in range(FREE + 1):
            await post(web, f"wrong{number}")
        assert (await post(web, TOKEN)).status == 202


def test_the_wait_doubles_and_is_forgotten_in_time() -> None:
    now = [1000.0]
    patience = Patience(lambda: now[0])
    for _ in range(FREE - 1):
        patience.failed("a")
    assert patience.wait_s("a") == 0
    patience.failed("a")
    assert patience.wait_s("a") == 1
    patience.failed("a")
    assert (patience.wait_s("a"), patience.wait_s("b")) == (2, 0)
    for _ in range(60):
        patience.failed("a")
    assert patience.wait_s("a") == LONGEST_WAIT_S
    now[0] += 1000
    patience.failed("a")
    assert patience.wait_s("a") == 0


def test_very_many_addresses_do_not_fill_the_memory() -> None:
    patience = Patience(lambda: 1.0)
    for number in range(REMEMBERED_MOST + 5):
        patience.failed(str(number))
    failures: dict[str, Any] = patience._failures
    assert len(failures) == REMEMBERED_MOST

"""The API's nouns: what is asked is answered, what is wrong is a problem that says so."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from web_house import Answer, Web, served

from worker.sandbox.slack import SlackSandbox
from worker.sandbox.state import Workspace
from worker.store.vault import generate_key
from worker.web.app import make_app


@pytest.fixture
async def acme() -> AsyncIterator[tuple[Web, Workspace]]:
    """A web process, and a workspace with two channels."""
    sandbox = SlackSandbox()
    sandbox.set_rate(0)
    workspace = sandbox.add_workspace("Acme")
    workspace.add_channel("ops")
    workspace.add_channel("closed", member=False)
    async with (
        sandbox.serving() as url,
        served(slack_api_url=url, encryption_key=generate_key()) as web,
    ):
        yield web, workspace


async def connected(web: Web, workspace: Workspace) -> Answer:
    return await web.ask("POST", "/api/v1/integrations", {"name": "acme", "token": workspace.token})


async def empty(web: Web, method: str, path: str) -> Answer:
    """A change without a body."""
    return await web.ask(method, f"/api/v1/{path}", headers={"content-type": "application/json"})


async def get(web: Web, path: str) -> Any:
    answer = await web.ask("GET", f"/api/v1/{path}")
    assert answer.status == 200, answer
    return answer.body


async def test_an_integration_lives_and_its_token_is_never_said(
    acme: tuple[Web, Workspace], caplog: pytest.LogCaptureFixture
) -> None:
    web, workspace = acme
    caplog.set_level(logging.DEBUG)
    answers = [await connected(web, workspace)]
    assert answers[0].status == 201
    answers.append(await web.ask("POST", "/api/v1/integrations/acme/test", {"post": "#ops"}))
    assert [check["passed"] for check in answers[-1].body["checks"]] == [True] * 4
    new = workspace.add_token()
    answers.append(await web.ask("POST", "/api/v1/integrations/acme/rotate", {"token": new}))
    assert answers[-1].body["warnings"] == []
    answers.append(await empty(web, "POST", "integrations/acme/disable"))
    assert answers[-1].body["state"] == "disabled"
    answers.append(await empty(web, "POST", "integrations/acme/enable"))
    assert answers[-1].body["state"] == "active"
    assert [one["name"] for one in (await get(web, "integrations"))["rows"]] == ["acme"]
    answers.append(await empty(web, "DELETE", "integrations/acme"))
    assert answers[-1].body == {"discarded": 0}
    assert (await web.ask("GET", "/api/v1/integrations/acme")).status == 404
    said = str([answer.body for answer in answers]) + str([vars(record) for record in caplog.records])
    assert workspace.token not in said
    assert new not in said


async def test_a_token_that_is_wrong_is_said_without_it(acme: tuple[Web, Workspace]) -> None:
    web, _ = acme
    for wrong in ("xoxb-0-wrong-token", "wrong-token", 12345678):
        answer = await web.ask("POST", "/api/v1/integrations", {"name": "acme", "token": wrong})
        assert answer.status in (409, 422)
        assert str(wrong) not in str(answer.body)
    assert (await get(web, "integrations"))["rows"] == []


async def test_a_subscription_lives(acme: tuple[Web, Workspace]) -> None:
    web, workspace = acme
    await connected(web, workspace)
    rule = {"destination": "#ops", "kind": ["alert"], "min_severity": "error"}
    added = await web.ask("POST", "/api/v1/subscriptions", rule)
    assert (added.status, added.body["warnings"], added.body["integration"]) == (201, [], "acme")
    path = f"subscriptions/{added.body['id']}"
    again = await web.ask("POST", "/api/v1/subscriptions", rule)
    assert (again.status, again.body["id"]) == (200, added.body["id"])

    assert (await empty(web, "POST", f"{path}/pause")).body["paused"] is True
    assert (await empty(web, "POST", f"{path}/resume")).body["paused"] is False
    muted = await web.ask("POST", f"/api/v1/{path}/mute", {"for": "2h"})
    assert muted.body["muted_until"]
    changed = await web.ask("PUT", f"/api/v1/{path}", {"destination": "#closed", "project": ["shop"]})
    assert changed.status == 200
    assert "/invite" in changed.body["warnings"][0]
    shown = await get(web, path)
    assert (shown["destination"], shown["kind"], shown["project"]) == ("#closed", [], ["shop"])
    assert shown["muted_until"] == muted.body["muted_until"], "a mute that is not spoken of stays"
    assert (await empty(web, "POST", f"{path}/unmute")).body["muted_until"] == ""
    assert (await empty(web, "DELETE", path)).body == {"discarded": 0}
    assert (await web.ask("GET", f"/api/v1/{path}")).status == 404
    assert (await get(web, "subscriptions"))["rows"] == []


async def test_a_test_message_is_posted_now(acme: tuple[Web, Workspace]) -> None:
    web, workspace = acme
    await connected(web, workspace)
    for destination, status in (("#ops", 200), ("#closed", 409)):
        added = await web.ask("POST", "/api/v1/subscriptions", {"destination": destination})
        answer = await empty(web, "POST", f"subscriptions/{added.body['id']}/test")
        assert answer.status == status, answer
    assert "/invite" in answer.body["detail"]


WRONG: tuple[tuple[str, str, object, int, str], ...] = (
    ("POST", "subscriptions", {"destination": "a b"}, 422, "destination: 'a b' is no"),
    ("POST", "subscriptions", {"destination": "#a", "colour": "red"}, 422, "colour"),
    ("POST", "subscriptions", {}, 422, "destination"),
    ("POST", "subscriptions", {"destination": "#a"}, 409, "There is no integration yet"),
    ("POST", "subscriptions", {"destination": "#a", "integration": "x"}, 404, "no integration 'x'"),
    ("PUT", "subscriptions/x", {"destination": "#a"}, 404, "no subscription 'x'"),
    ("PUT", "subscriptions/x", {"id": "y", "destination": "#a"}, 422, "'y'"),
    ("DELETE", "subscriptions/x", {}, 404, "no subscription 'x'"),
    ("POST", "subscriptions/x/mute", {"for": "2h", "until": "08:00"}, 422, "either"),
    ("POST", "subscriptions/x/mute", {"for": "long"}, 422, "30m"),
    ("POST", "subscriptions/x/mute", {"for": "2h"}, 404, "no subscription"),
    ("POST", "integrations/x/disable", {}, 404, "no integration"),
    ("POST", "integrations/x/test", {"post": "a b"}, 422, "post"),
    ("POST", "parked/resume", {"lane": "x"}, 404, "There is no lane 'x'"),
    ("POST", "parked/resume", {}, 422, "lane"),
    ("POST", "dead-letters/replay", {}, 400, "Say which"),
    ("POST", "dead-letters/discard", {"all": True, "reason": "x"}, 400, "one way"),
    ("GET", "deliveries/x", None, 404, "There is no delivery 'x'"),
    ("GET", "deliveries?state=gone", None, 422, "query.state"),
    ("GET", "deliveries?after=x", None, 400, "no place in this list"),
    ("GET", "deliveries?limit=501", None, 422, "query.limit"),
    ("GET", "parked?after=x", None, 400, "no place in this list"),
    ("GET", "dead-letters?after=x", None, 400, "no place in this list"),
    ("GET", "dead-letters/x", None, 404, "x is not a dead letter"),
    ("GET", "channels?integration=x", None, 404, "no integration"),
    ("POST", "preview", {"events": [{}]}, 422, "events"),
    ("POST", "preview", {"events": []}, 422, "events"),
    ("GET", "nothing", None, 404, "Not Found"),
    ("PATCH", "ledger", {}, 405, "Method Not Allowed"),
)  # fmt: skip


async def test_what_is_wrong_is_a_problem_that_says_so(web: Web) -> None:
    for method, path, body, status, said in WRONG:
        answer = await web.ask(method, f"/api/v1/{path}", body)
        case = (method, path, body, answer)
        assert answer.status == status, case
        assert answer.headers["Content-Type"] == "application/problem+json", case
        assert (answer.body["type"], answer.body["status"]) == ("about:blank", status), case
        assert said in answer.body["detail"], case


async def test_a_method_a_path_does_not_take_is_answered_with_all_it_takes(web: Web) -> None:
    for path, methods in (
        ("subscriptions", "GET, POST"),
        ("subscriptions/x", "DELETE, GET, PUT"),
        ("dead-letters/replay", "POST"),
        ("dead-letters/x", "GET"),
        ("events", "POST"),
        ("ledger", "GET"),
    ):
        answer = await web.ask("PATCH", f"/api/v1/{path}", {})
        assert (answer.status, answer.headers["Allow"]) == (405, methods), path


async def test_a_slash_too_many_leads_to_the_path_without_and_names_no_host(web: Web) -> None:
    for path in ("/api/v1/ledger/", "/webhooks/grafana/", "/healthz/"):
        method = "POST" if "webhooks" in path else "GET"
        answer = await web.ask(method, f"{path}?a=1", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (307, f"{path.rstrip('/')}?a=1"), path
    assert (await web.ask("GET", "/api/v1/nothing/", allow_redirects=False)).status == 404


async def test_dead_letters_that_are_none_are_said_one_by_one(web: Web) -> None:
    answer = await web.ask("POST", "/api/v1/dead-letters/replay", {"ids": ["a", "b"]})
    assert answer.status == 200
    assert [(one["id"], one["ending"]) for one in answer.body["results"]] == [
        ("a", "unknown"),
        ("b", "unknown"),
    ]
    assert (await web.ask("POST", "/api/v1/dead-letters/discard", {"all": True})).body["results"] == []


async def test_what_would_be_posted_is_shown(web: Web) -> None:
    event = {
        "specversion": "1.0", "id": "1", "source": "s", "type": "io.infrakitchen.workflow.failed",
        "data": {"workflow_id": "w", "name": "deploy-prod"},
    }  # fmt: skip
    shown = (await web.ask("POST", "/api/v1/preview", {"events": [event]})).body
    assert "deploy-prod" in shown["text"]
    assert shown["unmatched"] == []
    mine = (
        await web.ask("POST", "/api/v1/preview", {"events": [event], "template": "Look: {{ title }}"})
    ).body
    assert "Look: " in str(mine["blocks"])
    wrong = await web.ask("POST", "/api/v1/preview", {"events": [event], "template": "{% for %}"})
    assert wrong.status == 422


async def test_channels_go_on_where_they_stopped(acme: tuple[Web, Workspace]) -> None:
    web, workspace = acme
    await connected(web, workspace)
    integration = await web.made.integrations.find("acme")
    await web.made.reader.read(
        integration, await web.made.integrations.token(integration.id), unless_younger_s=0
    )
    names, after = [], ""
    while after is not None:
        page = await get(web, f"channels?limit=1&after={after}")
        names += [row["name"] for row in page["rows"]]
        after = page["next"]
    assert names == sorted(names)
    assert {"ops", "closed"} <= set(names)
    member = await get(web, "channels?member=true&integration=acme")
    assert [row["name"] for row in member["rows"]] == ["ops"]


async def test_without_redis_every_noun_is_a_503(web: Web) -> None:
    web.redis.connected = False
    for path in (
        "ledger",
        "deliveries",
        "parked",
        "dead-letters",
        "subscriptions",
        "integrations",
        "channels",
    ):
        answer = await web.ask("GET", f"/api/v1/{path}")
        assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json"), path


async def test_every_answer_of_the_api_is_documented(web: Web) -> None:
    document = make_app(web.made).openapi()
    for path, operations in document["paths"].items():
        if not path.startswith(("/api/", "/webhooks/")):
            continue
        for method, operation in operations.items():
            answers = operation["responses"]
            assert {"401", "403", "429", "503"} <= set(answers), (path, method)
            if method != "get":
                assert {"413", "415"} <= set(answers), (path, method)
            problems = {status: one for status, one in answers.items() if status >= "400"}
            for status, one in problems.items():
                assert list(one["content"]) == ["application/problem+json"], (path, method, status)
                shape = one["content"]["application/problem+json"]["schema"]["$ref"].rpartition("/")[2]
                assert "detail" in document["components"]["schemas"][shape]["properties"]
            assert operation["security"] == [{"token": []}], (path, method)


async def test_who_changed_what_stands_in_the_log(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "worker.audit")
    await web.ask("POST", "/api/v1/dead-letters/discard", {"ids": ["a"]})
    await web.ask("GET", "/api/v1/ledger")
    await web.ask("DELETE", "/api/v1/subscriptions/x", {})
    told = [vars(record) for record in caplog.records if record.name == "worker.audit"]
    assert [(line["by"], line["did"], line["ids"]) for line in told] == [
        ("this machine", "POST /api/v1/dead-letters/discard", "a")
    ]

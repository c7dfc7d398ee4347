"""The HTTP API: the resources, and the problem documents of wrong requests."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.web import Answer, Web, serve_web
from yarl import URL

from worker.sandbox.slack.server import SlackSandbox
from worker.sandbox.slack.workspace import Workspace
from worker.store.token_cipher import generate_key
from worker.web.app import routes


@pytest.fixture
async def acme() -> AsyncIterator[tuple[Web, Workspace]]:
    """Serve a web process with a workspace of two channels."""
    sandbox = SlackSandbox()
    sandbox.set_rate(0)
    workspace = sandbox.add_workspace("Acme")
    workspace.add_channel("ops")
    workspace.add_channel("closed", member=False)
    async with (
        sandbox.serving() as url,
        serve_web(slack_api_url=url, encryption_key=generate_key()) as web,
    ):
        yield web, workspace


async def connected(web: Web, workspace: Workspace) -> Answer:
    return await web.ask("POST", "/api/v1/integrations", {"name": "acme", "token": workspace.token})


async def empty(web: Web, method: str, path: str) -> Answer:
    """Send a change without a body."""
    return await web.ask(method, f"/api/v1/{path}", headers={"content-type": "application/json"})


async def get(web: Web, path: str) -> Any:
    answer = await web.ask("GET", f"/api/v1/{path}")
    assert answer.status == 200, answer
    return answer.body


async def test_an_integration_is_added_checked_rotated_and_removed_and_no_answer_has_its_token(
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


async def test_a_second_integration_of_a_workspace_is_a_warning(acme: tuple[Web, Workspace]) -> None:
    web, workspace = acme
    assert (await connected(web, workspace)).body["warnings"] == []
    twin = await web.ask("POST", "/api/v1/integrations", {"name": "twin", "token": workspace.token})
    assert twin.status == 201
    [warning] = twin.body["warnings"]
    assert warning.startswith("acme and twin are integrations of the same workspace, Acme")


async def test_the_error_for_a_wrong_token_does_not_repeat_it(acme: tuple[Web, Workspace]) -> None:
    web, _ = acme
    for wrong in ("xoxb-0-wrong-token", "wrong-token", 12345678):
        answer = await web.ask("POST", "/api/v1/integrations", {"name": "acme", "token": wrong})
        assert answer.status in (409, 422)
        assert str(wrong) not in str(answer.body)
    assert (await get(web, "integrations"))["rows"] == []


async def test_a_subscription_is_added_paused_muted_replaced_and_removed(acme: tuple[Web, Workspace]) -> None:
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


async def test_a_test_message_is_posted_or_the_error_names_the_fix(acme: tuple[Web, Workspace]) -> None:
    web, workspace = acme
    await connected(web, workspace)
    for destination, status in (("#ops", 200), ("#closed", 409)):
        added = await web.ask("POST", "/api/v1/subscriptions", {"destination": destination})
        answer = await empty(web, "POST", f"subscriptions/{added.body['id']}/test")
        assert answer.status == status, answer
    assert "/invite" in answer.body["detail"]


WRONG: tuple[tuple[str, str, object, int, str], ...] = (
    ("POST", "subscriptions", {"destination": "a b"}, 422, "destination: 'a b' is no"),
    ("POST", "subscriptions", {"destination": "#a", "colour": "red"}, 422, "colour: is unknown."),
    ("POST", "subscriptions", {"destination": "#a", "knid": "alert"}, 422, "knid: is unknown (did you mean kind?)"),
    ("POST", "subscriptions", {"destination": "c0123abcd"}, 422, "did you mean C0123ABCD?"),
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
    ("POST", "integrations/x/test", {"post": "a b"}, 422, "post: 'a b' is not a destination"),
    ("POST", "integrations/x/test", {"post": "c0123abcd"}, 422, "did you mean C0123ABCD?"),
    ("POST", "subscriptions/x/mute", {"form": "2h"}, 422, "form: is unknown (did you mean for?)"),
    ("POST", "parked/resume", {"lane": "x"}, 404, "There is no lane 'x'"),
    ("POST", "parked/resume", {}, 422, "lane"),
    ("POST", "dead-letters/replay", {}, 400, "Nothing is selected"),
    ("POST", "dead-letters/replay", {"ids": [""]}, 400, "An id is empty"),
    ("POST", "dead-letters/discard", {"all": True, "reason": "x"}, 400, "one way"),
    ("GET", "deliveries/x", None, 404, "There is no delivery 'x'"),
    ("GET", "deliveries?state=gone", None, 422, "query.state"),
    ("GET", "deliveries?after=x", None, 400, "is no cursor of this list"),
    ("GET", "deliveries?limit=501", None, 422, "query.limit"),
    ("GET", "parked?after=x", None, 400, "is no cursor of this list"),
    ("GET", "dead-letters?after=x", None, 400, "is no cursor of this list"),
    ("GET", "dead-letters/x", None, 404, "There is no dead letter x"),
    ("GET", "channels?integration=x", None, 404, "no integration"),
    ("POST", "preview", {"events": [{}]}, 422, "events"),
    ("POST", "preview", {"events": []}, 422, "events"),
    ("GET", "nothing", None, 404, "Not Found"),
    ("PATCH", "ledger", {}, 405, "Method Not Allowed"),
)  # fmt: skip


async def test_a_wrong_request_is_answered_with_a_problem(web: Web) -> None:
    for method, path, body, status, said in WRONG:
        answer = await web.ask(method, f"/api/v1/{path}", body)
        case = (method, path, body, answer)
        assert answer.status == status, case
        assert answer.headers["Content-Type"] == "application/problem+json", case
        assert (answer.body["type"], answer.body["status"]) == ("about:blank", status), case
        assert said in answer.body["detail"], case


async def test_an_unsupported_method_is_answered_with_the_allowed_ones(web: Web) -> None:
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


async def test_a_trailing_slash_redirects_to_the_path_without_naming_a_host(web: Web) -> None:
    for path in ("/api/v1/ledger/", "/webhooks/grafana/", "/healthz/"):
        method = "POST" if "webhooks" in path else "GET"
        answer = await web.ask(method, f"{path}?a=1", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (307, f"{path.rstrip('/')}?a=1"), path
    assert (await web.ask("GET", "/api/v1/nothing/", allow_redirects=False)).status == 404


async def test_each_unknown_dead_letter_has_its_own_result(web: Web) -> None:
    answer = await web.ask("POST", "/api/v1/dead-letters/replay", {"ids": ["a", "b"]})
    assert answer.status == 200
    assert [(one["id"], one["outcome"]) for one in answer.body["results"]] == [
        ("a", "unknown"),
        ("b", "unknown"),
    ]
    assert (await web.ask("POST", "/api/v1/dead-letters/discard", {"all": True})).body["results"] == []


async def test_a_preview_shows_the_message(web: Web) -> None:
    event = {
        "specversion": "1.0", "id": "1", "source": "s", "type": "io.infrakitchen.workflow.failed",
        "data": {"workflow_id": "w", "name": "deploy-prod"},
    }  # fmt: skip
    shown = (await web.ask("POST", "/api/v1/preview", {"events": [event]})).body
    assert "deploy-prod" in shown["text"]
    assert shown["unmatched"] == []
    mine = (await web.ask("POST", "/api/v1/preview", {"events": [event], "template": "Look: {{ title }}"})).body
    assert "Look: " in str(mine["blocks"])
    wrong = await web.ask("POST", "/api/v1/preview", {"events": [event], "template": "{% for %}"})
    assert wrong.status == 422


async def test_channels_are_listed_page_by_page(acme: tuple[Web, Workspace]) -> None:
    web, workspace = acme
    await connected(web, workspace)
    integration = await web.app.integrations.find("acme")
    await web.app.directory_refresher.refresh(
        integration, await web.app.integrations.get_token(integration.id), unless_younger_s=0
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


async def test_without_redis_every_list_answers_503(web: Web) -> None:
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


async def test_every_response_of_the_api_is_documented(web: Web) -> None:
    document = routes().openapi()
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
            passwords = [{"password": []}] if path.startswith("/webhooks/") else []
            assert operation["security"] == [{"token": []}, *passwords], (path, method)


async def test_every_change_is_in_the_audit_log(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "worker.audit")
    await web.ask("POST", "/api/v1/dead-letters/discard", {"ids": ["a"]})
    await web.ask("GET", "/api/v1/ledger")
    await web.ask("DELETE", "/api/v1/subscriptions/x", {})
    audit_lines = [vars(record) for record in caplog.records if record.name == "worker.audit"]
    assert [(line["who"], line["what"], line["outcome"]) for line in audit_lines] == [
        ("start-up key", "POST /api/v1/dead-letters/discard", "done"),
        ("start-up key", "DELETE /api/v1/subscriptions/x", "refused"),
    ]
    assert audit_lines[0]["ids"] == "a"


@pytest.mark.parametrize(
    "id_", ["%E2%98%83", "%0d%0aSet-Cookie:%20x=1", "%00", "%FF", "%25", "a%2Fb", "%ED%A0%80", "%5C%5Cevil"]
)
async def test_a_slash_behind_any_id_redirects_within_the_api(
    web: Web, id_: str, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("deliveries", "dead-letters", "subscriptions", "integrations"):
        address = URL(f"/api/v1/{path}/{id_}/", encoded=True)
        async with web.client.get(address, allow_redirects=False) as answer:
            assert answer.status in (307, 400, 404), path
            location = answer.headers.get("location", "/api/v1/")
            assert location.startswith("/api/v1/")
            assert "set-cookie" not in {name.lower() for name in answer.headers}
    assert "Traceback" not in caplog.text

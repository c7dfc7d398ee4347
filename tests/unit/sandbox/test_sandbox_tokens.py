"""Tokens, scopes, and the accepted forms of a call."""

import pytest

from worker.domain.integration import REQUIRED_SCOPES


async def test_a_token_has_the_required_scopes_and_every_answer_names_them(slack):
    who = await slack("auth.test")
    assert (who["team"], who["team_id"]) == ("Acme", slack.workspace.team_id)
    await slack("users.lookupByEmail", email="unknown@example.com")
    for response in slack.responses:
        assert response.headers["x-oauth-scopes"] == ",".join(REQUIRED_SCOPES)


async def test_a_rejected_token_gets_slacks_error_code(slack):
    workspace = slack.workspace
    assert (await slack("auth.test", token=""))["error"] == "not_authed"
    assert (await slack("auth.test", token="xoxb-unknown"))["error"] == "invalid_auth"
    workspace.revoke(workspace.token)
    assert (await slack("auth.test"))["error"] == "token_revoked"
    workspace.revoke(workspace.token, "account_inactive")
    assert (await slack("auth.test"))["error"] == "account_inactive"
    workspace.reinstate(workspace.token)
    assert (await slack("auth.test"))["ok"]


@pytest.mark.parametrize(
    ("method", "args", "needed"),
    [
        ("chat.postMessage", {"channel": "ops", "text": "x"}, "chat:write"),
        ("conversations.list", {}, "channels:read"),
        ("conversations.list", {"types": "private_channel"}, "groups:read"),
        ("users.lookupByEmail", {"email": "a@b.co"}, "users:read.email"),
        ("users.info", {"user": "U1"}, "users:read"),
    ],
)
async def test_a_missing_scope_is_named(slack, method, args, needed):
    scopes = [scope for scope in REQUIRED_SCOPES if scope != needed]
    answer = await slack(method, token=slack.workspace.add_token(scopes), **args)
    details = {name: answer[name] for name in ("error", "needed", "provided")}
    assert details == {"error": "missing_scope", "needed": needed, "provided": ",".join(scopes)}


async def test_a_workspace_of_the_same_name_has_the_same_ids(slack):
    again = type(slack.sandbox)().add_workspace("Acme")
    assert (again.team_id, again.token) == (slack.workspace.team_id, slack.workspace.token)
    assert again.add_channel("ops").id == slack.workspace.find("ops").id
    assert again.add_token() != again.token


async def test_a_malformed_call_gets_slacks_error_code(slack):
    url, headers = f"{slack.url}chat.postMessage", {"Authorization": f"Bearer {slack.workspace.token}"}
    for content_type, body, error in (
        ("application/json", "{", "invalid_json"),
        ("application/json", "[]", "json_not_object"),
        ("text/csv", "a", "invalid_post_type"),
    ):
        typed = {**headers, "Content-Type": content_type}
        async with slack.session.post(url, data=body, headers=typed) as response:
            assert (await response.json())["error"] == error
    assert (await slack("no.method"))["error"] == "unknown_method"
    missing = await slack("chat.postMessage", text="x")
    assert missing["response_metadata"]["messages"] == ["[ERROR] missing required field: channel"]

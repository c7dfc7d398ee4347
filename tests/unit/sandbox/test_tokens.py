"""Tokens, scopes, and the forms a call may have."""

import pytest

from worker.domain.integration import REQUIRED_SCOPES


async def test_a_token_has_the_five_scopes_and_every_answer_names_them(slack):
    who = await slack("auth.test")
    assert (who["team"], who["team_id"]) == ("Acme", slack.workspace.team_id)
    await slack("users.lookupByEmail", email="nobody@example.com")
    for response in slack.responses:
        assert response.headers["x-oauth-scopes"] == ",".join(REQUIRED_SCOPES)


async def test_tokens_fail_in_slacks_words(slack):
    workspace = slack.workspace
    assert (await slack("auth.test", token=""))["error"] == "not_authed"
    assert (await slack("auth.test", token="xoxb-nobody"))["error"] == "invalid_auth"
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
    told = {name: answer[name] for name in ("error", "needed", "provided")}
    assert told == {"error": "missing_scope", "needed": needed, "provided": ",".join(scopes)}


async def test_none_of_the_five_scopes_opens_a_conversation(slack):
    assert (await slack("conversations.open", users="U1"))["error"] == "missing_scope"
    user = slack.workspace.add_user("ada@example.com")
    token = slack.workspace.add_token(["im:write"])
    assert (await slack("conversations.open", token=token, users=user.id))["channel"]["id"].startswith("D")


async def test_the_same_names_give_the_same_ids_and_other_tokens_each_time(slack):
    again = type(slack.sandbox)().add_workspace("Acme")
    assert (again.team_id, again.token) == (slack.workspace.team_id, slack.workspace.token)
    assert again.add_channel("ops").id == slack.workspace.find("ops").id
    assert again.add_token() != again.token


async def test_calls_in_a_wrong_form_are_refused_in_slacks_words(slack):
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


async def test_json_without_a_charset_works_with_a_warning(slack):
    assert (await slack.post())["warning"] == "missing_charset"


async def test_api_test_echoes(slack):
    assert (await slack("api.test", token="", foo="bar"))["args"] == {"foo": "bar"}
    assert (await slack("api.test", token="", error="my_error"))["error"] == "my_error"

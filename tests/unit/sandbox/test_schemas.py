"""The sandbox's answers, against Slack's own published response schemas.

The schemas are of 2021. Where Slack says otherwise today, the rule is skipped with its reason (`NEWER`).
"""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
from jsonschema.exceptions import best_match

SCHEMAS = json.loads((Path(__file__).parent / "slack_schemas.json").read_text())
NEWER = {
    "blocks": "attachments hold them: docs.slack.dev/messaging/formatting-message-text",
    "color": "and a colour",
    "title": "the schema of a profile both wants and forbids it",
    "app_id": "messages of apps carry it: docs.slack.dev/reference/methods/chat.postMessage",
    "edited": "edited messages carry it: docs.slack.dev/reference/events/message/message_changed",
    "errors": "invalid_blocks names its places: github.com/grafana/oncall/issues/5121",
    "needed": "missing_scope names the scope: docs.slack.dev/reference/methods",
    "provided": "and those the token has",
    "response_metadata": "carries messages and warnings: docs.slack.dev/apis/web-api",
    "warning": "docs.slack.dev/apis/web-api",
    "req_method": "unknown_method names it",
    "is_user_deleted": "docs.slack.dev/reference/objects/conversation-object",
}


def current(schema):
    """The schema as it is meant: `items` of an object are alternatives; error lists grew; see NEWER."""
    if isinstance(schema, list):
        return [current(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: current(part) for name, part in schema.items()}
    if isinstance(made.get("items"), list):
        made["anyOf"] = made.pop("items")
    properties = made.get("properties")
    if isinstance(properties, dict):
        if isinstance(properties.get("error"), dict):
            properties["error"] = {"type": "string"}  # docs list codes the schemas do not know
        if made.get("additionalProperties") is False:
            properties |= {name: {} for name in NEWER if name not in properties}
    return made


def check(method: str, answer: dict) -> None:
    """Fails when an answer is not what the method's schema says."""
    schema = copy.deepcopy(SCHEMAS["methods"][method]["200" if answer["ok"] else "default"])
    if method == "chat.update":  # the schema calls `blocks` an object; they are a list
        schema.get("properties", {}).get("message", {}).get("properties", {}).pop("blocks", None)
    if method == "api.test":  # the schema wants every other value to be an object, even `error`
        schema.pop("additionalProperties")
    whole = {**current(schema), "definitions": current(SCHEMAS["definitions"])}
    if problem := best_match(jsonschema.Draft7Validator(whole).iter_errors(answer)):
        pytest.fail(f"{method}: {problem.message} at {problem.json_path}")


DIVIDER = {"type": "divider"}
BAR = {"color": "#2eb67d", "blocks": [DIVIDER]}
HERE = {"channel": "{channel}", "ts": "{ts}"}
NOWHERE = {"channel": "{channel}", "ts": "1.1"}
CALLS = {  # a call that works, and one that does not
    "api.test": ({"foo": "bar"}, {"error": "x"}),
    "auth.test": ({}, None),
    "chat.postMessage": (
        {"channel": "ops", "text": "x", "blocks": [DIVIDER], "attachments": [BAR]},
        {"channel": "ops", "blocks": [{"type": "x"}]},
    ),
    "chat.update": ({**HERE, "text": "y", "blocks": [DIVIDER]}, {**NOWHERE, "text": "x"}),
    "chat.getPermalink": (
        {"channel": "{channel}", "message_ts": "{ts}"},
        {"channel": "{channel}", "message_ts": "1.1"},
    ),
    "chat.delete": (HERE, NOWHERE),
    "conversations.list": ({"types": "public_channel,private_channel"}, {"types": "im"}),
    "conversations.info": ({"channel": "{channel}", "include_num_members": "true"}, {"channel": "C404"}),
    "conversations.open": (None, {"users": "U404"}),
    "users.conversations": ({}, {"cursor": "x"}),
    "users.info": ({"user": "{user}"}, {"user": "U404"}),
    "users.lookupByEmail": ({"email": "ada@example.com"}, {"email": "nobody@example.com"}),
}


@pytest.fixture
async def named(slack):
    """What the calls name: a channel, a message, a person."""
    slack.workspace.add_channel("inner", private=True)
    posted = await slack.post()
    slack.clock.now_s += 1
    user = slack.workspace.add_user("ada@example.com")
    return {"{channel}": posted["channel"], "{ts}": posted["ts"], "{user}": user.id}


@pytest.mark.parametrize("method", CALLS)
async def test_answers_are_what_the_schemas_say(slack, named, method):
    good, bad = CALLS[method]
    for args, ok in ((good, True), (bad, False)):
        if args is None:
            continue
        filled = {name: named.get(str(value), value) for name, value in args.items()}
        answer = await slack(method, **filled)
        assert answer["ok"] is ok, answer
        check(method, answer)
    for token in ("", "xoxb-nobody"):
        answer = await slack(method, token=token, **(bad or {}))
        assert answer["ok"] is (method == "api.test" and not bad)
        check(method, answer)


async def test_direct_messages_are_what_the_schemas_say(slack):
    user = slack.workspace.add_user("ada@example.com")
    token = slack.workspace.add_token(["im:write", "im:read", "chat:write"])
    check("conversations.open", await slack("conversations.open", token=token, users=user.id))
    check("chat.postMessage", await slack.post(user.id, token=token))


def test_the_schemas_say_where_they_are_from():
    assert "(MIT)" in SCHEMAS["_source"]

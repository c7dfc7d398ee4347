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
    """Return a schema corrected to what Slack answers today: see NEWER."""
    if isinstance(schema, list):
        return [current(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    fixed = {name: current(part) for name, part in schema.items()}
    if isinstance(fixed.get("items"), list):
        fixed["anyOf"] = fixed.pop("items")
    properties = fixed.get("properties")
    if isinstance(properties, dict):
        if isinstance(properties.get("error"), dict):
            properties["error"] = {"type": "string"}  # docs list codes the schemas do not know
        if fixed.get("additionalProperties") is False:
            properties |= {name: {} for name in NEWER if name not in properties}
    return fixed


def check(method: str, answer: dict) -> None:
    """Fail when an answer does not match the method's schema."""
    schema = copy.deepcopy(SCHEMAS["methods"][method]["200" if answer["ok"] else "default"])
    if method == "chat.update":  # the schema calls `blocks` an object; they are a list
        schema.get("properties", {}).get("message", {}).get("properties", {}).pop("blocks", None)
    whole = {**current(schema), "definitions": current(SCHEMAS["definitions"])}
    if problem := best_match(jsonschema.Draft7Validator(whole).iter_errors(answer)):
        pytest.fail(f"{method}: {problem.message} at {problem.json_path}")


DIVIDER = {"type": "divider"}
BAR = {"color": "#2eb67d", "blocks": [DIVIDER]}
HERE = {"channel": "{channel}", "ts": "{ts}"}
NOWHERE = {"channel": "{channel}", "ts": "1.1"}
CALLS = {  # a call that works, and one that does not
    "auth.test": ({}, None),
    "chat.postMessage": (
        {"channel": "ops", "text": "x", "blocks": [DIVIDER], "attachments": [BAR]},
        {"channel": "ops", "blocks": [{"type": "x"}]},
    ),
    "chat.update": ({**HERE, "text": "y", "blocks": [DIVIDER]}, {**NOWHERE, "text": "x"}),
    "conversations.list": ({"types": "public_channel,private_channel"}, {"types": "im"}),
    "conversations.info": ({"channel": "{channel}", "include_num_members": "true"}, {"channel": "C404"}),
    "users.conversations": ({}, {"cursor": "x"}),
    "users.info": ({"user": "{user}"}, {"user": "U404"}),
    "users.lookupByEmail": ({"email": "ada@example.com"}, {"email": "unknown@example.com"}),
}


@pytest.fixture
async def references(slack):
    """Return the ids of a channel, a message and a person."""
    slack.workspace.add_channel("inner", private=True)
    posted = await slack.post()
    slack.clock.now_s += 1
    user = slack.workspace.add_user("ada@example.com")
    return {"{channel}": posted["channel"], "{ts}": posted["ts"], "{user}": user.id}


@pytest.mark.parametrize("method", CALLS)
async def test_answers_match_slacks_schemas(slack, references, method):
    good, bad = CALLS[method]
    for args, ok in ((good, True), (bad, False)):
        if args is None:
            continue
        filled = {name: references.get(str(value), value) for name, value in args.items()}
        answer = await slack(method, **filled)
        assert answer["ok"] is ok, answer
        check(method, answer)
    for token in ("", "xoxb-unknown"):
        answer = await slack(method, token=token, **(bad or {}))
        assert answer["ok"] is False
        check(method, answer)


async def test_a_post_to_a_person_matches_slacks_schema(slack):
    user = slack.workspace.add_user("ada@example.com")
    check("chat.postMessage", await slack.post(user.id))


def test_the_schemas_name_their_source():
    assert "(MIT)" in SCHEMAS["_source"]

"""The limits of Block Kit in the sandbox."""

import pytest

from worker.sandbox.slack.block_kit import check_attachments, check_blocks
from worker.sandbox.slack.call import ApiError


def section(text: str = "x", **more):
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def fields(count: int, text: str = "x"):
    return {"type": "section", "fields": [{"type": "mrkdwn", "text": text}] * count}


def header(text: str, kind: str = "plain_text"):
    return {"type": "header", "text": {"type": kind, "text": text}}


def context(count: int):
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * count}


def button(**more):
    element = {"type": "button", "text": {"type": "plain_text", "text": "Open"}, **more}
    return {"type": "actions", "elements": [element]}


@pytest.mark.parametrize(
    "blocks",
    [
        [section("x" * 3000)],
        [{"type": "divider"}] * 50,
        [fields(10, "x" * 1200)],
        [header("x" * 150)],
        [context(10)],
        [button(url="https://example.com", style="primary", value="1", action_id="open")],
        [section(accessory={"type": "image", "image_url": "https://example.com/a.png", "alt_text": "a"})],
        [section("x" * 3000)] * 4,
    ],
)
def test_blocks_within_the_limits_are_accepted(blocks):
    check_blocks(blocks, [])


@pytest.mark.parametrize(
    ("blocks", "problem", "pointer"),
    [
        ([section("x" * 3001)], "must be less than 3001 characters", "/blocks/0/text/text"),
        ([section("")], "must be more than 0 characters", "/blocks/0/text/text"),
        ([{"type": "divider"}] * 51, "no more than 50 items allowed", "/blocks"),
        ([fields(11)], "no more than 10 items allowed", "/blocks/0/fields"),
        ([fields(1, "x" * 2001)], "must be less than 2001 characters", "/blocks/0/fields/0/text"),
        ([header("x" * 151)], "must be less than 151 characters", "/blocks/0/text/text"),
        ([header("x", "mrkdwn")], "unsupported type: mrkdwn", "/blocks/0/text/type"),
        ([context(11)], "no more than 10 items allowed", "/blocks/0/elements"),
        ([{"type": "alert"}], "unsupported type: alert", "/blocks/0/type"),
        ([{"type": "section"}], "missing required field: text", "/blocks/0"),
        ([{}], "missing required field: type", "/blocks/0"),
        (["x"], "must be an object", "/blocks/0"),
        (
            [button(disabled=True)],
            "invalid additional property: disabled",
            "/blocks/0/elements/0",
        ),
        (
            [button(style="blue")],
            "value must be one of: primary, danger",
            "/blocks/0/elements/0/style",
        ),
        (
            [section(block_id="a"), section(block_id="a")],
            "`block_id` must be unique: a",
            "/blocks/1/block_id",
        ),
    ],
)
def test_blocks_over_a_limit_are_rejected_with_a_json_pointer(blocks, problem, pointer):
    problem = f"{problem} [json-pointer:{pointer}]"
    with pytest.raises(ApiError, match="invalid_blocks") as refused:
        check_blocks(blocks, [])
    assert refused.value.body["errors"] == [problem]
    assert refused.value.body["response_metadata"] == {"messages": [f"[ERROR] {problem}"]}


def test_all_texts_of_a_message_together_have_a_limit():
    with pytest.raises(ApiError, match="msg_blocks_too_long"):
        check_blocks([section("x" * 2700)] * 3, [{"blocks": [section("x" * 2700)] * 2}])
    with pytest.raises(ApiError, match="msg_blocks_too_long"):
        check_blocks([section("日" * 900)] * 5, [])


def test_blocks_of_attachments_are_rejected_with_a_json_pointer():
    with pytest.raises(ApiError, match="invalid_attachments") as refused:
        check_attachments([{}, {"color": "#fff", "blocks": [section("x" * 3001)]}])
    assert "json-pointer:/attachments/1/blocks/0/text/text" in refused.value.body["errors"][0]


def test_too_many_attachments_are_rejected():
    check_attachments([{"text": "x"}] * 100)
    with pytest.raises(ApiError, match="too_many_attachments"):
        check_attachments([{"text": "x"}] * 101)

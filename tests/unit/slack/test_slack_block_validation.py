"""The blocks of a template are validated before Slack would reject them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.message import Given, Message, Section
from worker.sandbox.slack.block_kit import check_blocks
from worker.slack.blocks import rejection_reason

WORDS = {"type": "mrkdwn", "text": "words"}
PLAIN = {"type": "plain_text", "text": "words", "emoji": True}
IMAGE = {"type": "image", "image_url": "https://x/y.png", "alt_text": "y"}
BUTTON = {"type": "button", "text": PLAIN, "url": "https://x", "style": "danger", "action_id": "a"}


def reason(*blocks: dict[str, Any]) -> str:
    return rejection_reason(Message("x", (Section("x"),), tuple(map(Given, blocks))))


GOOD = [
    {"type": "section", "text": {**WORDS, "verbatim": True}, "accessory": BUTTON, "expand": True},
    {"type": "section", "fields": [WORDS, PLAIN]},
    {"type": "header", "text": PLAIN},
    {"type": "context", "elements": [WORDS, IMAGE, PLAIN]},
    {"type": "divider"},
    {**IMAGE, "title": PLAIN},
    {"type": "actions", "elements": [BUTTON]},
]


@pytest.mark.parametrize("block", GOOD, ids=lambda block: block["type"])
def test_a_block_that_slack_accepts_is_accepted(block: dict[str, Any]) -> None:
    assert reason(block) == ""
    check_blocks([block], [])


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ({}, "block 1: its type is None, not one of section, header, context, divider, image, actions"),
        ({"type": ["x"]}, "block 1: its type is ['x'], not one of"),
        ({"type": "rich_text", "elements": []}, "block 1: its type is 'rich_text', not one of"),
        ({"type": "section"}, "block 1: section: text is missing"),
        ({"type": "section", "text": "words"}, "block 1: section: text: 'words' is not an object"),
        ({"type": "section", "text": {"type": "mrkdwn"}}, "block 1: section: text: mrkdwn: text is missing"),
        (
            {"type": "section", "text": {**WORDS, "text": " "}},
            "block 1: section: text: mrkdwn: text: is not a text, or is empty",
        ),
        ({"type": "section", "text": WORDS, "colour": "red"}, "block 1: section: 'colour' is not a known field"),
        ({"type": "section", "fields": []}, "block 1: section: fields: is not a list, or is empty"),
        (
            {"type": "section", "text": {**WORDS, "verbatim": "no"}},
            "block 1: section: text: mrkdwn: verbatim: 'no' is neither true nor false",
        ),
        ({"type": "header", "text": WORDS}, "block 1: header: text: its type is 'mrkdwn', not one"),
        ({**IMAGE, "image_url": "x"}, "block 1: image: image_url: 'x' is not a web address"),
        (
            {"type": "actions", "elements": [{**BUTTON, "style": "red"}]},
            "block 1: actions: elements: button: style: 'red' is neither primary nor danger",
        ),
        ({"type": "actions", "elements": [{**BUTTON, "url": ""}]}, "block 1: actions: elements: button: url"),
        (
            {"type": "section", "text": {**WORDS, "text": "x" * 3001}},
            "text of section 2: 3,001 characters, Slack accepts 3,000",
        ),
        ({"type": "context", "elements": [WORDS] * 11}, "elements of context 1: 11, Slack accepts 10"),
    ],
)  # fmt: skip
def test_a_block_that_slack_would_reject_is_rejected_with_the_reason(block: dict[str, Any], why: str) -> None:
    assert reason(block).startswith(why)


values = st.sampled_from([WORDS, PLAIN, IMAGE, BUTTON, "words", "", [], [WORDS], [BUTTON], True, 7, "x" * 200])
fields = st.sampled_from(
    ["type", "text", "fields", "accessory", "elements", "image_url", "alt_text", "title", "url", "style"]
)


@given(st.sampled_from(GOOD), st.dictionaries(fields, values, max_size=2), st.sets(fields, max_size=2))
def test_a_block_that_is_accepted_is_accepted_by_the_sandbox(
    block: dict[str, Any], more: dict[str, Any], without: set[str]
) -> None:
    changed = {name: value for name, value in {**block, **more}.items() if name not in without}
    if not reason(changed):
        check_blocks([changed], [])


def test_the_wrong_block_is_named() -> None:
    assert reason({"type": "divider"}, {"type": "section"}) == "block 2: section: text is missing"


def test_all_blocks_together_have_limits() -> None:
    assert reason(*[{"type": "divider"}] * 51) == "blocks of attachment 1: 51, Slack accepts 50"
    long = {"type": "section", "text": {**WORDS, "text": "x" * 2800}}
    cjk = {"type": "section", "text": {**WORDS, "text": "日" * 1200}}
    assert reason(*[cjk] * 3) == "all blocks' texts together: 10,801 bytes, Slack accepts 10,500"
    assert reason(*[long] * 4) == "all blocks' texts together: 11,201 bytes, Slack accepts 10,500"

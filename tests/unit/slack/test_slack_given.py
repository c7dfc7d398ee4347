"""What a person's blocks lack is said in words; what the sandbox would refuse, we refuse first."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.message import Divider, Given, Message, Section
from worker.sandbox.limits import check_blocks
from worker.slack.given import why_not

WORDS = {"type": "mrkdwn", "text": "words"}
PLAIN = {"type": "plain_text", "text": "words", "emoji": True}
IMAGE = {"type": "image", "image_url": "https://x/y.png", "alt_text": "y"}
BUTTON = {"type": "button", "text": PLAIN, "url": "https://x", "style": "danger", "action_id": "a"}


def reason(*blocks: dict[str, Any]) -> str:
    return why_not(Message("x", (Section("x"),), tuple(map(Given, blocks))))


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
def test_what_slack_takes_is_taken(block: dict[str, Any]) -> None:
    assert reason(block) == ""
    check_blocks([block], [])


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ({}, "block 1: its type is None, not one of section, header, context, divider, image, actions"),
        ({"type": ["x"]}, "block 1: its type is ['x'], not one of"),
        ({"type": "rich_text", "elements": []}, "block 1: its type is 'rich_text', not one of"),
        ({"type": "section"}, "block 1: section: text is missing"),
        ({"type": "section", "text": "words"}, "block 1: section: text: 'words' is no object"),
        ({"type": "section", "text": {"type": "mrkdwn"}}, "block 1: section: text: mrkdwn: text is missing"),
        (
            {"type": "section", "text": {**WORDS, "text": " "}},
            "block 1: section: text: mrkdwn: text: is no text, or an empty one",
        ),
        ({"type": "section", "text": WORDS, "colour": "red"}, "block 1: section: 'colour' is not known"),
        ({"type": "section", "fields": []}, "block 1: section: fields: is no list, or an empty one"),
        (
            {"type": "section", "text": {**WORDS, "verbatim": "no"}},
            "block 1: section: text: mrkdwn: verbatim: 'no' is neither true nor false",
        ),
        ({"type": "header", "text": WORDS}, "block 1: header: text: its type is 'mrkdwn', not one"),
        ({**IMAGE, "image_url": "x"}, "block 1: image: image_url: 'x' is no web address"),
        (
            {"type": "actions", "elements": [{**BUTTON, "style": "red"}]},
            "block 1: actions: elements: button: style: 'red' is none of primary, danger",
        ),
        ({"type": "actions", "elements": [{**BUTTON, "url": ""}]}, "block 1: actions: elements: button: url"),
        (
            {"type": "section", "text": {**WORDS, "text": "x" * 3001}},
            "text of section 2: 3,001 characters, Slack takes 3,000",
        ),
        ({"type": "context", "elements": [WORDS] * 11}, "elements of context 1: 11, Slack takes 10"),
    ],
)  # fmt: skip
def test_what_slack_would_refuse_is_said_in_words(block: dict[str, Any], why: str) -> None:
    assert reason(block).startswith(why)


values = st.sampled_from(
    [WORDS, PLAIN, IMAGE, BUTTON, "words", "", [], [WORDS], [BUTTON], True, 7, "x" * 200]
)
fields = st.sampled_from(
    ["type", "text", "fields", "accessory", "elements", "image_url", "alt_text", "title", "url", "style"]
)


@given(st.sampled_from(GOOD), st.dictionaries(fields, values, max_size=2), st.sets(fields, max_size=2))
def test_what_we_take_slack_takes(block: dict[str, Any], more: dict[str, Any], without: set[str]) -> None:
    changed = {name: value for name, value in {**block, **more}.items() if name not in without}
    if not reason(changed):
        check_blocks([changed], [])


def test_the_block_that_is_wrong_is_named() -> None:
    assert reason({"type": "divider"}, {"type": "section"}) == "block 2: section: text is missing"


def test_blocks_have_their_limits_together_too() -> None:
    assert reason(*[{"type": "divider"}] * 51) == "51 blocks, Slack takes 50"
    long = {"type": "section", "text": {**WORDS, "text": "x" * 2800}}
    assert reason(*[long] * 4) == "all blocks' texts together: 11,201 characters, Slack takes 11,000"
    assert why_not(Message("x", (Section(""),), (Divider(),))) == "a section without text"

"""Limits of Slack that a message comes near are named, with their figures."""

from typing import Any

import pytest

from worker.slack.blocks import LimitUse, find_near_limits


def section(text: str = "x", **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def sent(*blocks: dict[str, Any], beside: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    attachments = [{"color": "#000000", "blocks": beside}] if beside is not None else []
    return {"text": "hello", "blocks": list(blocks), "attachments": attachments, **more}


def button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "text": {"type": "plain_text", "text": "Open"}, **more}


CASES: list[tuple[dict[str, Any], LimitUse]] = [
    (sent(text="x" * 3201), LimitUse("text", 3201, 4000, "characters")),
    (sent(section("x" * 2401)), LimitUse("text of section 1", 2401, 3000, "characters")),
    (sent(section("x" * 3001)), LimitUse("text of section 1", 3001, 3000, "characters")),
    (sent(section("🔥" * 1201)), LimitUse("text of section 1", 2402, 3000, "characters")),
    (
        sent(section(), beside=[section(), section("x" * 2500)]),
        LimitUse("text of section 3", 2500, 3000, "characters"),
    ),
    (sent(section(fields=[mrkdwn("x")] * 9)), LimitUse("fields of section 1", 9, 10)),
    (
        sent(section(fields=[mrkdwn("x"), mrkdwn("x" * 1601)])),
        LimitUse("field 2 of section 1", 1601, 2000, "characters"),
    ),
    (sent({"type": "context", "elements": [mrkdwn("x")] * 9}), LimitUse("elements of context 1", 9, 10)),
    (
        sent({"type": "context", "elements": [mrkdwn("x" * 2401)]}),
        LimitUse("element 1 of context 1", 2401, 3000, "characters"),
    ),
    (
        sent({"type": "header", "text": {"type": "plain_text", "text": "x" * 121}}),
        LimitUse("text of header 1", 121, 150, "characters"),
    ),
    (sent({"type": "actions", "elements": [button()] * 21}), LimitUse("elements of actions 1", 21, 25)),
    (sent(section(accessory=button(value="x" * 1601))), LimitUse("value of button 1", 1601, 2000, "characters")),
    (
        sent({"type": "actions", "elements": [button(), button(url="x" * 2401)]}),
        LimitUse("url of button 2", 2401, 3000, "characters"),
    ),
    (
        sent({"type": "image", "image_url": "https://x", "alt_text": "x" * 1601}),
        LimitUse("alt text of image 1", 1601, 2000, "characters"),
    ),
    (
        sent({"type": "image", "title": {"type": "plain_text", "text": "x" * 1601}}),
        LimitUse("title of image 1", 1601, 2000, "characters"),
    ),
    (sent(*[{"type": "divider"}] * 41), LimitUse("blocks", 41, 50)),
    (sent(beside=[{"type": "divider"}] * 41), LimitUse("blocks of attachment 1", 41, 50)),
    (
        sent(section("x" * 2300), section("x" * 2300), beside=[section("x" * 2300), section("x" * 2300)]),
        LimitUse("all blocks' texts together", 9200, 10500, "bytes"),
    ),
]


@pytest.mark.parametrize(("arguments", "use"), CASES, ids=[use.name for _, use in CASES])
def test_a_limit_that_is_near_is_named_with_its_figures(arguments: dict[str, Any], use: LimitUse) -> None:
    assert use in find_near_limits(arguments)


def test_four_fifths_of_a_limit_are_not_near_it() -> None:
    full = [section("x" * 2400), section(fields=[mrkdwn("x" * 1600)] * 3)]
    assert find_near_limits(sent(*full, text="x" * 3200)) == []


def test_a_text_without_blocks_has_a_limit() -> None:
    assert find_near_limits({"text": "x" * 4001}) == [LimitUse("text", 4001, 4000, "characters")]
    assert find_near_limits({"text": "hello"}) == []


def test_limits_are_named_in_reading_order() -> None:
    long = section("x" * 2900)
    assert [use.name for use in find_near_limits(sent(long, beside=[section(), long], text="x" * 3900))] == [
        "text",
        "text of section 1",
        "text of section 3",
    ]

"""How near a message comes to each limit of Slack's: named and counted, on what is sent."""

from typing import Any

import pytest

from worker.slack.limits import Use, near


def section(text: str = "x", **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def sent(*blocks: dict[str, Any], beside: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    attachments = [{"color": "#000000", "blocks": beside}] if beside is not None else []
    return {"text": "hello", "blocks": list(blocks), "attachments": attachments, **more}


def button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "text": {"type": "plain_text", "text": "Open"}, **more}


CASES: list[tuple[dict[str, Any], Use]] = [
    (sent(text="x" * 3201), Use("text", 3201, 4000, "characters")),
    (sent(section("x" * 2401)), Use("text of section 1", 2401, 3000, "characters")),
    (sent(section("x" * 3001)), Use("text of section 1", 3001, 3000, "characters")),
    (sent(section("🔥" * 1201)), Use("text of section 1", 2402, 3000, "characters")),
    (
        sent(section(), beside=[section(), section("x" * 2500)]),
        Use("text of section 3", 2500, 3000, "characters"),
    ),
    (sent(section(fields=[mrkdwn("x")] * 9)), Use("fields of section 1", 9, 10)),
    (
        sent(section(fields=[mrkdwn("x"), mrkdwn("x" * 1601)])),
        Use("field 2 of section 1", 1601, 2000, "characters"),
    ),
    (sent({"type": "context", "elements": [mrkdwn("x")] * 9}), Use("elements of context 1", 9, 10)),
    (
        sent({"type": "context", "elements": [mrkdwn("x" * 2401)]}),
        Use("element 1 of context 1", 2401, 3000, "characters"),
    ),
    (
        sent({"type": "header", "text": {"type": "plain_text", "text": "x" * 121}}),
        Use("text of header 1", 121, 150, "characters"),
    ),
    (sent({"type": "actions", "elements": [button()] * 21}), Use("elements of actions 1", 21, 25)),
    (sent(section(accessory=button(value="x" * 1601))), Use("value of button 1", 1601, 2000, "characters")),
    (
        sent({"type": "actions", "elements": [button(), button(url="x" * 2401)]}),
        Use("url of button 2", 2401, 3000, "characters"),
    ),
    (
        sent({"type": "image", "image_url": "https://x", "alt_text": "x" * 1601}),
        Use("alt text of image 1", 1601, 2000, "characters"),
    ),
    (sent({"type": "markdown", "text": "x" * 9601}), Use("text of markdown 1", 9601, 12000, "characters")),
    (sent({"type": "table", "rows": [[]] * 81}), Use("rows of table 1", 81, 100)),
    (sent({"type": "divider", "block_id": "x" * 205}), Use("block id of divider 1", 205, 255, "characters")),
    (sent(*[{"type": "divider"}] * 41), Use("blocks", 41, 50)),
    (sent(beside=[{"type": "divider"}] * 41), Use("blocks of attachment 1", 41, 50)),
    (sent(attachments=[{"blocks": []}] * 81), Use("attachments", 81, 100)),
    (
        sent(section("x" * 2300), section("x" * 2300), beside=[section("x" * 2300), section("x" * 2300)]),
        Use("all blocks' texts together", 9200, 11000, "characters"),
    ),
]


@pytest.mark.parametrize(("arguments", "use"), CASES, ids=[use.name for _, use in CASES])
def test_what_is_near_a_limit_is_named_with_its_figures(arguments: dict[str, Any], use: Use) -> None:
    assert use in near(arguments)


def test_four_fifths_of_a_limit_is_not_near_it_yet() -> None:
    full = [section("x" * 2400), section(fields=[mrkdwn("x" * 1600)] * 3)]
    assert near(sent(*full, text="x" * 3200)) == []


def test_a_text_alone_has_a_limit_too() -> None:
    assert near({"text": "x" * 4001}) == [Use("text", 4001, 4000, "characters")]
    assert near({"text": "hello"}) == []


def test_all_that_is_near_is_named_in_the_order_of_reading() -> None:
    long = section("x" * 2900)
    assert [use.name for use in near(sent(long, beside=[section(), long], text="x" * 3900))] == [
        "text",
        "text of section 1",
        "text of section 3",
    ]

"""The page of the sandbox that shows the messages."""

import re
from datetime import UTC, datetime

from worker.message_preview.html import ShownMessage, render_messages


async def page(slack, path: str = "", status: int = 200, **headers):
    """Return the text and headers of a page."""
    async with slack.session.get(f"{slack.sandbox.url}{path}", headers=headers) as response:
        assert response.status == status
        return await response.text(), response


async def say(slack, channel: str = "ops", text: str = "", **more):
    """Post a message without the rate limit."""
    slack.clock.now_s += 1
    return await slack.post(channel, text, **more)


async def test_the_page_opens_the_busiest_channel(slack):
    slack.workspace.add_channel("dev")
    await say(slack, "dev", "first message")
    text, response = await page(slack)
    assert response.url.path == f"/channel/{slack.workspace.find('dev').id}"
    assert "first message" in text


async def test_blocks_and_attachments_are_drawn(slack):
    button = {
        "type": "button",
        "text": {"type": "plain_text", "text": "Open"},
        "url": "https://example.com/x",
    }
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": ":fire: Heading"}},
        {
            "type": "section",
            "fields": [{"type": "mrkdwn", "text": "*Project*\npayments"}],
            "accessory": button,
        },
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "small print"}]},
        {"type": "divider"},
        {"type": "actions", "elements": [button]},
        {"type": "image", "image_url": "https://example.com/i.png", "alt_text": "a graph"},
        {"type": "rich_text", "elements": []},
    ]
    await say(slack, text="fallback", blocks=blocks, attachments=[{"color": "#e01e5a", "text": "beside"}])
    text, _ = await page(slack)
    for part in (
        "🔥 Heading",
        "<strong>Project</strong><br>payments",
        "small print",
        "<hr>",
        "a graph",
        "beside",
    ):
        assert part in text
    assert 'href="https://example.com/x"' in text
    assert 'fill="#e01e5a"' in text
    assert "(rich_text block, not drawn here)" in text
    assert "fallback" not in text


async def test_no_text_of_a_message_becomes_html(slack):
    evil = '"><script>alert(1)</script>'
    button = {"type": "button", "text": {"type": "plain_text", "text": evil}, "url": "javascript:alert(1)"}
    await say(
        slack,
        text=evil,
        blocks=[{"type": "actions", "elements": [button]}],
        attachments=[{"color": evil, "title": evil, "title_link": "javascript:alert(1)", "footer": evil}],
    )
    text, response = await page(slack)
    assert "<script>alert" not in text
    assert "javascript:" not in text
    policy = response.headers["Content-Security-Policy"]
    nonce = re.search(r"script-src 'nonce-([\w-]+)'", policy)[1]
    assert policy.startswith("default-src 'none'")
    assert set(re.findall(r'<(?:script|style) nonce="([^"]*)"', text)) == {nonce}
    assert " style=" not in text


async def test_a_broadcast_reply_is_shown_in_its_channel_and_thread(slack):
    parent = await say(slack, text="parent")
    await say(slack, text="seen twice", thread_ts=parent["ts"], reply_broadcast=True)
    assert (await page(slack))[0].count("seen twice") == 2


async def test_edits_threads_and_deletions_are_shown(slack):
    parent = await say(slack, text="parent")
    reply = await say(slack, text="the reply", thread_ts=parent["ts"])
    gone = await say(slack, text="soon gone")
    await slack("chat.update", channel=parent["channel"], ts=parent["ts"], text="parent, later")
    slack.workspace.get_channel(gone["channel"]).posts[gone["ts"]].deleted = True
    text, _ = await page(slack)
    assert re.search(r"parent, later\s+<span class=\"edited\">", text)
    assert re.search(r"1\s+reply", text)
    assert "the reply" in text
    assert "soon gone" not in text
    slack.workspace.get_channel(reply["channel"]).posts[parent["ts"]].deleted = True
    assert "This message was deleted." in (await page(slack))[0]


async def test_unread_messages_are_counted_until_looked_at(slack):
    dev = slack.workspace.add_channel("dev")
    await say(slack, "ops", "a")
    await say(slack, "ops", "b")
    await say(slack, "dev", "c")
    assert '<span class="unread-count">1</span>' in (await page(slack))[0]
    await page(slack, f"channel/{dev.id}")
    assert "unread-count" not in (await page(slack))[0].partition("</style>")[2]


async def test_channels_that_the_bot_cannot_post_to_are_marked(slack):
    away, old = (
        slack.workspace.add_channel("away", member=False),
        slack.workspace.add_channel("old", archived=True),
    )
    assert "/invite @InfraKitchen" in (await page(slack, f"channel/{away.id}"))[0]
    assert "an archived channel" in (await page(slack, f"channel/{old.id}"))[0]
    assert "has posted nothing yet" in (await page(slack))[0]
    assert "no such channel" in (await page(slack, "channel/C404", status=404))[0]


async def test_each_workspace_and_each_person_has_a_page(slack):
    other = slack.sandbox.add_workspace("Other")
    assert "no channel yet" in (await page(slack, f"workspace/{other.team_id}", status=404))[0]
    user = slack.workspace.add_user("ada@example.com")
    posted = await say(slack, user.id, "for your eyes")
    assert "just between ada and InfraKitchen" in (await page(slack, f"channel/{posted['channel']}"))[0]


async def test_a_permalink_opens_its_message(slack):
    posted = await say(slack, text="here")
    permalink = f"archives/{posted['channel']}/p{posted['ts'].replace('.', '')}"
    async with slack.session.get(f"{slack.sandbox.url}{permalink}", allow_redirects=False) as response:
        address = response.headers["Location"]
    anchor = address.partition("#")[2]
    assert f'id="{anchor}"' in (await page(slack, address.lstrip("/")))[0]


async def test_long_channels_show_the_newest_messages_and_link_to_the_rest(slack):
    slack.sandbox.set_rate(0)
    slack.sandbox.tiers = False
    for number in range(205):
        await slack.post(text=f"message {number:03d}")
    text, _ = await page(slack)
    assert "message 004" not in text
    assert "message 204" in text
    assert "5 older messages" in text
    assert "message 004" in (await page(slack, f"channel/{slack.workspace.find('ops').id}?all=1"))[0]


async def test_a_live_update_carries_no_style_and_no_script(slack):
    await say(slack, text="fresh")
    text, _ = await page(slack, **{"X-Live": "yes"})
    assert "fresh" in text
    assert "<style" not in text
    assert "<script" not in text


async def test_an_odd_attachment_does_not_break_the_page(slack):
    odd = {
        "title": 5,
        "title_link": 5,
        "color": 5,
        "fields": [{"value": None}],
        "text": ["a"],
        "pretext": "*b*",
    }
    await say(slack, attachments=[odd, {}], text="x")
    assert "<strong>b</strong>" in (await page(slack))[0]


def test_a_picture_shows_only_messages_and_their_threads():
    posts = [
        ShownMessage("1777888800.000001", {"text": "*parent* <https://x.example|here>"}),
        ShownMessage("1777888805.000001", {"text": "the reply", "thread_ts": "1777888800.000001"}),
    ]
    text = render_messages(posts, datetime(2026, 5, 4, 12, tzinfo=UTC))
    assert "<strong>parent</strong>" in text
    assert "the reply" in text
    assert "Search" not in text
    assert "fetch(" not in text


def test_a_picture_loads_no_resource():
    text = render_messages([], datetime(2026, 5, 4, 12, tzinfo=UTC))
    assert "content=\"default-src 'none'; style-src 'nonce-" in text
    assert 'http-equiv="refresh"' not in text

"""Posting, editing and deleting messages in the sandbox."""

import pytest

SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "*hi*"}}


async def test_a_post_is_stored_with_its_arguments(slack):
    answer = await slack.post("#ops", "hello", blocks=[SECTION])
    (stored,) = slack.sandbox.messages("ops")
    assert stored["text"] == "hello"
    assert stored["blocks"] == [SECTION]
    assert (stored["channel"], stored["ts"]) == (answer["channel"], answer["ts"])
    assert answer["message"]["bot_id"] == slack.workspace.bot_id


async def test_a_second_post_within_a_second_is_rejected_and_not_stored(slack):
    await slack.post(text="first")
    refused = await slack.post(text="second")
    assert refused == {"ok": False, "error": "ratelimited"}
    assert slack.responses[-1].status == 429
    assert slack.responses[-1].headers["Retry-After"] == "1"
    slack.clock.now_s += 0.96
    assert (await slack.post(text="third"))["ok"]
    assert [message["text"] for message in slack.sandbox.messages("ops")] == ["first", "third"]
    assert slack.sandbox.violations["refused"] == 1


@pytest.mark.parametrize("reference", ["ops", "#ops", "id"])
async def test_a_public_channel_is_found_by_name_and_id(slack, reference):
    channel_id = slack.workspace.find("ops").id
    answer = await slack.post(channel_id if reference == "id" else reference)
    assert answer["channel"] == channel_id


async def test_a_user_id_opens_direct_messages(slack):
    user = slack.workspace.add_user("ada@example.com")
    answer = await slack.post(user.id)
    assert answer["channel"].startswith("D")
    assert len(slack.sandbox.messages("ada@example.com")) == 1
    edit = {"ts": answer["ts"], "text": "x"}
    assert (await slack("chat.update", channel=user.id, **edit))["error"] == "channel_not_found"
    assert (await slack("chat.update", channel=answer["channel"], **edit))["ok"]


async def test_the_bot_can_post_only_where_it_is_a_member(slack):
    workspace = slack.workspace
    workspace.add_channel("open", member=False)
    workspace.add_channel("secret", private=True, member=False)
    workspace.add_channel("old", archived=True)
    gone, bot = workspace.add_user("g@x.co", deleted=True), workspace.add_user("b@x.co", is_bot=True)
    expected = {
        "open": "not_in_channel",
        workspace.find("secret").id: "channel_not_found",
        "old": "is_archived",
        "nowhere": "channel_not_found",
        gone.id: "user_disabled",
        bot.id: "cannot_dm_bot",
    }
    assert {channel: (await slack.post(channel))["error"] for channel in expected} == expected
    workspace.invite("open")
    assert (await slack.post("open"))["ok"]
    workspace.kick("open")
    assert (await slack.post("open"))["error"] == "not_in_channel"


async def test_the_scope_chat_write_public_posts_without_membership(slack):
    slack.workspace.add_channel("open", member=False)
    token = slack.workspace.add_token(["chat:write", "chat:write.public"])
    assert (await slack.post("open", token=token))["ok"]


async def test_a_renamed_channel_keeps_its_id_only(slack):
    channel = slack.workspace.find("ops")
    slack.workspace.rename("ops", "platform")
    assert (await slack.post("#ops"))["error"] == "channel_not_found"
    assert (await slack.post(channel.id))["ok"]


async def test_text_without_blocks_removes_the_old_blocks_and_marks_the_edit(slack):
    posted = await slack.post(blocks=[SECTION], attachments=[{"color": "#fff", "text": "a"}])
    where = {"channel": posted["channel"], "ts": posted["ts"]}
    await slack("chat.update", **where, text="with", blocks=[SECTION])
    assert slack.sandbox.messages("ops")[0]["edited"] is False
    await slack("chat.update", **where, text="without")
    (stored,) = slack.sandbox.messages("ops")
    assert "blocks" not in stored
    assert stored["attachments"] == [{"color": "#fff", "text": "a"}]
    assert (stored["edited"], stored["updates"]) == (True, 2)
    await slack("chat.update", **where, attachments=[])
    assert slack.sandbox.messages("ops")[0]["attachments"] == []


async def test_a_deleted_message_cannot_be_edited_and_stays_listed(slack):
    posted = await slack.post()
    where = {"channel": posted["channel"], "ts": posted["ts"]}
    slack.workspace.get_channel(posted["channel"]).posts[posted["ts"]].deleted = True
    assert (await slack("chat.update", **where, text="x"))["error"] == "message_not_found"
    assert slack.sandbox.messages("ops")[0]["deleted"] is True


async def test_an_edit_in_an_archived_channel_is_rejected(slack):
    posted = await slack.post()
    slack.workspace.archive("ops")
    where = {"channel": posted["channel"], "ts": posted["ts"]}
    assert (await slack("chat.update", **where, text="x"))["error"] == "is_inactive"


async def test_a_reply_to_a_missing_message_is_posted_at_top_level(slack):
    parent = await slack.post()
    slack.clock.now_s += 1
    reply = await slack.post(thread_ts=parent["ts"])
    slack.clock.now_s += 1
    orphan = await slack.post(thread_ts="1700000000.000001")
    assert reply["message"]["thread_ts"] == parent["ts"]
    assert "thread_ts" not in orphan["message"]
    assert (await slack.post(thread_ts="1.5"))["error"] == "invalid_thread_ts"


async def test_texts_have_their_limits(slack):
    await slack.post(text="x" * 40_001)
    (stored,) = slack.sandbox.messages("ops")
    assert len(stored["text"]) == 40_000
    where = {"channel": stored["channel"], "ts": stored["ts"]}
    assert (await slack("chat.update", **where, text="x" * 4_001))["error"] == "msg_too_long"
    assert (await slack.post(text=" "))["error"] == "no_text"
    assert (await slack.post(blocks="[{"))["error"] == "invalid_blocks_format"


async def test_a_post_that_only_the_burst_allowed_is_flagged_as_hidden(slack):
    slack.sandbox.set_rate(1.0, burst=2)
    await slack.post()
    await slack.post()
    assert [message["hidden"] for message in slack.sandbox.messages("ops")] == [False, True]
    assert slack.sandbox.violations["hidden"] == 1

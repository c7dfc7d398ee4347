"""`chat.*`: posting, editing and deleting messages.

https://docs.slack.dev/reference/methods/chat.postMessage
"""

import re
from typing import Any

from worker.sandbox.calls import Call, Refused
from worker.sandbox.limits import check_attachments, check_blocks
from worker.sandbox.state import Channel, Json, Post, Workspace

KEPT = (
    "text",
    "blocks",
    "attachments",
    "thread_ts",
    "reply_broadcast",
    "metadata",
    "markdown_text",
)
TEXT_LIMIT = 40_000
UPDATE_TEXT_LIMIT = 4_000


def post_message(call: Call) -> Json:
    """`chat.postMessage`: by id, by a public channel's name, or to a person by user id."""
    channel = _destination(call)
    sent = _sent(call)
    if not any(sent.get(part) for part in ("text", "blocks", "attachments", "markdown_text")):
        raise Refused("no_text")
    thread_ts = call.text("thread_ts")
    if thread_ts and not re.fullmatch(r"\d{10}\.\d{6}", thread_ts):
        raise Refused("invalid_thread_ts")
    hidden = call.take_slot(channel.id)
    post = Post(channel.id, call.workspace.clock.ts(), sent, hidden=hidden)
    parent = channel.posts.get(thread_ts)
    sent.pop("thread_ts", None)
    if parent is not None and not parent.deleted:  # else Slack posts it top-level and says nothing
        sent["thread_ts"] = parent.sent.get("thread_ts", parent.ts)
    channel.posts[post.ts] = post
    return {"ok": True, "channel": channel.id, "ts": post.ts, "message": message(call.workspace, post)}


def update(call: Call) -> Json:
    """`chat.update`: by conversation id and `ts`. Text without blocks removes the old blocks."""
    post = _own_post(call, "message_not_found")
    changes = _sent(call)
    if len(changes.get("text", "")) > UPDATE_TEXT_LIMIT:
        raise Refused("msg_too_long")
    given = {part: value for part, value in changes.items() if part not in ("thread_ts", "reply_broadcast")}
    if not any(part in given for part in ("text", "blocks", "attachments", "markdown_text", "metadata")):
        raise Refused("no_text")
    sent = {**post.sent, **given}
    if "text" in given and "blocks" not in given:
        sent.pop("blocks", None)
    if not any(sent.get(part) for part in ("text", "blocks", "attachments", "markdown_text")):
        raise Refused("no_text")
    post.sent = sent
    post.edited = post.edited or not sent.get("blocks")
    post.updates += 1
    answer = message(call.workspace, post)
    return {"ok": True, "channel": post.channel, "ts": post.ts, "text": answer["text"], "message": answer}


def delete(call: Call) -> Json:
    """`chat.delete`: by conversation id and `ts`."""
    post = _own_post(call, "message_not_found")
    post.deleted = True
    return {"ok": True, "channel": post.channel, "ts": post.ts}


def get_permalink(call: Call) -> Json:
    """`chat.getPermalink`: the address people open a message at."""
    channel, ts = call.conversation(), call.required("message_ts")
    if ts not in channel.posts or channel.posts[ts].deleted:
        raise Refused("message_not_found")
    permalink = f"{call.url}archives/{channel.id}/p{ts.replace('.', '')}"
    return {"ok": True, "channel": channel.id, "permalink": permalink}


def message(workspace: Workspace, post: Post) -> Json:
    """A post as Slack answers it: with its author, and ids where none were given."""
    sent = post.sent
    answer: Json = {
        "type": "message",
        "user": workspace.bot_user_id,
        "bot_id": workspace.bot_id,
        "app_id": workspace.app_id,
        "ts": post.ts,
        "team": workspace.team_id,
        "text": sent.get("text", ""),
        "bot_profile": workspace.bot_profile,
    }
    if sent.get("blocks"):
        answer["blocks"] = _with_block_ids(sent["blocks"], "b")
    if sent.get("attachments"):
        answer["attachments"] = [_attachment(n, a) for n, a in enumerate(sent["attachments"], 1)]
    if "thread_ts" in sent:
        answer["thread_ts"] = sent["thread_ts"]
    if post.edited:
        answer["edited"] = {"user": workspace.bot_user_id, "ts": post.ts}
    return answer


def _destination(call: Call) -> Channel:
    """Where a post goes. Slack hides private channels from a bot that is not in them."""
    reference, workspace = call.required("channel"), call.workspace
    if user := workspace.users.get(reference):
        if user.is_bot:
            raise Refused("cannot_dm_bot")
        if user.deleted:
            raise Refused("user_disabled")
        return workspace.direct_messages(user)
    channel = workspace.channels.get(reference) or workspace.public(reference.removeprefix("#"))
    if channel is None or not channel.visible:
        raise Refused("channel_not_found")
    if channel.archived:
        raise Refused("is_archived")
    if not channel.member and "chat:write.public" not in call.token.scopes:
        raise Refused("not_in_channel")
    return channel


def _own_post(call: Call, refusal: str) -> Post:
    channel, ts = call.conversation(), call.required("ts")
    if channel.archived:
        raise Refused("is_inactive")
    if not channel.member:
        raise Refused("not_in_channel")
    post = channel.posts.get(ts)
    if post is None or post.deleted:
        raise Refused(refusal)
    return post


def _sent(call: Call) -> Json:
    """The parts of a message that were given, checked against Slack's limits."""
    sent = {name: call.args[name] for name in KEPT if call.args.get(name) not in (None, "")}
    blocks = call.array("blocks", "invalid_blocks_format")
    attachments = call.array("attachments", "invalid_attachments")
    if sent.get("markdown_text") and (sent.get("text") or blocks):
        raise Refused("markdown_text_conflict")
    if blocks is not None:
        sent["blocks"] = blocks
    if attachments is not None:
        sent["attachments"] = attachments
    check_attachments(attachments or [])
    check_blocks(blocks or [], attachments or [])
    if "text" in sent:
        sent["text"] = str(sent["text"])[:TEXT_LIMIT]
        if not sent["text"].strip():
            del sent["text"]
    return sent


def _with_block_ids(blocks: list[Any], prefix: str) -> list[Json]:
    return [{"block_id": f"{prefix}{n:04X}", **block} for n, block in enumerate(blocks)]


def _attachment(number: int, attachment: Json) -> Json:
    answer = {"id": number, "fallback": "[no preview available]", **attachment}
    if "blocks" in attachment:
        answer["blocks"] = _with_block_ids(attachment["blocks"], f"a{number}")
    if "color" in attachment:
        answer["color"] = str(attachment["color"]).removeprefix("#")
    return answer

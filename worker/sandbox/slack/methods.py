"""The methods of the Web API: `chat.*` posts and edits; `conversations.*` and `users.*` list what the bot may see.

https://docs.slack.dev/reference/methods
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from worker.sandbox.slack.block_kit import check_attachments, check_blocks
from worker.sandbox.slack.call import ApiError, Call, invalid_arguments
from worker.sandbox.slack.workspace import Channel, Json, Post, User, Workspace

CONTENT = ("text", "blocks", "attachments")
PLACE = ("thread_ts", "reply_broadcast")
TEXT_LIMIT = 40_000
UPDATE_TEXT_LIMIT = 4_000
CREATED_AT = 1_700_000_000
#: By the type of a conversation, as the argument `types` names it.
READ_SCOPES = {
    "public_channel": "channels:read", "private_channel": "groups:read", "im": "im:read", "mpim": "mpim:read",
}  # fmt: skip


def test_token(call: Call) -> Json:
    """Answer `auth.test`: the identity of the token."""
    workspace = call.workspace
    return {
        "ok": True, "url": call.url, "team": workspace.name, "user": workspace.bot_name.lower(),
        "team_id": None if workspace.org_wide else workspace.team_id, "user_id": workspace.bot_user_id,
        "bot_id": workspace.bot_id, "is_enterprise_install": workspace.org_wide,
    }  # fmt: skip


def post_message(call: Call) -> Json:
    """Answer `chat.postMessage`. The channel may be an id, a public channel's name, or a user id."""
    channel = _destination(call)
    sent = _sent(call)
    _require_content(sent)
    thread_ts = call.text("thread_ts")
    if thread_ts and not re.fullmatch(r"\d{10}\.\d{6}", thread_ts):
        raise ApiError("invalid_thread_ts")
    hidden = call.take_slot(channel.id)
    post = Post(channel.id, call.workspace.new_ts(), sent, hidden=hidden)
    parent = channel.posts.get(thread_ts)
    sent.pop("thread_ts", None)
    if parent is not None and not parent.deleted:  # else Slack posts it at top level without an error
        sent["thread_ts"] = parent.sent.get("thread_ts", parent.ts)
    channel.posts[post.ts] = post
    return {"ok": True, "channel": channel.id, "ts": post.ts, "message": _message_json(call.workspace, post)}


def update(call: Call) -> Json:
    """Answer `chat.update`. Text without blocks removes the old blocks."""
    post = _find_post(call)
    changes = {part: value for part, value in _sent(call).items() if part not in PLACE}
    if len(changes.get("text", "")) > UPDATE_TEXT_LIMIT:
        raise ApiError("msg_too_long")
    if not changes:
        raise ApiError("no_text")
    sent = {**post.sent, **changes}
    if "text" in changes and "blocks" not in changes:
        sent.pop("blocks", None)
    _require_content(sent)
    post.sent = sent
    post.edited = post.edited or not sent.get("blocks")
    post.updates += 1
    message = _message_json(call.workspace, post)
    return {"ok": True, "channel": post.channel, "ts": post.ts, "text": message["text"], "message": message}


def list_conversations(call: Call, *, joined: bool = False) -> Json:
    """Answer a page of `conversations.list`, or of `users.conversations`; without archived ones it may be shorter."""
    types = [part.strip() for part in (call.text("types") or "public_channel").split(",")]
    if unknown := set(types) - READ_SCOPES.keys():
        raise ApiError("invalid_types", response_metadata={"messages": [f"[ERROR] {unknown}"]})
    for type_ in types:
        call.require_scope(READ_SCOPES[type_])
    limit = min(_limit(call.text("limit")), call.workspace.page_limit)
    channels = [channel for channel in call.workspace.channels.values() if _type_of(channel) in types]
    listed = [channel for channel in channels if channel.member or not (joined or channel.private)]
    starts = {_cursor(channel.id): index for index, channel in enumerate(listed)} | {"": 0}
    if (cursor := call.text("cursor")) not in starts:
        raise ApiError("invalid_cursor")
    page, rest = listed[starts[cursor] :][:limit], listed[starts[cursor] + limit :]
    kept = [channel for channel in page if not (channel.archived and call.flag("exclude_archived"))]
    hidden_fields = ("is_member", "num_members") if joined else ()
    metadata = {"next_cursor": _cursor(rest[0].id) if rest else ""}
    described = [_conversation_json(call.workspace, channel, hidden_fields) for channel in kept]
    return {"ok": True, "channels": described, "response_metadata": metadata}


def show_conversation(call: Call) -> Json:
    """Answer `conversations.info`: one conversation by its id."""
    call.require_scope(*READ_SCOPES.values())
    channel = call.conversation()
    call.require_scope(READ_SCOPES[_type_of(channel)])
    hidden_fields = () if call.flag("include_num_members") else ("num_members",)
    return {"ok": True, "channel": _conversation_json(call.workspace, channel, hidden_fields)}


def look_up_by_email(call: Call) -> Json:
    """Answer `users.lookupByEmail`, which does not find deactivated people."""
    email = call.required("email").lower()
    for user in call.workspace.users.values():
        if user.email.lower() == email and not user.deleted:
            return {"ok": True, "user": _user_json(call, user)}
    raise ApiError("users_not_found")


def show_user(call: Call) -> Json:
    """Answer `users.info`: one person by id; the email address needs its own scope."""
    user = call.workspace.users.get(call.required("user"))
    if user is None:
        raise ApiError("user_not_found")
    return {"ok": True, "user": _user_json(call, user)}


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the Web API."""

    answer: Callable[[Call], Json]
    scopes: tuple[str, ...]  #: The caller needs one of these scopes.
    per_minute: int
    takes_json: bool = True  #: It takes JSON; the others take their arguments from the query or a form only.


# Tiers: https://docs.slack.dev/apis/web-api/rate-limits. Slack does not publish the limits of "special" methods.
METHODS = {
    "auth.test": Method(test_token, (), 600),
    "chat.postMessage": Method(post_message, ("chat:write",), 600),
    "chat.update": Method(update, ("chat:write",), 50),
    "conversations.list": Method(list_conversations, (), 20, takes_json=False),
    "conversations.info": Method(show_conversation, (), 50, takes_json=False),
    "users.conversations": Method(partial(list_conversations, joined=True), (), 50, takes_json=False),
    "users.lookupByEmail": Method(look_up_by_email, ("users:read.email",), 50, takes_json=False),
    "users.info": Method(show_user, ("users:read",), 100, takes_json=False),
}


def _destination(call: Call) -> Channel:
    """Return the channel of a post. Slack hides private channels from a bot that is not a member."""
    reference, workspace = call.required("channel"), call.workspace
    if user := workspace.users.get(reference):
        if user.is_bot:
            raise ApiError("cannot_dm_bot")
        if user.deleted:
            raise ApiError("user_disabled")
        return workspace.direct_messages(user)
    public = {channel.name: channel for channel in workspace.channels.values() if not channel.private}
    channel = workspace.channels.get(reference) or public.get(reference.removeprefix("#"))
    if channel is None or not channel.is_visible:
        raise ApiError("channel_not_found")
    if channel.archived:
        raise ApiError("is_archived")
    if not channel.member and "chat:write.public" not in call.token.scopes:
        raise ApiError("not_in_channel")
    return channel


def _find_post(call: Call) -> Post:
    """Return the post that a call names by conversation id and `ts`."""
    channel, ts = call.conversation(), call.required("ts")
    if channel.archived:
        raise ApiError("is_inactive")
    if not channel.member:
        raise ApiError("not_in_channel")
    post = channel.posts.get(ts)
    if post is None or post.deleted:
        raise ApiError("message_not_found")
    return post


def _require_content(message: Json) -> None:
    if not any(message.get(part) for part in CONTENT):
        raise ApiError("no_text")


def _sent(call: Call) -> Json:
    """Return the given parts of a message, checked against Slack's limits."""
    sent = {name: call.args[name] for name in (*CONTENT, *PLACE) if call.args.get(name) not in (None, "")}
    blocks = call.array("blocks", "invalid_blocks_format")
    attachments = call.array("attachments", "invalid_attachments")
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


def _message_json(workspace: Workspace, post: Post) -> Json:
    """Return a post as Slack describes it."""
    message: Json = {
        "type": "message", "user": workspace.bot_user_id, "bot_id": workspace.bot_id, "app_id": workspace.app_id,
        "ts": post.ts, "team": workspace.team_id, "text": "",
        **{name: value for name, value in post.sent.items() if name not in ("attachments", "reply_broadcast")},
    }  # fmt: skip
    if attachments := post.sent.get("attachments"):
        message["attachments"] = [{"id": id_, "fallback": "", **item} for id_, item in enumerate(attachments, 1)]
    if post.edited:
        message["edited"] = {"user": workspace.bot_user_id, "ts": post.ts}
    return message


def _type_of(channel: Channel) -> str:
    if channel.user_id:
        return "im"
    return "private_channel" if channel.private else "public_channel"


def _conversation_json(workspace: Workspace, channel: Channel, hidden_fields: tuple[str, ...]) -> Json:
    """Return a conversation as Slack describes it, without the hidden fields."""
    described: Json = {"id": channel.id, "created": CREATED_AT, "is_archived": channel.archived}
    if channel.user_id:
        return {**described, "user": channel.user_id, "is_im": True, "is_user_deleted": False, "is_org_shared": False}
    described |= dict.fromkeys(("is_im", "is_mpim", "is_shared", "is_ext_shared", "is_org_shared"), False)
    empty = {"value": "", "creator": "", "last_set": 0}
    described |= {
        "name": channel.name, "name_normalized": channel.name, "creator": workspace.bot_user_id,
        "topic": empty, "purpose": empty, "is_general": channel.name == "general", "is_channel": not channel.private,
        "is_group": channel.private, "is_private": channel.private, "is_member": channel.member,
        "num_members": 2 if channel.member else 1,
    }  # fmt: skip
    return {name: value for name, value in described.items() if name not in hidden_fields}


def _limit(text: str) -> int:
    try:
        limit = int(text or 100)
    except ValueError:
        raise invalid_arguments("must provide an integer [json-pointer:/limit]") from None
    if not 0 <= limit <= 1000:
        raise ApiError("invalid_limit")
    return limit or 100


def _cursor(channel_id: str) -> str:
    """Return a cursor in Slack's form: base64 that ends in `=`."""
    text = f"team:{channel_id}"
    return base64.b64encode((text if len(text) % 3 else text + ":").encode()).decode()


def _user_json(call: Call, user: User) -> Json:
    names = ("real_name", "display_name", "real_name_normalized", "display_name_normalized")
    empty = ("title", "phone", "skype", "status_text", "status_emoji", "avatar_hash")
    profile: Json = {**dict.fromkeys(names, user.name), **dict.fromkeys(empty, ""), "fields": None}
    if "users:read.email" in call.token.scopes:
        profile["email"] = user.email
    return {
        "id": user.id, "team_id": call.workspace.team_id, "name": user.name, "deleted": user.deleted,
        "is_bot": user.is_bot, "is_app_user": False, "updated": CREATED_AT, "profile": profile,
    }  # fmt: skip

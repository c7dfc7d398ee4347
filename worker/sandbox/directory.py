"""`conversations.*` and `users.*`: who and what there is in a workspace, as far as the bot may see.

https://docs.slack.dev/reference/methods/conversations.list
"""

import base64
from collections.abc import Callable

from worker.sandbox.calls import Call, Refused, bad_arguments
from worker.sandbox.state import Channel, Json, User, Workspace

READ_SCOPES = {
    "public_channel": "channels:read",
    "private_channel": "groups:read",
    "im": "im:read",
    "mpim": "mpim:read",
}


def list_conversations(call: Call) -> Json:
    """`conversations.list`: every public channel, private ones only where the bot is a member."""
    return _page(call, lambda channel: channel.visible, told=conversation)


def list_memberships(call: Call) -> Json:
    """`users.conversations`: where the bot is a member; without `is_member` and `num_members`."""

    def told(workspace: Workspace, channel: Channel) -> Json:
        full = conversation(workspace, channel)
        return {name: value for name, value in full.items() if name not in ("is_member", "num_members")}

    return _page(call, lambda channel: channel.member, told)


def show_conversation(call: Call) -> Json:
    """`conversations.info`: one conversation by its id."""
    call.needs(*READ_SCOPES.values())
    channel = call.conversation()
    call.needs(READ_SCOPES[kind(channel)])
    answer = conversation(call.workspace, channel)
    if not call.flag("include_num_members"):
        answer.pop("num_members", None)
    return {"ok": True, "channel": answer}


def open_conversation(call: Call) -> Json:
    """`conversations.open`: the direct messages with one person. None of the five scopes allows it."""
    call.needs("im:write", "mpim:write", "channels:manage", "groups:write")
    user = call.workspace.users.get(call.required("users"))
    if user is None:
        raise Refused("user_not_found")
    if user.deleted or user.is_bot:
        raise Refused("user_disabled" if user.deleted else "cannot_dm_bot")
    return {"ok": True, "channel": {"id": call.workspace.direct_messages(user).id}}


def look_up_by_email(call: Call) -> Json:
    """`users.lookupByEmail`: deactivated people are not found."""
    email = call.required("email").lower()
    for user in call.workspace.users.values():
        if user.email.lower() == email and not user.deleted:
            return {"ok": True, "user": _user(call, user)}
    raise Refused("users_not_found")


def show_user(call: Call) -> Json:
    """`users.info`: one person by id; the email only with its own scope."""
    user = call.workspace.users.get(call.required("user"))
    if user is None:
        raise Refused("user_not_found")
    return {"ok": True, "user": _user(call, user)}


def kind(channel: Channel) -> str:
    """A conversation's type, in the words of the `types` argument."""
    if channel.user_id:
        return "im"
    return "private_channel" if channel.private else "public_channel"


def conversation(workspace: Workspace, channel: Channel) -> Json:
    """A conversation as Slack describes it."""
    if channel.user_id:
        talk = {"id": channel.id, "is_im": True, "user": channel.user_id, "created": channel.created_at}
        return {**talk, "is_archived": False, "is_user_deleted": False, "is_org_shared": False}
    nothing = {"value": "", "creator": "", "last_set": 0}
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": not channel.private,
        "is_group": channel.private,
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.private,
        "is_archived": channel.archived,
        "is_general": channel.name == "general",
        "is_member": channel.member,
        "is_shared": False,
        "is_ext_shared": False,
        "is_org_shared": False,
        "is_pending_ext_shared": False,
        "pending_shared": [],
        "unlinked": 0,
        "created": channel.created_at,
        "creator": workspace.creator_id,
        "topic": nothing,
        "purpose": nothing,
        "previous_names": list(channel.previous_names),
        "num_members": 2 if channel.member else 1,
    }


def _page(call: Call, shown: Callable[[Channel], bool], told: Callable[[Workspace, Channel], Json]) -> Json:
    """One page. Archived channels left out of it make it shorter, as Slack's pages may be before the last."""
    types = [part.strip() for part in (call.text("types") or "public_channel").split(",")]
    if unknown := set(types) - READ_SCOPES.keys():
        raise Refused("invalid_types", response_metadata={"messages": [f"[ERROR] {unknown}"]})
    for each in types:
        call.needs(READ_SCOPES[each])
    limit = min(_limit(call.text("limit")), call.workspace.page_most)
    there = [c for c in call.workspace.channels.values() if kind(c) in types and shown(c)]
    try:
        page, cursor = _page_of(there, call.text("cursor"), limit)
    except KeyError:
        raise Refused("invalid_cursor") from None
    kept = [c for c in page if not (c.archived and call.flag("exclude_archived"))]
    channels = [told(call.workspace, channel) for channel in kept]
    return {"ok": True, "channels": channels, "response_metadata": {"next_cursor": cursor}}


def _limit(text: str) -> int:
    try:
        limit = int(text or 100)
    except ValueError:
        raise bad_arguments("must provide an integer [json-pointer:/limit]") from None
    if not 0 <= limit <= 1000:
        raise Refused("invalid_limit")
    return limit or 100


def _user(call: Call, user: User) -> Json:
    names = ("real_name", "display_name", "real_name_normalized", "display_name_normalized")
    empty = ("title", "phone", "skype", "status_text", "status_emoji")
    profile: Json = {**dict.fromkeys(names, user.name), **dict.fromkeys(empty, "")}
    profile |= {"fields": None, "avatar_hash": "g0", "team": call.workspace.team_id}
    if "users:read.email" in call.token.scopes:
        profile["email"] = user.email
    return {
        "id": user.id,
        "team_id": call.workspace.team_id,
        "name": user.name,
        "real_name": user.name,
        "deleted": user.deleted,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "updated": 1_700_000_000,
        "profile": profile,
    }


def _page_of(items: list[Channel], cursor: str, limit: int) -> tuple[list[Channel], str]:
    """The page a cursor names and the cursor of the next one; raises KeyError for a cursor not ours."""
    start = {_cursor(item.id): index for index, item in enumerate(items)}[cursor] if cursor else 0
    page, rest = items[start : start + limit], items[start + limit :]
    return page, _cursor(rest[0].id) if rest else ""


def _cursor(channel_id: str) -> str:
    """A cursor as Slack writes them: base64 that ends in `=`."""
    text = f"team:{channel_id}"
    return base64.b64encode((text if len(text) % 3 else text + ":").encode()).decode()

"""The Web API's methods here: what answers each, the scopes it wants, how often it may be called."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.sandbox import chat, directory
from worker.sandbox.calls import Call
from worker.sandbox.state import Json


@dataclass(frozen=True, slots=True)
class Method:
    """A method. `reads` take their arguments from the query or a form, never from JSON."""

    answer: Callable[[Call], Json]
    scopes: tuple[str, ...]
    per_minute: int
    reads: bool = False


def test_auth(call: Call) -> Json:
    """`auth.test`: who the token is."""
    workspace = call.workspace
    return {
        "ok": True,
        "url": call.url,
        "team": workspace.name,
        "user": workspace.bot_name.lower(),
        "team_id": workspace.team_id,
        "user_id": workspace.bot_user_id,
        "bot_id": workspace.bot_id,
        "is_enterprise_install": False,
    }


# Tiers: https://docs.slack.dev/apis/web-api/rate-limits. "Special" ones carry our guess of Slack's guess.
METHODS = {
    "auth.test": Method(test_auth, (), 600),
    "chat.postMessage": Method(chat.post_message, ("chat:write",), 600),
    "chat.update": Method(chat.update, ("chat:write",), 50),
    "chat.delete": Method(chat.delete, ("chat:write",), 50),
    "chat.getPermalink": Method(chat.get_permalink, (), 600, reads=True),
    "conversations.list": Method(directory.list_conversations, (), 20, reads=True),
    "conversations.info": Method(directory.show_conversation, (), 50, reads=True),
    "conversations.open": Method(directory.open_conversation, (), 50),
    "users.conversations": Method(directory.list_memberships, (), 50, reads=True),
    "users.lookupByEmail": Method(directory.look_up_by_email, ("users:read.email",), 50, reads=True),
    "users.info": Method(directory.show_user, ("users:read",), 100, reads=True),
}

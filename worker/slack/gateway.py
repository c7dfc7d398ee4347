"""The one way to Slack: a Gateway whose calls go through slack_sdk, with one session for all tokens."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from worker.domain.delivery import Receipt
from worker.domain.errors import Refusal
from worker.domain.integration import Conversation, Identity, Page, Person, Secret
from worker.domain.message import Message
from worker.slack import codes
from worker.slack.answers import text_of, unreadable
from worker.slack.blocks import JsonObject, arguments

if TYPE_CHECKING:
    from worker.slack.calling import Caller

BASE_URL = "https://slack.com/api/"
TOTAL_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
CONNECTIONS_MAX = 128
# "An integer under 1000": https://docs.slack.dev/reference/methods/conversations.list
PAGE_SIZE = 999


class SlackGateway:
    """Calls Slack and answers with a value, or raises a Refusal.

    It belongs to one event loop: what its first call opens is closed by `aclose` or `async with`. The SDK is
    imported by that call, since most commands never speak to Slack.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        connections: int = CONNECTIONS_MAX,
    ) -> None:
        def make() -> "Caller":
            from worker.slack.calling import Caller

            return Caller(
                base_url,
                total_timeout_s=total_timeout_s,
                connect_timeout_s=connect_timeout_s,
                connections=connections,
            )

        self._make = make
        self._made: Caller | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; a later call would open new ones."""
        if self._made:
            await self._made.aclose()

    @property
    def _slack(self) -> "Caller":
        if self._made is None:
            self._made = self._make()
        return self._made

    async def post(
        self, token: Secret, channel: str, message: Message, *, plain: bool = False, thread_ts: str = "",
        broadcast: bool = False,
    ) -> Receipt:  # fmt: skip
        """Post to a conversation or user id, or into a thread, with `broadcast` to be seen above it too.

        `plain` sends the fallback text alone.

        The receipt names the conversation posted to, which for a user id is their direct messages (D…). When
        the message of a thread is gone, Slack posts to the channel and does not say so.
        """
        sent = arguments(message, plain=plain)
        sent["channel"] = channel
        if thread_ts:
            sent["thread_ts"] = thread_ts
            sent |= {"reply_broadcast": True} if broadcast else {}
        personal = channel[:1] in "UW"
        body = (await self._slack.call("chat.postMessage", token, json=sent, to_a_person=personal)).body
        posted_to, ts = text_of(body, "channel"), text_of(body, "ts")
        if not posted_to or not ts:
            raise unreadable()
        return Receipt(posted_to, ts)

    async def edit(self, token: Secret, at: Receipt, message: Message) -> Receipt:
        """Put another message in the place of one of ours; both parts are sent, since what is left out stays.

        https://docs.slack.dev/reference/methods/chat.update
        """
        whole = arguments(message)
        sent: JsonObject = {"channel": at.channel, "ts": at.ts, "text": whole["text"]}
        sent |= {part: whole.get(part, []) for part in ("blocks", "attachments")}
        await self._slack.call("chat.update", token, json=sent)
        return at

    async def identify(self, token: Secret) -> Identity:
        """Who the token is (`auth.test`) and what it may do, which only the header `x-oauth-scopes` tells."""
        body, headers = await self._slack.call("auth.test", token)
        identity = Identity(
            team_id=text_of(body, "team_id"),
            team=text_of(body, "team"),
            url=text_of(body, "url"),
            user_id=text_of(body, "user_id"),
            bot_name=text_of(body, "user"),
            bot_id=text_of(body, "bot_id"),
            scopes=tuple(re.findall(r"[^\s,]+", headers.get("x-oauth-scopes", ""))),
        )
        if not identity.team_id or not identity.user_id:
            raise unreadable()
        return identity

    async def list_conversations(
        self, token: Secret, *, private: bool, cursor: str = "", joined: bool = False
    ) -> Page:
        """One page of public or of private channels, archived ones included; an empty one may have a next.

        `joined` lists those alone that the bot is in and that are not archived: often a single page.
        """
        asked: JsonObject = {
            "types": "private_channel" if private else "public_channel",
            "exclude_archived": joined,
            "limit": PAGE_SIZE,
            "cursor": cursor or None,  # the SDK leaves out what is None
        }
        method = "users.conversations" if joined else "conversations.list"
        body = (await self._slack.call(method, token, params=asked)).body
        channels = body.get("channels")
        if not isinstance(channels, list):
            raise unreadable()
        following = text_of(body, "response_metadata", "next_cursor")
        return Page(tuple(_conversation(channel, joined=joined) for channel in channels), following)

    async def conversation(self, token: Secret, channel: str) -> Conversation:
        """One channel by its id; asking for direct messages (D…) takes a scope the guide does not list."""
        body = (await self._slack.call("conversations.info", token, params={"channel": channel})).body
        return _conversation(body.get("channel"))

    async def person_by_email(self, token: Secret, email: str) -> Person:
        """The user with this address."""
        return _person((await self._slack.call("users.lookupByEmail", token, params={"email": email})).body)

    async def person(self, token: Secret, user_id: str) -> Person:
        """One user by their id."""
        return _person((await self._slack.call("users.info", token, params={"user": user_id})).body)

    def refusal(self, code: str) -> Refusal:
        """What a code of Slack's means, for what is known without asking."""
        return codes.refusal(code)


def _conversation(channel: object, *, joined: bool = False) -> Conversation:
    """A channel of an answer; direct messages have no name, and the bot is in all it can see.

    `joined`: the answer leaves out `is_member`, as https://docs.slack.dev/reference/methods/users.conversations
    lists nothing else.
    """
    if not isinstance(channel, Mapping) or not text_of(channel, "id"):
        raise unreadable()
    return Conversation(
        id=text_of(channel, "id"),
        name=text_of(channel, "name"),
        is_member=joined or bool(channel.get("is_member") or channel.get("is_im")),
        is_archived=bool(channel.get("is_archived")),
        is_private=bool(channel.get("is_private")),
    )


def _person(body: Mapping[str, object]) -> Person:
    """The user of an answer."""
    user = body.get("user")
    if not isinstance(user, Mapping) or not text_of(user, "id"):
        raise unreadable()
    return Person(text_of(user, "id"), is_bot=bool(user.get("is_bot")), deleted=bool(user.get("deleted")))

"""Slack gateway: the methods of Slack's Web API that the pipeline uses, with plain values in and out."""

import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING

from worker.domain.delivery import Receipt
from worker.domain.errors import SlackError
from worker.domain.integration import Conversation, ConversationPage, Identity, Person, Secret
from worker.domain.message import Message
from worker.slack import error_codes
from worker.slack.blocks import JsonObject, arguments
from worker.slack.error_codes import text_at, unreadable_answer

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

    from worker.slack.client import Answer

BASE_URL = "https://slack.com/api/"
TOTAL_TIMEOUT_S, CONNECT_TIMEOUT_S = 15.0, 5.0
# "An integer under 1000": https://docs.slack.dev/reference/methods/conversations.list
PAGE_SIZE = 999


class SlackGateway:
    """The real `pipeline.gateway.Gateway`: returns a value or raises a SlackError.

    It belongs to one event loop; `aclose` closes what the first call opens. That call imports the SDK, as most commands
    never call Slack.
    """

    def __init__(
        self, base_url: str = BASE_URL, *,
        total_timeout_s: float = TOTAL_TIMEOUT_S, connect_timeout_s: float = CONNECT_TIMEOUT_S, connections: int = 128,
    ) -> None:  # fmt: skip
        self._options = (base_url, total_timeout_s, connect_timeout_s, connections)
        self._client: AsyncWebClient | None = None

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        client, self._client = self._client, None
        if client and client.session:
            await client.session.close()

    async def _call(self, method: str, token: Secret, *, to_user: bool = False, **content: JsonObject) -> "Answer":
        from worker.slack.client import call, open_client

        self._client = self._client or open_client(*self._options)
        return await call(self._client, method, token, to_user=to_user, **content)

    async def post(
        self, token: Secret, channel: str, message: Message, *, plain: bool = False, thread_ts: str = "",
        broadcast: bool = False,
    ) -> Receipt:  # fmt: skip
        """Post to a conversation or a user, or into a thread; `plain` sends the fallback text only.

        `broadcast` shows a reply in the channel too. The receipt has the conversation posted to: for a user id, the
        direct messages (D…). If the first message of the thread was deleted, Slack silently posts to the channel.
        """
        sent = {**arguments(message, plain=plain), "channel": channel}
        if thread_ts:
            sent["thread_ts"] = thread_ts
            sent |= {"reply_broadcast": True} if broadcast else {}
        body, _ = await self._call("chat.postMessage", token, json=sent, to_user=channel[:1] in "UW")
        posted_to, ts = text_at(body, "channel"), text_at(body, "ts")
        if not posted_to or not ts:
            raise unreadable_answer()
        return Receipt(posted_to, ts)

    async def edit(self, token: Secret, at: Receipt, message: Message) -> Receipt:
        """Replace one of our messages. Empty parts are sent too, as Slack keeps the parts that are not sent.

        https://docs.slack.dev/reference/methods/chat.update
        """
        content = arguments(message)
        sent: JsonObject = {"channel": at.channel, "ts": at.ts, "text": content["text"]}
        sent |= {part: content.get(part, []) for part in ("blocks", "attachments")}
        await self._call("chat.update", token, json=sent)
        return at

    async def identify(self, token: Secret) -> Identity:
        """Return the identity of a token (`auth.test`), and its scopes, which are only in the header of the answer.

        Raises Blocked for a token of a whole organisation: its channels are of no workspace that we know.
        """
        body, headers = await self._call("auth.test", token)
        if body.get("is_enterprise_install"):
            raise error_codes.error_from_code(error_codes.ORG_WIDE_INSTALL)
        identity = Identity(
            team_id=text_at(body, "team_id"),
            team=text_at(body, "team"),
            url=text_at(body, "url"),
            user_id=text_at(body, "user_id"),
            bot_name=text_at(body, "user"),
            bot_id=text_at(body, "bot_id"),
            scopes=tuple(re.findall(r"[^\s,]+", headers.get("x-oauth-scopes", ""))),
        )
        if not identity.team_id or not identity.user_id:
            raise unreadable_answer()
        return identity

    async def list_conversations(
        self, token: Secret, *, private: bool, cursor: str = "", joined: bool = False
    ) -> ConversationPage:
        """Return one page of public or private channels, with archived ones; an empty page may have a next one.

        `joined` lists only channels that the bot is in and that are not archived, often on a single page.
        """
        params: JsonObject = {
            "types": "private_channel" if private else "public_channel",
            "exclude_archived": joined,
            "limit": PAGE_SIZE,
            "cursor": cursor or None,  # the SDK does not send None
        }
        body, _ = await self._call("users.conversations" if joined else "conversations.list", token, params=params)
        channels = body.get("channels")
        if not isinstance(channels, list):
            raise unreadable_answer()
        following = text_at(body, "response_metadata", "next_cursor")
        return ConversationPage(tuple(_conversation(channel, joined=joined) for channel in channels), following)

    async def get_conversation(self, token: Secret, channel: str) -> Conversation:
        """Return a channel by its id. Direct messages (D…) need a scope that is not among the five required ones."""
        body, _ = await self._call("conversations.info", token, params={"channel": channel})
        return _conversation(body.get("channel"))

    async def find_person_by_email(self, token: Secret, email: str) -> Person:
        """Return the user with an e-mail address."""
        return await self._person("users.lookupByEmail", token, {"email": email})

    async def get_person(self, token: Secret, user_id: str) -> Person:
        """Return a user by id."""
        return await self._person("users.info", token, {"user": user_id})

    async def _person(self, method: str, token: Secret, params: JsonObject) -> Person:
        user = (await self._call(method, token, params=params)).body.get("user")
        if not isinstance(user, Mapping) or not text_at(user, "id"):
            raise unreadable_answer()
        return Person(text_at(user, "id"), is_bot=bool(user.get("is_bot")), deleted=bool(user.get("deleted")))

    def error_from_code(self, code: str) -> SlackError:
        """Return the error of one of Slack's codes, for a rejection that is known without a call."""
        return error_codes.error_from_code(code)


def _conversation(channel: object, *, joined: bool = False) -> Conversation:
    """Return a channel of an answer; that of `users.conversations` (`joined`) has no `is_member`."""
    if not isinstance(channel, Mapping) or not text_at(channel, "id"):
        raise unreadable_answer()
    return Conversation(
        id=text_at(channel, "id"),
        name=unicodedata.normalize("NFC", text_at(channel, "name")),
        is_member=joined or bool(channel.get("is_member") or channel.get("is_im")),  # the bot is in all it can see
        is_archived=bool(channel.get("is_archived")),
        is_private=bool(channel.get("is_private")),
    )

"""The one way to Slack: a Gateway on slack_sdk's AsyncWebClient, with one session for all tokens."""

import ipaddress
import logging
import re
from collections.abc import Mapping
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from worker.domain.delivery import Receipt
from worker.domain.errors import Refusal
from worker.domain.integration import Conversation, Identity, Page, Person, Secret
from worker.domain.message import Message
from worker.slack import codes
from worker.slack.blocks import JsonObject, arguments
from worker.slack.refusals import FAILURES, refused, text_of, unreadable

BASE_URL = AsyncWebClient.BASE_URL
TOTAL_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
CONNECTIONS_MAX = 128
# Short: a post on a connection that Slack has just closed ends Uncertain, and Slack names no time-out.
IDLE_CONNECTION_S = 15.0
# "An integer under 1000": https://docs.slack.dev/reference/methods/conversations.list
PAGE_SIZE = 999


class Answer(NamedTuple):
    """An answer with `ok`: its body, and its headers, whose names are matched in any case."""

    body: Mapping[str, object]
    headers: Mapping[str, str]


class SlackGateway:
    """Calls Slack and answers with a value, or raises a Refusal.

    It belongs to one event loop: its session is made by the first call and ended by `aclose` or `async with`.
    The SDK's retries are off, since they post again after a reset: repeating is the pipeline's decision.
    A proxy named in the environment is used as the SDK does, except for addresses of this machine.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        connections: int = CONNECTIONS_MAX,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=total_timeout_s, connect=connect_timeout_s)
        self._connections = connections
        self._client = AsyncWebClient(
            base_url=base_url,
            retry_handlers=[],
            user_agent_prefix="infrakitchen-slack",
            # Not by getLogger, so that no configuration reaches it: at DEBUG the SDK logs whole messages.
            logger=logging.Logger("slack_sdk", logging.WARNING),  # noqa: LOG001
        )
        if _is_loopback(base_url):
            self._client.proxy = None  # the SDK does not read NO_PROXY

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; a later call would open new ones."""
        session, self._client.session = self._client.session, None
        if session:
            await session.close()

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
        body = (await self._call("chat.postMessage", token, json=sent, to_a_person=channel[:1] in "UW")).body
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
        await self._call("chat.update", token, json=sent)
        return at

    async def identify(self, token: Secret) -> Identity:
        """Who the token is (`auth.test`) and what it may do, which only the header `x-oauth-scopes` tells."""
        body, headers = await self._call("auth.test", token)
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
        body = (await self._call(method, token, params=asked)).body
        channels = body.get("channels")
        if not isinstance(channels, list):
            raise unreadable()
        following = text_of(body, "response_metadata", "next_cursor")
        return Page(tuple(_conversation(channel, joined=joined) for channel in channels), following)

    async def conversation(self, token: Secret, channel: str) -> Conversation:
        """One channel by its id; asking for direct messages (D…) takes a scope the guide does not list."""
        body = (await self._call("conversations.info", token, params={"channel": channel})).body
        return _conversation(body.get("channel"))

    async def person_by_email(self, token: Secret, email: str) -> Person:
        """The user with this address."""
        return _person((await self._call("users.lookupByEmail", token, params={"email": email})).body)

    async def person(self, token: Secret, user_id: str) -> Person:
        """One user by their id."""
        return _person((await self._call("users.info", token, params={"user": user_id})).body)

    def refusal(self, code: str) -> Refusal:
        """What a code of Slack's means, for what is known without asking."""
        return codes.refusal(code)

    async def _call(
        self, method: str, token: Secret, *,
        json: JsonObject | None = None, params: JsonObject | None = None, to_a_person: bool = False,
    ) -> Answer:  # fmt: skip
        """One call: `json` is posted, `params` are asked for by GET, as the SDK's own methods do."""
        if self._client.session is None:
            self._client.session = self._new_session()
        try:
            verb = "GET" if params else "POST"
            answer = await self._client.api_call(
                method, http_verb=verb, json=json, params=params, headers=_bearer(token)
            )
        except FAILURES as failure:
            ending = refused(failure, to_a_person=to_a_person)
        else:
            if isinstance(answer.data, dict):
                return Answer(answer.data, answer.headers)
            ending = unreadable()
        # Raised where no failure is being handled, so that none, with its request and token, is in the chain.
        raise ending

    def _new_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=IDLE_CONNECTION_S)
        # Cookies would be shared between workspaces.
        return aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
        )


def _bearer(token: Secret) -> dict[str, str]:
    """The header a token travels in; a text that fits in no header is a token Slack would not accept."""
    if not re.fullmatch(r"[!-~]+", token.reveal()):
        raise codes.refusal("invalid_auth")
    return {"Authorization": f"Bearer {token.reveal()}"}


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


def _is_loopback(url: str) -> bool:
    """Whether an address is of this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

"""A call to Slack through slack_sdk's AsyncWebClient; one session for all tokens."""

import ipaddress
import logging
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from worker.domain.integration import Secret
from worker.slack import codes
from worker.slack.answers import unreadable
from worker.slack.blocks import JsonObject
from worker.slack.refusals import FAILURES, refused

# Short: a post on a connection that Slack has just closed ends Uncertain, and Slack names no time-out.
IDLE_CONNECTION_S = 15.0


class Answer(NamedTuple):
    """An answer with `ok`: its body, and its headers, whose names are matched in any case."""

    body: Mapping[str, object]
    headers: Mapping[str, str]


class Caller:
    """Calls methods of Slack's API by their names.

    It belongs to one event loop: its session is made by the first call and ended by `aclose`.
    The SDK's retries are off, since they post again after a reset: repeating is the pipeline's decision.
    A proxy named in the environment is used as the SDK does, except for addresses of this machine.
    """

    def __init__(
        self, base_url: str, *, total_timeout_s: float, connect_timeout_s: float, connections: int
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=total_timeout_s, connect=connect_timeout_s)
        self._connections = connections
        self.client = AsyncWebClient(
            base_url=base_url,
            retry_handlers=[],
            user_agent_prefix="infrakitchen-slack",
            # Not by getLogger, so that no configuration reaches it: at DEBUG the SDK logs whole messages.
            logger=logging.Logger("slack_sdk", logging.WARNING),  # noqa: LOG001
        )
        if _is_loopback(base_url):
            self.client.proxy = None  # the SDK does not read NO_PROXY

    async def aclose(self) -> None:
        """Close the connections; a later call would open new ones."""
        session, self.client.session = self.client.session, None
        if session:
            await session.close()

    async def call(
        self, method: str, token: Secret, *,
        json: JsonObject | None = None, params: JsonObject | None = None, to_a_person: bool = False,
    ) -> Answer:  # fmt: skip
        """One call: `json` is posted, `params` are asked for by GET, as the SDK's own methods do."""
        if self.client.session is None:
            self.client.session = self._new_session()
        try:
            verb = "GET" if params else "POST"
            answer = await self.client.api_call(
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


def _is_loopback(url: str) -> bool:
    """Whether an address is of this machine."""
    host = ""
    try:
        host = urlsplit(url).hostname or ""
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

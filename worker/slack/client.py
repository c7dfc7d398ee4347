"""Slack client: makes one call through slack_sdk's AsyncWebClient, and turns every failure into a SlackError.

What decides is whether the call can have reached Slack. Without a connection it cannot: `Transient`. Once it was sent,
everything but a readable answer is `Uncertain`, also a kept-alive connection that turns out to be closed: nothing
shows at which end of the call it was closed.
"""

import contextlib
import errno
import logging
import os
import re
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from worker.domain.errors import SlackError, Transient, Uncertain
from worker.domain.integration import Secret
from worker.local_machine import is_loopback
from worker.slack.blocks import JsonObject
from worker.slack.error_codes import error_from_answer, error_from_code, unreadable_answer

#: Short, as a post on a connection that Slack has just closed is Uncertain, and Slack documents no time-out.
IDLE_CONNECTION_S = 15.0

#: Failures that a call through the SDK can raise; cancellation passes.
FAILURES = (
    SlackClientError,
    aiohttp.ClientError,
    OSError,  # TimeoutError among them
    ValueError,  # an answer that is not UTF-8, or has a number too long to read
    AttributeError,  # the SDK takes everything with status 200 for an object
    RecursionError,  # an answer nested too deeply
)


class Answer(NamedTuple):
    """An answer with `ok`; the names of its headers are matched in any case."""

    body: Mapping[str, object]
    headers: Mapping[str, str]


def open_client(base_url: str, total_timeout_s: float, connect_timeout_s: float, connections: int) -> AsyncWebClient:
    """Return a client of the SDK with one session for all tokens, which the running event loop owns.

    Its retries are off, as they post again after a reset: the pipeline decides whether to repeat.
    """
    proxy = find_proxy(base_url)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=IDLE_CONNECTION_S),
        timeout=aiohttp.ClientTimeout(total=total_timeout_s, connect=connect_timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),  # cookies would be shared between workspaces
    )
    client = AsyncWebClient(
        base_url=base_url,
        session=session,
        retry_handlers=[],
        user_agent_prefix="infrakitchen-slack",
        # Not by getLogger, so that no configuration reaches it: at DEBUG the SDK logs whole messages.
        logger=logging.Logger("slack_sdk", logging.WARNING),  # noqa: LOG001
    )
    client.proxy = proxy  # the SDK does not read NO_PROXY, nor a proxy without a scheme
    return client


def find_proxy(base_url: str) -> str | None:
    """Return the proxy that HTTPS_PROXY, else HTTP_PROXY, names for an address, unless NO_PROXY lists its host.

    Addresses of this machine have none. Raises Transient for a proxy that does not speak HTTP.
    """
    proxies, host = getproxies_environment(), ""
    with contextlib.suppress(ValueError):  # not a web address: the first call fails
        host = urlsplit(base_url).hostname or ""
    proxy = proxies.get("https") or proxies.get("http")
    is_local = is_loopback(host) or host.endswith(".localhost")
    if not proxy or is_local or proxy_bypass(host):
        return None
    scheme, separator, _ = proxy.partition("://")
    if not separator:
        return f"http://{proxy}"
    if scheme.lower() not in ("http", "https"):
        raise Transient("connect_failed", f"HTTPS_PROXY names a {scheme[:10]} proxy; use one that speaks HTTP")
    return proxy


async def call(
    client: AsyncWebClient, method: str, token: Secret, *,
    json: JsonObject | None = None, params: JsonObject | None = None, to_user: bool = False,
) -> Answer:  # fmt: skip
    """Call a method: `json` by POST, `params` by GET, as the SDK does. Raises SlackError."""
    # A text that fits in no header is not a token that Slack accepts.
    if not re.fullmatch(r"[!-~]+", token.reveal()):
        raise error_from_code("invalid_auth")
    verb = "GET" if params else "POST"
    try:
        # The header is no variable, so that no traceback shows it.
        answer = await client.api_call(
            method, http_verb=verb, json=json, params=params, headers={"Authorization": f"Bearer {token.reveal()}"}
        )
    except FAILURES as failure:
        error = error_from_failure(failure, to_user=to_user)
    else:
        if isinstance(answer.data, dict):
            return Answer(answer.data, answer.headers)
        error = unreadable_answer()
    # Raised outside of the handler, so that the failure, with its request and token, is not in the chain.
    raise error


def error_from_failure(failure: Exception, *, to_user: bool = False) -> SlackError:
    """Return the error a failure stands for. It keeps nothing of the failure, whose request contains the token."""
    match failure:
        case SlackApiError(response=AsyncSlackResponse() as answer):
            return error_from_answer(answer.status_code, answer.headers, answer.data, to_user=to_user)
        case SlackApiError():  # the body was no JSON
            response: Any = failure.response  # aiohttp's own
            return error_from_answer(response.status, response.headers, None)
        case aiohttp.ConnectionTimeoutError():
            return Transient("connect_timeout", "Slack could not be reached in time")
        case aiohttp.ClientConnectorError():
            return _connection_failure(failure)
        case aiohttp.ClientHttpProxyError():
            return Transient("connect_failed", f"The proxy did not connect to Slack (HTTP {failure.status})")
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return Transient("connect_failed", "Slack could not be reached: SLACK_API_URL is not a web address")
        case TimeoutError():
            return Uncertain("read_timeout", "Slack was asked and did not answer in time")
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
            return Uncertain("connection_lost", "Slack was asked and the connection broke before the answer")
        case _:
            return unreadable_answer()


def _connection_failure(failure: aiohttp.ClientConnectorError) -> SlackError:
    host, cause = failure.host, _cause(failure.os_error)
    if isinstance(failure.os_error, ssl.SSLCertVerificationError):
        fix = "if a proxy signs it, set SSL_CERT_FILE to a file with the proxy's CA"
        return Transient("certificate_untrusted", f"The certificate of {host} is not trusted ({cause}): {fix}")
    if isinstance(failure, aiohttp.ClientProxyConnectionError):
        return Transient("connect_failed", f"The proxy {host} of HTTPS_PROXY could not be reached: {cause}")
    return Transient("connect_failed", f"Slack could not be reached at {host}: {cause}")


def _cause(error: OSError) -> str:
    """Return why there is no connection, in the words of the operating system."""
    if isinstance(error, ssl.SSLError):
        text = getattr(error, "verify_message", "") or error.strerror
    elif error.errno is not None and error.errno in errno.errorcode:
        text = os.strerror(error.errno)  # asyncio's own text is that of a call: Connect call failed (…)
    else:
        text = error.strerror
    return str(text or type(error).__name__)

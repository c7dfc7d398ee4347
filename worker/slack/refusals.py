"""Whatever slack_sdk, aiohttp and the wire can come to instead of an answer, as a Refusal.

What decides is whether the call can have reached Slack. Where no connection was made it cannot have, which is
Transient; once it went out, all but a readable answer is Uncertain. A kept-alive connection that turns out
closed counts as gone out: nothing tells at which end of the call it closed.
"""

import errno
import math
import os
import re
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from worker.domain.errors import Refusal, Transient, Uncertain
from worker.domain.markup import cut
from worker.slack.answers import text_of, unreadable
from worker.slack.codes import RETRY_AFTER_DEFAULT_S, refusal, row

FAILURES = (
    SlackClientError,
    aiohttp.ClientError,
    OSError,  # TimeoutError among them
    ValueError,  # an answer that is not UTF-8, or holds a number too long to read
    AttributeError,  # the SDK takes whatever comes with status 200 for an object
    RecursionError,  # an answer nested too deeply
)
"""What a call through the SDK can raise; cancellation passes."""

RETRY_AFTER_MIN_S = 1.0
RETRY_AFTER_MAX_S = 3600.0


def refused(failure: Exception, *, to_a_person: bool = False) -> Refusal:
    """The Refusal a failure amounts to; it keeps nothing of the failure, whose request holds the token."""
    match failure:
        case SlackApiError():
            return _answered(failure.response, to_a_person)
        case aiohttp.ConnectionTimeoutError():
            return Transient("connect_timeout", "Slack could not be reached in time")
        case aiohttp.ClientConnectorError():
            return Transient(
                "connect_failed", f"Slack could not be reached at {failure.host}: {_cause(failure)}"
            )
        case aiohttp.ClientHttpProxyError():
            return Transient("connect_failed", f"The proxy opened no way to Slack (HTTP {failure.status})")
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return Transient("connect_failed", "Slack could not be reached: SLACK_API_URL is no web address")
        case TimeoutError():
            return Uncertain("read_timeout", "Slack was asked and did not answer in time")
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
            return Uncertain("connection_lost", "Slack was asked and the connection broke before the answer")
        case _:
            return unreadable()


def _answered(response: Any, to_a_person: bool) -> Refusal:
    """The Refusal in an answer: by its code, where it has none by its HTTP status.

    The response is the SDK's, or aiohttp's own when the body was no JSON; the SDK's body is whatever came.
    """
    by_sdk = isinstance(response, AsyncSlackResponse)
    status: int = response.status_code if by_sdk else response.status
    body: object = response.data if by_sdk else None
    code = text_of(body, "error")
    if status == 429:
        return refusal("ratelimited", retry_after_s=_retry_after_s(response.headers))
    if status >= 500 and row(code) is None:
        return Uncertain(f"http_{status}", f"Slack failed (HTTP {status})")
    if re.fullmatch(r"[a-z][a-z0-9_.]{0,79}", code):
        return refusal(
            code,
            needed=text_of(body, "needed") or response.headers.get("x-accepted-oauth-scopes", ""),
            provided=text_of(body, "provided") or response.headers.get("x-oauth-scopes", ""),
            detail=_detail(body),
            retry_after_s=_retry_after_s(response.headers),
            to_a_person=to_a_person,
        )
    if status < 300:
        return unreadable()
    if row(f"http_{status}"):
        return refusal(f"http_{status}")
    return Transient(
        f"http_{status}",
        f"Not Slack but something before it answered (HTTP {status}); check the proxy and SLACK_API_URL",
    )


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """The wait asked for, within reason; Slack writes whole seconds.

    https://docs.slack.dev/apis/web-api/rate-limits
    """
    try:
        asked_s = float(headers.get("Retry-After", ""))
    except ValueError:
        return RETRY_AFTER_DEFAULT_S
    if math.isnan(asked_s):
        return RETRY_AFTER_DEFAULT_S
    return min(max(asked_s, RETRY_AFTER_MIN_S), RETRY_AFTER_MAX_S)


def _detail(body: object) -> str:
    """What Slack says is wrong with the message, such as the place in its blocks."""
    said = body.get("response_metadata") if isinstance(body, Mapping) else None
    messages = said.get("messages") if isinstance(said, Mapping) else None
    if not isinstance(messages, list):
        return ""
    return cut("; ".join(str(message).removeprefix("[ERROR] ") for message in messages[:5]), 500)


def _cause(failure: aiohttp.ClientConnectorError) -> str:
    """Why there is no connection, in the words of the system."""
    cause = failure.os_error
    if isinstance(cause, ssl.SSLError):
        words = getattr(cause, "verify_message", "") or cause.strerror
    elif cause.errno is not None and cause.errno in errno.errorcode:
        words = os.strerror(cause.errno)  # asyncio's own words are those of a call: Connect call failed (…)
    else:
        words = cause.strerror
    return str(words or type(cause).__name__)

"""No error and no log line contains a token."""

import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator

import pytest
from support.slack_http import (
    MESSAGE,
    TOKEN,
    Behaviour,
    SlackServer,
    close,
    hang,
    http_response,
    reset,
    slack_answer,
    slack_error,
)

from worker.domain.errors import SlackError
from worker.slack.gateway import SlackGateway

Opener = Callable[..., Awaitable[SlackServer]]
Maker = Callable[..., SlackGateway]

SECRET = TOKEN.reveal()
ECHO = slack_error("invalid_auth", token=SECRET, response_metadata={"messages": ["bad token"]})
CASES: dict[str, bytes | Behaviour] = {
    "closed": close,
    "reset": reset,
    "hangs": hang,
    "html_502": http_response(502, "<html>", "text/html"),
    "text_200": http_response(200, "ok", "text/plain"),
    "gzip_200": http_response(200, b"\x1f\x8b", "application/gzip"),
    "cut_json": http_response(200, '{"ok":true,'),
    "cut_json_echo": http_response(200, f'{{"token":"{SECRET}"'),
    "no_http": b"nonsense\r\n\r\n",
    "redirected": http_response(307, Location="/api/chat.postMessage"),
    "error": slack_error("invalid_auth"),
    "error_echo": ECHO,
    "error_is_the_token": slack_error(SECRET),
    "throttled": http_response(429, "", Retry_After="1"),
    "without_ts": slack_answer(ok=True, channel="C01"),
}


def chain(failure: BaseException | None) -> Iterator[BaseException]:
    while failure is not None:
        yield failure
        failure = failure.__cause__ or failure.__context__


def words_of(failure: BaseException) -> Iterator[str]:
    """Return all texts that a log, page or crash report could print of a failure, with variables."""
    for link in chain(failure):
        yield from (str(link), repr(link), repr(link.args), repr(getattr(link, "__dict__", "")))
        yield from traceback.format_exception(link)
        for frame, _ in traceback.walk_tb(link.__traceback__):
            if frame.f_globals["__name__"] != __name__:
                yield repr(frame.f_locals)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", CASES)
async def test_the_error_of_a_failed_call_contains_no_token(
    open_wire: Opener, gateway_to: Maker, caplog: pytest.LogCaptureFixture, name: str, plain: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    wire = await open_wire(CASES[name])
    with pytest.raises(SlackError) as caught:
        await gateway_to(wire.url, total_timeout_s=0.2 if name == "hangs" else 5).post(
            TOKEN, "C0000000001", MESSAGE, plain=plain
        )
    words = "\n".join(words_of(caught.value))
    assert SECRET in wire.asked[0].decode()  # it did travel
    assert SECRET not in words
    assert SECRET not in caplog.text
    assert [*chain(caught.value)] == [caught.value]


async def test_a_call_that_works_logs_neither_token_nor_message(
    open_wire: Opener, gateway_to: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wire = await open_wire(slack_answer(ok=True, channel="C01", ts="1.1"))
    await gateway_to(wire.url).post(TOKEN, "C0000000001", MESSAGE)
    assert SECRET not in caplog.text
    assert MESSAGE.text not in caplog.text


async def test_the_sdk_logs_nothing_even_at_debug(
    open_wire: Opener, gateway_to: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("slack_sdk", "slack_sdk.web.async_base_client", "worker.slack"):
        caplog.set_level(logging.DEBUG, logger=name)
    wire = await open_wire(ECHO)
    with pytest.raises(SlackError):
        await gateway_to(wire.url).identify(TOKEN)
    assert caplog.text == ""


def test_the_attributes_of_a_gateway_contain_no_token() -> None:
    assert "xoxb" not in repr(vars(SlackGateway()))

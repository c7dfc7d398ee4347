"""No token in what is raised, nor in what is logged, whatever happens."""

import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator

import pytest
from slack_wire import MESSAGE, TOKEN, Behaviour, Wire, close, error, hang, http, reset, told

from worker.domain.errors import Refusal
from worker.slack.gateway import SlackGateway

Opener = Callable[..., Awaitable[Wire]]
Maker = Callable[..., SlackGateway]

SECRET = TOKEN.reveal()
ECHO = error("invalid_auth", token=SECRET, response_metadata={"messages": ["bad token"]})
CASES: dict[str, bytes | Behaviour] = {
    "closed": close,
    "reset": reset,
    "hangs": hang,
    "html_502": http(502, "<html>", "text/html"),
    "text_200": http(200, "ok", "text/plain"),
    "gzip_200": http(200, b"\x1f\x8b", "application/gzip"),
    "cut_json": http(200, '{"ok":true,'),
    "cut_json_echo": http(200, f'{{"token":"{SECRET}"'),
    "no_http": b"nonsense\r\n\r\n",
    "redirected": http(307, Location="/api/chat.postMessage"),
    "error": error("invalid_auth"),
    "error_echo": ECHO,
    "error_is_the_token": error(SECRET),
    "throttled": http(429, "", Retry_After="1"),
    "without_ts": told(ok=True, channel="C01"),
}


def chain(failure: BaseException | None) -> Iterator[BaseException]:
    while failure is not None:
        yield failure
        failure = failure.__cause__ or failure.__context__


def words_of(failure: BaseException) -> Iterator[str]:
    """All a log, a page or a crash report could print of a failure, variables included."""
    for link in chain(failure):
        yield from (str(link), repr(link), repr(link.args), repr(getattr(link, "__dict__", "")))
        yield from traceback.format_exception(link)
        for frame, _ in traceback.walk_tb(link.__traceback__):
            if frame.f_globals["__name__"] != __name__:
                yield repr(frame.f_locals)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", CASES)
async def test_a_failed_call_tells_no_token(
    open_wire: Opener, gateway_to: Maker, caplog: pytest.LogCaptureFixture, name: str, plain: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    wire = await open_wire(CASES[name])
    with pytest.raises(Refusal) as caught:
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
    wire = await open_wire(told(ok=True, channel="C01", ts="1.1"))
    await gateway_to(wire.url).post(TOKEN, "C0000000001", MESSAGE)
    assert SECRET not in caplog.text
    assert MESSAGE.text not in caplog.text


async def test_even_a_root_logger_at_debug_does_not_make_the_sdk_talk(
    open_wire: Opener, gateway_to: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("slack_sdk", "slack_sdk.web.async_base_client", "worker.slack"):
        caplog.set_level(logging.DEBUG, logger=name)
    wire = await open_wire(ECHO)
    with pytest.raises(Refusal):
        await gateway_to(wire.url).identify(TOKEN)
    assert caplog.text == ""


def test_a_gateway_shows_no_token() -> None:
    assert "xoxb" not in repr(vars(SlackGateway()))

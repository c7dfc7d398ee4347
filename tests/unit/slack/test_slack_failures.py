"""Failures of calls, through the real client and a real socket, become the right errors."""

import json
import socket
import ssl
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
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

from worker.domain.errors import Blocked, SlackError, Throttled, Transient, Uncertain, Undeliverable, UnlistedCode
from worker.slack.client import error_from_failure
from worker.slack.error_codes import ERROR_CODES
from worker.slack.gateway import SlackGateway

Opener = Callable[..., Awaitable[SlackServer]]
Maker = Callable[..., SlackGateway]

GATEWAY_PAGE = "<html><body>Bad Gateway</body></html>"
POSTED = {"ok": True, "channel": "C0000000001", "ts": "1700000000.000100"}
WIRE_CASES: list[tuple[str, bytes | Behaviour, type[SlackError], str]] = [
    # The odd shapes of answers.
    ("html_502", http_response(502, GATEWAY_PAGE, "text/html"), Uncertain, "http_502"),
    ("text_503", http_response(503, "Service Unavailable", "text/plain"), Uncertain, "http_503"),
    ("empty_text_503", http_response(503, "", "text/plain"), Uncertain, "http_503"),
    ("json_503", http_response(503, '{"ok":false,"error":"service_unavailable"}'), Transient, "service_unavailable"),
    ("json_500", http_response(500, '{"ok":false,"error":"fatal_error"}'), Uncertain, "fatal_error"),
    ("json_500_unlisted", http_response(500, '{"ok":false,"error":"who_knows"}'), Uncertain, "http_500"),
    ("html_200", http_response(200, GATEWAY_PAGE, "text/html"), Uncertain, "unreadable_answer"),
    ("text_200", http_response(200, "ok", "text/plain"), Uncertain, "unreadable_answer"),
    ("gzip_200", http_response(200, b"\x1f\x8b\x08", "application/gzip"), Uncertain, "unreadable_answer"),
    ("list", http_response(200, "[]"), Uncertain, "unreadable_answer"),
    ("filled_list", http_response(200, '["ok"]'), Uncertain, "unreadable_answer"),
    ("number", http_response(200, "7"), Uncertain, "unreadable_answer"),
    ("null", http_response(200, "null"), Uncertain, "unreadable_answer"),
    ("empty_object", http_response(200, "{}"), Uncertain, "unreadable_answer"),
    ("no_body", http_response(200), Uncertain, "unreadable_answer"),
    ("cut_json", http_response(200, '{"ok":true,"chan'), Uncertain, "unreadable_answer"),
    (
        "not_utf8",
        http_response(200, b'{"ok":"\xff\xfe"}', "application/json; charset=utf-8"),
        Uncertain,
        "unreadable_answer",
    ),
    ("deep_json", http_response(200, "[" * 100_000), Uncertain, "unreadable_answer"),
    ("long_number", http_response(200, '{"ok":' + "9" * 5000 + "}"), Uncertain, "unreadable_answer"),
    ("no_code", http_response(200, '{"ok":false}'), Uncertain, "unreadable_answer"),
    ("code_is_prose", slack_error("<b>Oh dear</b>, and more"), Uncertain, "unreadable_answer"),
    ("code_is_no_text", slack_answer(ok=False, error={"code": 1}), Uncertain, "unreadable_answer"),
    ("ok_without_ts", slack_answer(ok=True, channel="C0000000001"), Uncertain, "unreadable_answer"),
    ("ok_without_channel", slack_answer(ok=True, ts="1700000000.000100"), Uncertain, "unreadable_answer"),
    (
        "ok_with_numbers",
        slack_answer(ok=True, channel="C0000000001", ts=1700000000.0001),
        Uncertain,
        "unreadable_answer",
    ),
    ("accepted_202", http_response(202, json.dumps(POSTED)), Uncertain, "unreadable_answer"),
    # Something that is not Slack.
    ("redirect", http_response(302), Transient, "http_302"),
    ("redirected_forever", http_response(307, Location="/api/chat.postMessage"), Uncertain, "unreadable_answer"),
    ("html_404", http_response(404, GATEWAY_PAGE, "text/html"), Transient, "http_404"),
    ("proxy_login_407", http_response(407, "who are you", "text/plain"), Transient, "http_407"),
    ("too_large_413", http_response(413, GATEWAY_PAGE, "text/html"), Undeliverable, "http_413"),
    # The wire breaks.
    ("closed", close, Uncertain, "connection_lost"),
    ("reset", reset, Uncertain, "connection_lost"),
    ("hangs", hang, Uncertain, "read_timeout"),
    ("no_http", b"220 smtp.example.com ready\r\n\r\n", Uncertain, "unreadable_answer"),
    ("body_cut", http_response(200, '{"ok"', Content_Length="99", Connection="close"), Uncertain, "connection_lost"),
    (
        "chunk_broken",
        http_response(200, "zz\r\n", Content_Length="", Transfer_Encoding="chunked", Connection="close"),
        Uncertain,
        "unreadable_answer",
    ),
    # Slack's own words.
    ("too_fast", http_response(429, '{"ok":false,"error":"ratelimited"}', Retry_After="30"), Throttled, "ratelimited"),
    ("too_fast_in_words", slack_error("rate_limited"), Throttled, "rate_limited"),
    ("unlisted", slack_error("brand_new"), UnlistedCode, "brand_new"),
    ("blocked", slack_error("not_in_channel"), Blocked, "not_in_channel"),
]
CASES = [pytest.param(answer, kind, code, id=name) for name, answer, kind, code in WIRE_CASES]


async def refusal_of(gateway: SlackGateway) -> SlackError:
    with pytest.raises(SlackError) as caught:
        await gateway.post(TOKEN, "C0000000001", MESSAGE)
    return caught.value


@pytest.mark.parametrize(("answer", "kind", "code"), CASES)
async def test_each_failure_has_its_class_and_code(
    open_wire: Opener, gateway_to: Maker, answer: bytes | Behaviour, kind: type[SlackError], code: str
) -> None:
    wire = await open_wire(answer)
    ended = await refusal_of(gateway_to(wire.url, total_timeout_s=0.2 if answer is hang else 5))
    assert (type(ended), ended.code) == (kind, code)
    assert ended.reason


@pytest.mark.parametrize("answer", [close, reset, http_response(502)], ids=["closed", "reset", "http_502"])
async def test_a_failed_post_is_sent_once(open_wire: Opener, gateway_to: Maker, answer: bytes | Behaviour) -> None:
    wire = await open_wire(answer)
    await refusal_of(gateway_to(wire.url))
    assert len(wire.asked) == 1


async def test_a_post_on_a_kept_alive_connection_that_breaks_is_uncertain_and_not_repeated(
    open_wire: Opener, gateway_to: Maker
) -> None:
    wire = await open_wire(slack_answer(**POSTED), close, slack_answer(**POSTED))
    gateway = gateway_to(wire.url)
    await gateway.post(TOKEN, "C0000000001", MESSAGE)
    assert isinstance(await refusal_of(gateway), Uncertain)
    assert (len(wire.asked), wire.connections) == (2, 1)


@pytest.mark.parametrize("code", [row.code.replace("*", "new") for row in ERROR_CODES if "http" not in row.code])
async def test_every_listed_code_is_read_from_the_answer(open_wire: Opener, gateway_to: Maker, code: str) -> None:
    wire = await open_wire(slack_error(code))
    ended = await refusal_of(gateway_to(wire.url))
    assert ended.code == code
    assert not isinstance(ended, UnlistedCode)


@pytest.mark.parametrize(
    ("header", "waits"),
    [
        ("30", 30),
        ("1.5", 1.5),
        ("0", 1),
        ("-5", 1),
        ("86400", 3600),
        ("inf", 3600),
        ("nan", 30),
        ("", 30),
        ("soon", 30),
        ("1700000000", 3600),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 30),
    ],
)
@pytest.mark.parametrize("body", ['{"ok":false,"error":"ratelimited"}', "", "[]", '{"ok":f', "<html>"])
async def test_a_throttle_waits_as_long_as_the_header_says_within_limits(
    open_wire: Opener, gateway_to: Maker, header: str, waits: float, body: str
) -> None:
    wire = await open_wire(http_response(429, body, Retry_After=header))
    ended = await refusal_of(gateway_to(wire.url))
    assert isinstance(ended, Throttled)
    assert ended.retry_after_s == waits


@pytest.mark.parametrize(
    ("until", "waits"),
    [
        ("Wed, 21 Oct 2026 07:28:00 GMT", 120),
        ("Wed, 21 Oct 2026 07:25:00 GMT", 1),
        ("Thu, 22 Oct 2026 07:26:00 GMT", 3600),
        ("Wed, 21 Oct 2026 07:28:00 -0000", 30),
    ],
)
async def test_a_throttle_until_a_date_waits_from_the_date_of_the_answer(
    open_wire: Opener, gateway_to: Maker, until: str, waits: float
) -> None:
    wire = await open_wire(http_response(429, Retry_After=until, Date="Wed, 21 Oct 2026 07:26:00 GMT"))
    ended = await refusal_of(gateway_to(wire.url))
    assert isinstance(ended, Throttled)
    assert ended.retry_after_s == waits


def test_a_wait_of_more_than_an_hour_is_said_and_shortened() -> None:
    assert Throttled(3600).reason == "Slack asks to wait 3600 s"
    assert Throttled(86400).reason == "Slack asks to wait 86400 s, and is called again in an hour"


@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "application/json"])
async def test_a_throttle_is_read_in_every_content_type(
    open_wire: Opener, gateway_to: Maker, content_type: str
) -> None:
    wire = await open_wire(http_response(429, "slow down", content_type, retry_after="3"))
    ended = await refusal_of(gateway_to(wire.url))
    assert isinstance(ended, Throttled)
    assert ended.retry_after_s == 3


async def test_slacks_remark_on_a_message_is_read_from_the_answer_and_cut(open_wire: Opener, gateway_to: Maker) -> None:
    said = ["[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]", "x" * 900]
    wire = await open_wire(slack_error("invalid_blocks", response_metadata={"messages": said}))
    ended = await refusal_of(gateway_to(wire.url))
    assert isinstance(ended, Undeliverable)
    assert ended.detail.startswith("must be less than 3001 characters [json-pointer:/blocks/0/text/text]; xxx")
    assert len(ended.detail) == 500


@pytest.mark.parametrize("said", [None, [], {"messages": "no list"}, {"messages": []}])
async def test_a_rejected_message_without_a_remark_has_no_detail(
    open_wire: Opener, gateway_to: Maker, said: object
) -> None:
    wire = await open_wire(slack_error("invalid_blocks", response_metadata=said))
    ended = await refusal_of(gateway_to(wire.url))
    assert isinstance(ended, Undeliverable)
    assert ended.detail == ""


async def test_the_missing_scope_is_read_from_the_answer(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(slack_error("missing_scope", needed="chat:write", provided="channels:read"))
    ended = await refusal_of(gateway_to(wire.url))
    assert isinstance(ended, Blocked)
    assert "chat:write" in str(ended.hint)


async def test_the_missing_scope_is_else_read_from_the_headers(open_wire: Opener, gateway_to: Maker) -> None:
    headers = {"X_Accepted_OAuth_Scopes": "channels:read,groups:read", "X_OAuth_Scopes": "channels:read"}
    wire = await open_wire(http_response(200, '{"ok":false,"error":"missing_scope"}', **headers))
    ended = await refusal_of(gateway_to(wire.url))
    assert ended.reason == "The token of {integration} was not granted groups:read"


@pytest.mark.parametrize("person", ["U0000000001", "W0000000001"])
async def test_channel_not_found_for_a_user_id_is_about_direct_messages(
    open_wire: Opener, gateway_to: Maker, person: str
) -> None:
    wire = await open_wire(slack_error("channel_not_found"))
    with pytest.raises(Blocked, match="no direct messages"):
        await gateway_to(wire.url).post(TOKEN, person, MESSAGE)
    assert "private without the bot" in (await refusal_of(gateway_to(wire.url))).reason


async def test_a_refused_connection_is_transient(gateway_to: Maker) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        ended = await refusal_of(gateway_to(f"http://127.0.0.1:{taken.getsockname()[1]}/api/"))
    assert (type(ended), ended.code) == (Transient, "connect_failed")
    assert ended.reason == "Slack could not be reached at 127.0.0.1: Connection refused"


async def test_a_failed_tls_handshake_is_transient(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(close)
    ended = await refusal_of(gateway_to(wire.url.replace("http:", "https:"), connect_timeout_s=0.2))
    assert type(ended) is Transient
    assert not wire.asked


async def test_a_handshake_that_never_ends_is_a_connect_timeout(
    gateway_to: Maker,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/api/"
        ended = await refusal_of(gateway_to(url, connect_timeout_s=0.05))
    assert (type(ended), ended.code) == (Transient, "connect_timeout")


@pytest.mark.parametrize("url", ["slack.com/api/", "ftp://127.0.0.1/api/", "http:///api/"])
async def test_the_error_of_an_invalid_address_names_the_setting(gateway_to: Maker, url: str) -> None:
    ended = await refusal_of(gateway_to(url))
    assert (type(ended), ended.code) == (Transient, "connect_failed")
    assert "SLACK_API_URL" in ended.reason


async def test_a_proxy_that_does_not_connect_is_transient(
    open_wire: Opener, gateway_to: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await open_wire(http_response(407, Connection="close"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    ended = await refusal_of(gateway_to("https://slack.invalid/api/"))
    assert (type(ended), ended.code) == (Transient, "connect_failed")
    assert proxy.line == "CONNECT slack.invalid:443 HTTP/1.1"
    assert "407" in ended.reason


def connection_key() -> ConnectionKey:
    return ConnectionKey("slack.com", 443, True, True, None, None, None)


def test_the_reason_of_an_unknown_host_comes_from_the_system() -> None:
    cause = OSError(-2, "Name or service not known")
    ended = error_from_failure(aiohttp.ClientConnectorDNSError(connection_key(), cause))
    assert type(ended) is Transient
    assert ended.reason == "Slack could not be reached at slack.com: Name or service not known"


def test_the_reason_of_an_invalid_certificate_comes_from_the_system() -> None:
    cause = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] (_ssl.c:1006)")
    cause.verify_message = "self-signed certificate"
    ended = error_from_failure(aiohttp.ClientConnectorCertificateError(connection_key(), cause))
    assert type(ended) is Transient
    assert (ended.code, ended.reason.partition(":")[0]) == (
        "certificate_untrusted", "The certificate of slack.com is not trusted (self-signed certificate)"
    )  # fmt: skip
    assert "SSL_CERT_FILE" in ended.reason


async def test_slack_is_reached_through_a_proxy_without_a_scheme(
    open_wire: Opener, gateway_to: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await open_wire(slack_answer(**POSTED))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.removeprefix("http://").removesuffix("/api/"))
    await gateway_to("http://slack.invalid/api/").post(TOKEN, "C0000000001", MESSAGE)
    assert proxy.line == "POST http://slack.invalid/api/chat.postMessage HTTP/1.1"


async def test_the_error_of_a_proxy_that_cannot_be_reached_names_the_proxy(
    gateway_to: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{taken.getsockname()[1]}")
        ended = await refusal_of(gateway_to("https://slack.invalid/api/"))
    assert (type(ended), ended.code) == (Transient, "connect_failed")
    assert ended.reason == "The proxy 127.0.0.1 of HTTPS_PROXY could not be reached: Connection refused"


def test_an_error_without_text_is_named_by_its_type() -> None:
    assert "OSError" in error_from_failure(aiohttp.ClientConnectorError(connection_key(), OSError())).reason


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (aiohttp.SocketTimeoutError("reading"), "read_timeout"),
        (aiohttp.ServerTimeoutError("reading"), "read_timeout"),
        (TimeoutError(), "read_timeout"),
        (aiohttp.ServerDisconnectedError(), "connection_lost"),
        (aiohttp.ClientOSError(32, "Broken pipe"), "connection_lost"),
        (aiohttp.ClientConnectionResetError("closing transport"), "connection_lost"),
        (ConnectionResetError(), "connection_lost"),
        (aiohttp.ClientPayloadError("not completed"), "connection_lost"),
        (ValueError("what"), "unreadable_answer"),
    ],
)
def test_a_failure_after_the_request_may_be_sent_is_uncertain(failure: Exception, code: str) -> None:
    ended = error_from_failure(failure)
    assert (type(ended), ended.code) == (Uncertain, code)

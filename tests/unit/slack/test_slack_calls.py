"""Requests of the gateway byte for byte, the answers it reads, and its connections."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from slack_sdk.web.async_client import AsyncWebClient
from support.slack_http import MESSAGE, TOKEN, SlackServer, http_response, slack_answer

from worker.domain.errors import Blocked, Transient, Uncertain
from worker.domain.integration import REQUIRED_SCOPES, Conversation, ConversationPage, Identity, Person, Secret
from worker.domain.message import Message, Section
from worker.slack.client import find_proxy, open_client
from worker.slack.gateway import BASE_URL, SlackGateway

Opener = Callable[..., Awaitable[SlackServer]]
Maker = Callable[..., SlackGateway]
ClientMaker = Callable[[str], AsyncWebClient]

POSTED = slack_answer(ok=True, channel="C0000000001", ts="1700000000.000100")
WHO = {
    "ok": True,
    "team_id": "T01",
    "user_id": "U01",
    "team": "Acme",
    "user": "infrakitchen",
    "url": "https://a/",
}
CHANNEL = {"id": "C01", "name": "ops", "is_member": True, "is_archived": True, "is_private": False}


async def test_the_token_travels_in_the_header_and_nowhere_else(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(POSTED)
    await gateway_to(wire.url).post(TOKEN, "C0000000001", MESSAGE)
    asked = wire.asked[-1].decode()
    assert asked.count(TOKEN.reveal()) == 1
    assert f"Authorization: Bearer {TOKEN.reveal()}\r\n" in asked


async def test_a_post_is_one_json_object_without_previews(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(POSTED)
    await gateway_to(wire.url).post(TOKEN, "C0000000001", Message("hello", (Section("*hello*"),)))
    assert wire.line == "POST /api/chat.postMessage HTTP/1.1"
    assert wire.body == {
        "channel": "C0000000001",
        "text": "hello",
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "*hello*", "verbatim": True}}],
    }


@pytest.mark.parametrize("cursor", ["", "dGVhbTpDMDI="])
@pytest.mark.parametrize("private", [False, True])
async def test_a_page_lists_one_kind_of_channels_with_archived_ones(
    open_wire: Opener, gateway_to: Maker, private: bool, cursor: str
) -> None:
    wire = await open_wire(slack_answer(ok=True, channels=[]))
    await gateway_to(wire.url).list_conversations(TOKEN, private=private, cursor=cursor)
    verb, target, _ = wire.line.split()
    asked = parse_qs(urlsplit(target).query)
    assert (verb, urlsplit(target).path) == ("GET", "/api/conversations.list")
    assert asked == {
        "types": ["private_channel" if private else "public_channel"],
        "exclude_archived": ["0"],
        "limit": ["999"],
    } | ({"cursor": [cursor]} if cursor else {})


async def test_the_channels_of_the_bot_have_their_own_method(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(slack_answer(ok=True, channels=[{"id": "C01", "name": "ops"}]))
    page = await gateway_to(wire.url).list_conversations(TOKEN, private=True, joined=True)
    assert page == ConversationPage((Conversation("C01", "ops", is_member=True),))  # which the answer leaves out
    target = urlsplit(wire.line.split()[1])
    assert target.path == "/api/users.conversations"
    assert parse_qs(target.query) == {
        "types": ["private_channel"], "exclude_archived": ["1"], "limit": ["999"],
    }  # fmt: skip


@pytest.mark.parametrize("metadata", [{"next_cursor": ""}, {"next_cursor": None}, {}, None, []])
async def test_a_page_without_a_cursor_is_the_last(open_wire: Opener, gateway_to: Maker, metadata: object) -> None:
    wire = await open_wire(slack_answer(ok=True, channels=[CHANNEL], response_metadata=metadata))
    page = await gateway_to(wire.url).list_conversations(TOKEN, private=False)
    assert page == ConversationPage((Conversation("C01", "ops", is_member=True, is_archived=True),), "")


async def test_an_empty_page_with_a_cursor_is_not_the_last(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(slack_answer(ok=True, channels=[], response_metadata={"next_cursor": "abc="}))
    assert await gateway_to(wire.url).list_conversations(TOKEN, private=False) == ConversationPage((), "abc=")


@pytest.mark.parametrize("name", ["x-oauth-scopes", "X-OAuth-Scopes", "X-OAUTH-SCOPES"])
async def test_scopes_are_read_in_any_case_of_the_header(open_wire: Opener, gateway_to: Maker, name: str) -> None:
    wire = await open_wire(http_response(200, json.dumps(WHO), **{name: "chat:write, users:read,,groups:read"}))
    identity = await gateway_to(wire.url).identify(TOKEN)
    assert identity == Identity(
        "T01", "Acme", "https://a/", "U01", "infrakitchen", scopes=("chat:write", "users:read", "groups:read")
    )


async def test_without_the_header_no_scope_is_known(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(slack_answer(**WHO))
    assert (await gateway_to(wire.url).identify(TOKEN)).missing_scopes == REQUIRED_SCOPES


async def test_direct_messages_count_as_joined(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(slack_answer(ok=True, channel={"id": "D01", "is_im": True, "user": "U01"}))
    assert await gateway_to(wire.url).get_conversation(TOKEN, "D01") == Conversation("D01", "", is_member=True)


async def test_a_person_is_found_by_email(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(slack_answer(ok=True, user={"id": "U07", "is_bot": False, "deleted": True}))
    person = await gateway_to(wire.url).find_person_by_email(TOKEN, "ann+ops@example.com")
    assert person == Person("U07", deleted=True)
    assert "email=ann%2Bops@example.com" in wire.line


async def test_a_person_is_found_by_id(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(slack_answer(ok=True, user={"id": "U07", "is_bot": True}))
    assert await gateway_to(wire.url).get_person(TOKEN, "U07") == Person("U07", is_bot=True)
    assert wire.line == "GET /api/users.info?user=U07 HTTP/1.1"


@pytest.mark.parametrize(
    "answer",
    [{}, {"channels": None, "channel": None, "user": None}, {"channels": ["C01"], "channel": {}, "user": {}}],
)
async def test_an_answer_without_the_expected_object_is_unreadable(
    open_wire: Opener, gateway_to: Maker, answer: dict[str, object]
) -> None:
    gateway = gateway_to((await open_wire(slack_answer(ok=True, **answer))).url)
    for asked in (
        gateway.identify(TOKEN),
        gateway.list_conversations(TOKEN, private=False),
        gateway.get_conversation(TOKEN, "C01"),
        gateway.find_person_by_email(TOKEN, "ann@example.com"),
        gateway.get_person(TOKEN, "U07"),
    ):
        with pytest.raises(Uncertain) as caught:
            await asked
        assert caught.value.code == "unreadable_answer"


@pytest.mark.parametrize("text", ["", "xoxb-1\nX-Evil: 1", "xoxb 1", "xoxb-ü", "\x00"])
async def test_a_token_that_fits_in_no_header_is_invalid(open_wire: Opener, gateway_to: Maker, text: str) -> None:
    wire = await open_wire(POSTED)
    with pytest.raises(Blocked) as caught:
        await gateway_to(wire.url).post(Secret(text), "C0000000001", MESSAGE)
    assert caught.value.code == "invalid_auth"
    assert not wire.asked


# Connections.


async def test_one_connection_serves_many_calls_and_tokens(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(POSTED)
    gateway = gateway_to(wire.url)
    for number in range(10):
        await gateway.post(Secret(f"xoxb-{number}"), "C0000000001", MESSAGE)
    assert wire.connections == 1
    assert [f"Bearer xoxb-{number}\r\n".encode() in wire.asked[number] for number in range(10)] == [True] * 10


async def test_no_more_connections_are_opened_than_allowed(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(POSTED)
    gateway = gateway_to(wire.url, connections=3)
    await asyncio.gather(*(gateway.post(TOKEN, "C0000000001", MESSAGE) for _ in range(20)))
    assert wire.connections <= 3


async def test_no_cookie_is_sent_back(open_wire: Opener, gateway_to: Maker) -> None:
    posted = http_response(200, '{"ok":true,"channel":"C01","ts":"1.1"}', Set_Cookie="b=1; path=/")
    wire = await open_wire(posted)
    gateway = gateway_to(wire.url.replace("127.0.0.1", "localhost"))  # a jar takes none from a bare address
    for _ in range(2):
        await gateway.post(TOKEN, "C0000000001", MESSAGE)
    assert b"ookie" not in wire.asked[1]


async def test_a_closed_gateway_opens_again_when_called(open_wire: Opener, gateway_to: Maker) -> None:
    wire = await open_wire(POSTED)
    gateway = gateway_to(wire.url)
    await gateway.aclose()
    for _ in range(2):
        await gateway.post(TOKEN, "C0000000001", MESSAGE)
        await gateway.aclose()
    assert wire.connections == 2


async def test_a_cancelled_post_is_cancelled(open_wire: Opener, gateway_to: Maker) -> None:
    asked = asyncio.Event()

    async def hang(_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    wire = await open_wire(hang)
    post = asyncio.create_task(gateway_to(wire.url).post(TOKEN, "C0000000001", MESSAGE))
    await asked.wait()
    post.cancel()
    with pytest.raises(asyncio.CancelledError):
        await post


@pytest.fixture
async def client_to() -> AsyncIterator[Callable[[str], AsyncWebClient]]:
    """Return a function that opens clients, closed after the test."""
    async with contextlib.AsyncExitStack() as stack:

        def opened(url: str) -> AsyncWebClient:
            client = open_client(url, 1.0, 1.0, 1)
            assert client.session
            stack.push_async_callback(client.session.close)
            return client

        yield opened


def test_the_default_address_is_that_of_the_sdk() -> None:
    assert AsyncWebClient.BASE_URL == BASE_URL


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "slack.localhost", "[::1]"])
async def test_a_proxy_is_not_used_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, client_to: ClientMaker, host: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com:3128")
    assert client_to(f"http://{host}:8080/api/").proxy is None


async def test_an_invalid_address_is_not_this_machine(client_to: ClientMaker) -> None:
    assert client_to("http://[::1/api/").base_url == "http://[::1/api/"


async def test_a_proxy_of_the_environment_is_used_for_slack(
    monkeypatch: pytest.MonkeyPatch, client_to: ClientMaker
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    assert client_to(BASE_URL).proxy == "http://proxy.example.com:3128"


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({"HTTPS_PROXY": "proxy.example.com:3128"}, "http://proxy.example.com:3128"),
        ({"https_proxy": "me:secret@proxy.example.com"}, "http://me:secret@proxy.example.com"),
        ({"HTTPS_PROXY": "https://proxy.example.com"}, "https://proxy.example.com"),
        ({"HTTP_PROXY": "http://proxy.example.com"}, "http://proxy.example.com"),
        ({"HTTPS_PROXY": "http://one.example.com", "HTTP_PROXY": "http://two.example.com"}, "http://one.example.com"),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://proxy.example.com", "NO_PROXY": "example.com, slack.com"}, None),
        ({"HTTPS_PROXY": "http://proxy.example.com", "no_proxy": ".slack.com"}, None),
        ({"HTTPS_PROXY": "http://proxy.example.com", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy.example.com", "NO_PROXY": "notslack.com"}, "http://proxy.example.com"),
    ],
)
def test_the_environment_names_the_proxy_of_slack(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], proxy: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_proxy(BASE_URL) == proxy


async def test_a_proxy_that_does_not_speak_http_is_named(monkeypatch: pytest.MonkeyPatch, gateway_to: Maker) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:secret@proxy.example.com")
    with pytest.raises(Transient, match="HTTPS_PROXY names a socks5 proxy") as refused:
        await gateway_to(BASE_URL).identify(TOKEN)
    assert "secret" not in str(refused.value)

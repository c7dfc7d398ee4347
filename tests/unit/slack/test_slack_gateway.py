"""The gateway on the sandbox Slack."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from support.slack_http import MESSAGE

from worker.domain.delivery import Receipt
from worker.domain.errors import Blocked, Scope, SlackError, Throttled, Transient, Uncertain, Undeliverable
from worker.domain.integration import REQUIRED_SCOPES, Conversation, ConversationPage, Secret
from worker.pipeline.gateway import Gateway
from worker.sandbox.slack.server import SlackSandbox
from worker.sandbox.slack.workspace import Workspace
from worker.slack.gateway import PAGE_SIZE, SlackGateway


@pytest.fixture
def slack() -> SlackSandbox:
    return SlackSandbox(rate_per_channel=0, tiers=False)


@pytest.fixture
def acme(slack: SlackSandbox) -> Workspace:
    return slack.add_workspace("Acme")


@pytest.fixture
async def gateway(slack: SlackSandbox) -> AsyncIterator[SlackGateway]:
    async with slack.serving() as url, contextlib.aclosing(SlackGateway(url, total_timeout_s=0.5)) as app:
        yield app


def test_the_gateway_satisfies_the_protocol_of_the_pipeline() -> None:
    gateway: Gateway = SlackGateway()
    assert gateway


def test_an_error_without_a_call_has_the_same_hint() -> None:
    refused = SlackGateway().error_from_code("not_in_channel")
    assert isinstance(refused, Blocked)
    assert str(refused.hint) == "Type `/invite @{bot}` in {channel}."


async def test_a_post_returns_its_receipt_and_is_stored(
    slack: SlackSandbox, acme: Workspace, gateway: SlackGateway
) -> None:
    channel = acme.add_channel("ops", member=True)
    receipt = await gateway.post(Secret(acme.token), channel.id, MESSAGE)
    (message,) = slack.messages("ops")
    assert receipt == Receipt(channel.id, message["ts"])
    assert (message["text"], message["blocks"][0]["text"]["text"]) == ("hello", "*hello*")
    assert message["attachments"][0]["color"] == MESSAGE.colour


async def test_a_plain_post_has_no_blocks(slack: SlackSandbox, acme: Workspace, gateway: SlackGateway) -> None:
    channel = acme.add_channel("ops", member=True)
    await gateway.post(Secret(acme.token), channel.id, MESSAGE, plain=True)
    (message,) = slack.messages("ops")
    assert not message.get("blocks")
    assert not message.get("attachments")


async def test_a_bot_that_is_not_a_member_blocks_the_lane(acme: Workspace, gateway: SlackGateway) -> None:
    channel = acme.add_channel("ops", member=False)
    with pytest.raises(Blocked) as caught:
        await gateway.post(Secret(acme.token), channel.id, MESSAGE)
    assert (caught.value.code, caught.value.scope) == ("not_in_channel", Scope.LANE)


async def test_an_unknown_token_blocks_the_integration(acme: Workspace, gateway: SlackGateway) -> None:
    with pytest.raises(Blocked) as caught:
        await gateway.identify(Secret("xoxb-unknown"))
    assert (caught.value.code, caught.value.scope) == ("invalid_auth", Scope.INTEGRATION)


async def test_a_token_has_an_identity_and_scopes(acme: Workspace, gateway: SlackGateway) -> None:
    identity = await gateway.identify(Secret(acme.token))
    assert (identity.team_id, identity.team) == (acme.team_id, "Acme")
    assert identity.bot_name.lower() == "infrakitchen"
    assert set(identity.scopes) == set(REQUIRED_SCOPES)
    assert identity.missing_scopes == ()


async def test_public_and_private_channels_are_listed_separately(acme: Workspace, gateway: SlackGateway) -> None:
    public = acme.add_channel("ops", member=False)
    private = acme.add_channel("secret", private=True, member=True)
    token = Secret(acme.token)
    listed = [await gateway.list_conversations(token, private=private) for private in (False, True)]
    assert listed == [
        ConversationPage((Conversation(public.id, "ops"),)),
        ConversationPage((Conversation(private.id, "secret", is_member=True, is_private=True),)),
    ]


async def test_all_channels_are_listed_page_by_page(acme: Workspace, gateway: SlackGateway) -> None:
    names = {f"channel-{number}" for number in range(PAGE_SIZE * 2 + 1)}
    for name in names:
        acme.add_channel(name)
    found, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        page = await gateway.list_conversations(Secret(acme.token), private=False, cursor=cursor)
        found += [conversation.name for conversation in page.conversations]
        cursor, pages = page.cursor, pages + 1
    assert pages >= 3
    assert len(found) == len(names)
    assert set(found) == names


async def test_a_channel_is_found_by_its_id(acme: Workspace, gateway: SlackGateway) -> None:
    channel = acme.add_channel("ops", member=True)
    found = await gateway.get_conversation(Secret(acme.token), channel.id)
    assert found == Conversation(channel.id, "ops", is_member=True)


async def test_an_unknown_email_address_blocks_the_lane(acme: Workspace, gateway: SlackGateway) -> None:
    with pytest.raises(Blocked) as caught:
        await gateway.find_person_by_email(Secret(acme.token), "unknown@example.com")
    assert (caught.value.code, caught.value.scope) == ("users_not_found", Scope.LANE)


FAULTS: dict[str, type[SlackError]] = {
    "http_500": Uncertain,
    "http_502_html": Uncertain,
    "http_503_text": Uncertain,
    "bad_json": Uncertain,
    "truncated_json": Uncertain,
    "empty_body": Uncertain,
    "json_list": Uncertain,
    "reset_before": Uncertain,
    "reset_after": Uncertain,
    "close_before": Uncertain,
    "close_after": Uncertain,
    "hang": Uncertain,
    "slow": Uncertain,
    "ratelimited": Throttled,
    "rate_limited": Throttled,
    "service_unavailable": Transient,
    "msg_too_long": Undeliverable,
    "token_revoked": Blocked,
}


@pytest.mark.parametrize(("fault", "kind"), FAULTS.items())
async def test_an_error_is_uncertain_exactly_when_the_message_may_be_stored(
    slack: SlackSandbox, acme: Workspace, gateway: SlackGateway, fault: str, kind: type[SlackError]
) -> None:
    channel = acme.add_channel("ops", member=True)
    slack.fault(fault)
    with pytest.raises(kind):
        await gateway.post(Secret(acme.token), channel.id, MESSAGE)
    assert len(slack.messages("ops")) <= (kind is Uncertain)
    assert slack.calls["chat.postMessage"] == 1


@pytest.mark.parametrize("fault", ["reset_after", "http_502_html", "ratelimited"])
async def test_the_call_after_a_failure_works(
    slack: SlackSandbox, acme: Workspace, gateway: SlackGateway, fault: str
) -> None:
    channel = acme.add_channel("ops", member=True)
    slack.fault(fault)
    with pytest.raises(SlackError):
        await gateway.post(Secret(acme.token), channel.id, MESSAGE)
    assert await gateway.post(Secret(acme.token), channel.id, MESSAGE)

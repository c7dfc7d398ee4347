"""The fake gateway answers like the real one on the sandbox."""

import contextlib
from collections.abc import AsyncIterator, Awaitable

import pytest
from support.fake_slack import FakeSlack

from worker.domain.errors import Blocked, SlackError
from worker.domain.event import Entity, Event, Kind, Severity
from worker.domain.integration import Person, Secret
from worker.domain.message_plan import Line, MessageContent
from worker.pipeline.gateway import Gateway
from worker.rendering.single import render
from worker.sandbox.slack.server import SlackSandbox
from worker.slack.gateway import SlackGateway

EVENT = Event("1", "/ik", "x", Kind.OTHER, "1-0", Entity("x", "1"), Severity.INFO, "hello")
MESSAGE = render(MessageContent((Line(EVENT, "d"),)))


@pytest.fixture(params=["fake", "real"])
async def slack(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Gateway, Secret]]:
    """Return each gateway with an equal workspace."""
    if request.param == "fake":
        fake = FakeSlack()
        fake.add_channel("C0000001", "ops")
        fake.add_channel("C0000002", "foreign", is_member=False)
        fake.add_channel("C0000003", "old")
        fake.change("C0000003", is_archived=True)
        fake.people |= {
            "ada@example.com": Person("U0000001"),
            "bot@example.com": Person("U0000002", is_bot=True),
        }
        yield fake, Secret("xoxb-1")
        return
    sandbox = SlackSandbox(rate_per_channel=0)
    workspace = sandbox.add_workspace("Acme")
    for name, more in (("ops", {}), ("foreign", {"member": False}), ("old", {"archived": True})):
        workspace.add_channel(name, **more)
    workspace.add_user("ada@example.com")
    workspace.add_user("bot@example.com", is_bot=True)
    async with sandbox.serving() as url, contextlib.aclosing(SlackGateway(url)) as gateway:
        yield gateway, Secret(workspace.token)


async def code_of(what: Awaitable[object]) -> str:
    with pytest.raises(SlackError) as caught:
        await what
    assert isinstance(caught.value, Blocked)
    return caught.value.code


async def ids(gateway: Gateway, token: Secret) -> dict[str, str]:
    page = await gateway.list_conversations(token, private=False)
    found = list(page.conversations)
    while page.cursor:
        page = await gateway.list_conversations(token, private=False, cursor=page.cursor)
        found += page.conversations
    return {one.name: one.id for one in found}


async def test_channels_are_listed_with_membership_and_archive_state(slack: tuple[Gateway, Secret]) -> None:
    gateway, token = slack
    found = [await gateway.get_conversation(token, id_) for id_ in (await ids(gateway, token)).values()]
    assert {one.name: (one.is_member, one.is_archived) for one in found} == {
        "ops": (True, False),
        "foreign": (False, False),
        "old": (True, True),
    }
    assert not (await gateway.list_conversations(token, private=True)).conversations
    joined = await gateway.list_conversations(token, private=False, joined=True)
    assert [(one.name, one.is_member, one.is_archived) for one in joined.conversations] == [("ops", True, False)]


async def test_a_post_is_accepted_only_in_joined_and_active_channels(slack: tuple[Gateway, Secret]) -> None:
    gateway, token = slack
    found = await ids(gateway, token)
    receipt = await gateway.post(token, found["ops"], MESSAGE)
    assert receipt.channel == found["ops"]
    assert receipt.ts
    assert await code_of(gateway.post(token, found["foreign"], MESSAGE)) == "not_in_channel"
    assert await code_of(gateway.post(token, found["old"], MESSAGE)) == "is_archived"
    assert await code_of(gateway.post(token, "C9999999", MESSAGE)) == "channel_not_found"


@pytest.mark.parametrize("email", ["ada@example.com", "bot@example.com"])
async def test_a_person_is_the_same_by_email_and_by_id(slack: tuple[Gateway, Secret], email: str) -> None:
    gateway, token = slack
    found = await gateway.find_person_by_email(token, email)
    assert found.is_bot is email.startswith("bot")
    assert await gateway.get_person(token, found.id) == found


async def test_an_unknown_person_or_token_is_rejected(slack: tuple[Gateway, Secret]) -> None:
    gateway, token = slack
    assert await code_of(gateway.find_person_by_email(token, "a@b.co")) == "users_not_found"
    assert await code_of(gateway.get_person(token, "U9999999")) == "user_not_found"
    assert await code_of(gateway.identify(Secret("xoxb-none"))) == "invalid_auth"
    assert (await gateway.identify(token)).missing_scopes == ()
    assert gateway.error_from_code("is_archived").code == "is_archived"

"""The pipeline with the real gateway against the sandbox Slack."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from support.events import alert
from support.pipeline import Pipeline
from support.pipeline import open_pipeline as build

from worker.domain.errors import Uncertain
from worker.domain.integration import Secret
from worker.sandbox.slack.server import SlackSandbox
from worker.sandbox.slack.workspace import Workspace
from worker.slack.gateway import SlackGateway
from worker.store.schedule import ProbeKind, ProbeTarget

Slack = tuple[Pipeline, SlackSandbox, Workspace]


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    """Return a pipeline and a sandbox with the same clock."""
    sandbox = SlackSandbox()
    workspace = sandbox.add_workspace("Acme")
    workspace.add_channel("ops")
    async with sandbox.serving() as url, contextlib.aclosing(SlackGateway(url)) as gateway, build(gateway) as house:
        sandbox._monotonic = house.hand.monotonic
        await house.connect("acme", workspace.token)
        await house.subscribe()
        yield house, sandbox, workspace


def texts(sandbox: SlackSandbox, channel: str = "ops") -> list[str]:
    return [one["text"] for one in sandbox.messages(channel)]


async def test_an_event_is_posted(slack: Slack) -> None:
    house, sandbox, _ = slack
    assert (await house.deliver(alert("disk full"))).posts == 1
    assert texts(sandbox) == ["🔴 disk full"]


async def test_a_storm_keeps_the_rate_limits(slack: Slack) -> None:
    house, sandbox, _ = slack
    for n in range(5):
        await house.publish(*(alert(f"n{n}-{m}") for m in range(20)))
        await house.ingest()
        await house.drain()
    assert len(texts(sandbox)) == 5
    assert sandbox.violations.total() == 0
    balance = await house.balance()
    assert (balance.delivered, balance.merged) == (5, 95)


async def test_an_uninvited_bot_is_invited(slack: Slack) -> None:
    house, sandbox, workspace = slack
    workspace.kick("ops")
    await house.deliver(alert())
    note = await house.note()
    assert (note.parked, str(note.hint)) == ("not_in_channel", "Type `/invite @infrakitchen` in #ops.")
    workspace.invite("ops")
    house.pass_time(61)
    assert await house.app.prober.probe(ProbeTarget(ProbeKind.LANE, "acme/#ops")) == ("acme/#ops",)
    await house.drain()
    assert len(texts(sandbox)) == 1


async def test_a_private_channel_and_a_person_are_reached(slack: Slack) -> None:
    house, sandbox, workspace = slack
    workspace.add_channel("secret", private=True)
    workspace.add_user("a@b.co")
    for destination in ("#secret", "a@b.co"):
        await house.subscribe(destination)
    await house.deliver(alert())
    for lane in ("acme/#secret", "acme/a@b.co"):
        assert (await house.drain(lane)).posts == 1
    assert len(texts(sandbox, "secret")) == len(texts(sandbox, "a@b.co")) == 1


@pytest.mark.parametrize(
    ("fault", "outcome", "repeated", "posts"),
    [
        ("reset_after", "unknown", True, 2),
        ("truncated_json", "unknown", True, 2),
        ("http_502_html", "unknown", True, 1),
        ("internal_error", "unknown", True, 1),
        ("service_unavailable", "transient", False, 1),
        ("ratelimited", "throttled", False, 1),
        ("invalid_blocks", "refused", False, 1),
    ],
)
async def test_a_transient_error_is_retried(slack: Slack, fault: str, outcome: str, repeated: bool, posts: int) -> None:
    house, sandbox, _ = slack
    sandbox.fault(fault)
    await house.deliver(alert())
    house.pass_time(3)
    await house.drain()
    assert (await house.attempts())[0][0] == outcome
    assert (await house.attempts())[-1] == ("delivered", "")
    [delivery] = await house.deliveries()
    assert delivery.repeated is repeated
    assert len(texts(sandbox)) == posts


async def test_an_integration_resumes_with_the_same_token_after_a_reinstall(slack: Slack) -> None:
    house, sandbox, workspace = slack
    await house.deliver(alert("before"))
    workspace.revoke(workspace.token)
    house.pass_time(2)
    await house.deliver(alert("during"))
    assert (await house.balance()).parked == 1
    workspace.reinstate(workspace.token)
    house.pass_time(61)
    await house.app.prober.probe(ProbeTarget(ProbeKind.INTEGRATION, "acme"))
    await house.drain()
    assert len(texts(sandbox)) == 2


async def test_a_thousand_channels_are_listed_in_pages(slack: Slack) -> None:
    house, sandbox, workspace = slack
    for n in range(1500):
        workspace.add_channel(f"c{n}")
    await house.subscribe("#c1499")
    await house.publish(alert())
    await house.ingest()
    assert (await house.drain("acme/#c1499")).posts == 1
    assert sandbox.calls["conversations.list"] == 3


@pytest.mark.parametrize(
    "fault",
    ["http_500", "http_502_html", "slow", "hang", "reset_before", "close_after", "bad_json", "truncated_json",
     "json_list", "internal_error", "ratelimited", "invalid_cursor"],
)  # fmt: skip
async def test_a_refresh_that_fails_keeps_the_old_channels_until_it_ends(
    fault: str,
) -> None:
    sandbox = SlackSandbox()
    workspace = sandbox.add_workspace("Acme")
    workspace.add_channel("gone")
    workspace.page_limit = 2
    async with (
        sandbox.serving() as url,
        contextlib.aclosing(SlackGateway(url, total_timeout_s=0.3)) as gateway,
        build(gateway) as house,
    ):
        sandbox._monotonic = house.hand.monotonic
        acme, token = await house.connect("acme", workspace.token), Secret(workspace.token)

        async def names() -> list[str]:
            return [one.name for one in await house.app.directory.list_channels("acme")]

        await house.app.directory_refresher.refresh(acme, token)
        sandbox.calls.clear()
        workspace.delete("gone")
        for number in range(5):
            workspace.add_channel(f"c{number}")
        sandbox.fault("slow", method="conversations.list", delay_s=0)
        sandbox.fault(fault, method="conversations.list", delay_s=1, retry_after=30)
        try:
            await house.app.directory_refresher.refresh(acme, token)
        except Uncertain:
            assert await names() == ["gone"]
            await house.app.directory_refresher.refresh(acme, token)
        assert await names() == ["c0", "c1", "c2", "c3", "c4"]
        again = 2 if fault == "invalid_cursor" else 1  # the list begins anew: one page more
        assert sandbox.calls["conversations.list"] == 3 + 1 + again

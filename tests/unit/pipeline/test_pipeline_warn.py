"""What parks is told in the operations channel: once, never about itself, whatever crashes."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from fake_slack import identity
from pipeline_house import House, alert
from pipeline_house import house as build
from redis.exceptions import ConnectionError as Disconnected

from worker.domain.integration import Secret
from worker.pipeline.connect import rotate_token

OPERATIONS = "acme/#operations"


@pytest.fixture
async def watched() -> AsyncIterator[House]:
    """An integration whose warnings go to #operations."""
    async with build(operations_channel="#Operations") as house:
        house.slack.add_channel("C0000009", "operations")
        await house.connect()
        await house.subscribe()
        yield house


async def warned(house: House, lane: str = OPERATIONS) -> list[str]:
    """What the operations channel is told, once the sweep has looked."""
    before = len(house.slack.posts)
    await house.made.sweep.warn()
    house.pass_time(2)
    await house.drain(lane)
    return [one.text for one in house.slack.posts[before:]]


async def park(house: House, code: str = "") -> None:
    if code:
        house.slack.ends("chat.postMessage", code)
    else:
        house.slack.change("C0000001", is_member=False)
    await house.tell(alert())
    assert (await house.note())["parked"] == (code or "not_in_channel")


async def revoke(house: House, token: str = "xoxb-1") -> None:
    house.slack.faults[token] = "token_revoked"
    await house.tell(alert())
    assert await house.made.integrations.parked_code("acme") == "token_revoked"


async def test_a_lane_that_parks_is_told_once_with_its_step(watched: House) -> None:
    await park(watched)
    (told,) = await warned(watched)
    assert told == (
        "🟡 Nothing reaches #ops: @infrakitchen is not a member of #ops: "
        "Type `/invite @infrakitchen` in #ops. What waits is told then."
    )
    assert watched.slack.posts[-1].channel == "C0000009"
    assert await warned(watched) == []
    balance = await watched.balance()
    assert (balance.accepted, balance.created, balance.delivered, balance.parked) == (2, 2, 1, 1)


async def test_the_lane_of_a_warning_is_woken_as_any_other(watched: House) -> None:
    await park(watched)
    watched.awake.clear()
    await watched.made.sweep.tick()
    assert watched.awake == [OPERATIONS]


async def test_without_an_operations_channel_nobody_is_told(house: House) -> None:
    await park(house)
    await house.made.sweep.warn()
    assert (await house.balance()).accepted == 1
    assert await house.redis.exists("ik:warnings") == 0


async def test_a_lane_that_fails_each_try_is_told_of_once(watched: House) -> None:
    await park(watched, "restricted_action")
    assert len(await warned(watched)) == 1
    for _ in range(3):
        watched.slack.ends("chat.postMessage", "restricted_action")
        await watched.made.lanes.resume("acme/#ops", certain=False)
        await watched.drain()
        assert (await watched.note())["parked"] == "restricted_action"
        assert await warned(watched) == []


async def test_where_something_was_told_meanwhile_the_next_time_is_told_too(watched: House) -> None:
    await park(watched)
    assert len(await warned(watched)) == 1
    watched.slack.change("C0000001", is_member=True)
    await watched.made.lanes.resume("acme/#ops", certain=True)
    assert (await watched.drain()).told == 1
    await park(watched)
    assert len(await warned(watched)) == 1


async def test_the_operations_channel_itself_is_no_news(watched: House) -> None:
    watched.slack.change("C0000009", is_member=False)
    await park(watched)
    await watched.made.sweep.warn()
    await watched.drain(OPERATIONS)
    assert (await watched.note(OPERATIONS))["parked"] == "not_in_channel"
    await watched.made.sweep.warn()
    assert (await watched.balance()).accepted == 2  # the alert, and the warning about #ops


async def test_what_goes_on_before_anybody_looked_is_no_news(watched: House) -> None:
    await park(watched)
    watched.slack.change("C0000001", is_member=True)
    await watched.made.lanes.resume("acme/#ops", certain=True)
    assert await warned(watched) == []


async def test_what_a_person_switched_off_or_removed_is_no_news(watched: House) -> None:
    await revoke(watched)
    await watched.made.integrations.resume("acme")
    await watched.made.integrations.disable("acme", "switch it on")
    assert await warned(watched) == []
    await watched.made.integrations.resume("acme", enable=True)
    await revoke(watched)
    await watched.made.integrations.remove("acme")
    await watched.made.sweep.warn()
    assert (await watched.balance()).accepted == 2


async def test_a_warning_that_cannot_be_read_stops_no_other(
    watched: House, caplog: pytest.LogCaptureFixture
) -> None:
    await watched.redis.zadd("ik:warnings", {"event:[": 1})
    await park(watched)
    (told,) = await warned(watched)
    assert told.startswith("🟡 Nothing reaches #ops")
    assert [line.levelname for line in caplog.records if line.exc_info] == ["ERROR"]
    assert await watched.made.upkeep.warnings(most=9) == []


async def test_a_lane_whose_integration_was_removed_is_no_news(watched: House) -> None:
    await park(watched)
    await watched.made.integrations.remove("acme")
    await watched.made.sweep.warn()
    assert (await watched.balance()).accepted == 1


async def test_a_revoked_token_is_told_in_the_other_workspaces(watched: House) -> None:
    watched.slack.identities["xoxb-3"] = identity("T0000003")
    await watched.connect("beta", "xoxb-3")
    await watched.connect("gamma", "xoxb-3")  # the same workspace: it is told once
    await revoke(watched)
    told = await warned(watched, "beta/#operations") + await warned(watched, "gamma/#operations")
    (only,) = told
    assert only.startswith("🟠 Nothing reaches Acme: The token of acme was revoked: In the Slack app")
    assert "`ik-slack integrations rotate acme`" in only
    assert (await watched.balance()).unaccounted == 0


async def test_with_one_workspace_it_is_told_there_once_that_works_again(watched: House) -> None:
    await revoke(watched)
    assert await warned(watched) == []
    acme = await watched.made.integrations.find("acme")
    await rotate_token(watched.made.integrations, watched.made.gateway, acme, Secret("xoxb-2"), force=False)
    await watched.drain()
    (told,) = await warned(watched)
    assert told == (
        "🔵 acme works again: From the time below on, nothing was told here: "
        "The token of acme was revoked. What waited is told now."
    )
    await revoke(watched, "xoxb-2")
    assert await watched.redis.zcard("ik:warnings") == 1, "it was told of, and told again: this is news"


async def test_an_integration_that_fails_each_try_is_told_of_once(watched: House) -> None:
    await revoke(watched)
    await watched.made.sweep.warn()
    for _ in range(3):
        await watched.made.integrations.resume("acme")
        await watched.drain()
        assert await watched.made.integrations.parked_code("acme") == "token_revoked"
        await watched.made.sweep.warn()
    assert (await watched.balance()).accepted == 2  # the alert, and one warning


async def test_each_integration_may_have_a_channel_of_its_own() -> None:
    async with build(operations_channel="acme=#operations, beta=ann@example.com") as house:
        house.slack.add_channel("C0000009", "operations")
        await house.connect()
        await house.connect("other")
        await house.subscribe()
        await house.subscribe("#gone", integration="other")
        await house.publish(alert())
        await house.ingest()
        house.slack.change("C0000001", is_member=False)
        await house.drain()
        await house.drain("other/#gone")
        assert len(await warned(house)) == 1
        assert (await house.balance()).accepted == 2


async def test_names_of_events_never_get_into_a_warning_as_markup(watched: House) -> None:
    await watched.subscribe("#<!channel>&")
    await watched.publish(alert())
    await watched.ingest()
    await watched.drain("acme/#<!channel>&")
    (told,) = await warned(watched)
    assert "<!channel>" not in told
    assert "&lt;!channel&gt;&amp;" in told


async def warn_until_crash(house: House, at: int, *, reply_lost: bool) -> None:
    """A lane parks, and the sweep that is to warn of it dies at this step."""
    await park(house)
    house.luck.fail(at, reply_lost=reply_lost)
    with contextlib.suppress(Disconnected):
        await house.made.sweep.warn()
    house.luck.heal()


@pytest.mark.parametrize("reply_lost", [False, True])
@pytest.mark.parametrize("at", range(1, 11))
async def test_a_crash_at_any_step_loses_and_doubles_nothing(
    watched: House, at: int, *, reply_lost: bool
) -> None:
    await warn_until_crash(watched, at, reply_lost=reply_lost)
    assert len(await warned(watched)) == 1
    assert await warned(watched) == []
    assert (await watched.balance()).accepted == 2


@pytest.mark.parametrize("reply_lost", [False, True])
@pytest.mark.parametrize("at", range(1, 11))
async def test_what_was_begun_before_a_crash_is_counted_although_its_lane_goes_on(
    watched: House, at: int, *, reply_lost: bool
) -> None:
    await warn_until_crash(watched, at, reply_lost=reply_lost)
    watched.slack.change("C0000001", is_member=True)
    await watched.made.lanes.resume("acme/#ops", certain=True)
    assert (await watched.drain()).told == 1
    told = await warned(watched)
    balance = await watched.balance()
    assert balance.accepted == balance.created == balance.delivered == 1 + len(told)
    assert await watched.redis.exists("ik:warnings") == 0


@pytest.fixture
async def narrow() -> AsyncIterator[House]:
    """As `watched`, and ten may wait in a lane."""
    async with build(operations_channel="#operations", lane_max_length=10) as house:
        house.slack.add_channel("C0000009", "operations")
        await house.connect()
        await house.subscribe()
        yield house


async def fill(house: House, count: int = 8) -> None:
    await house.publish(*(alert(f"f{n}") for n in range(count)))
    await house.ingest()
    await house.made.sweep.warn_of_limits()


async def test_a_lane_that_is_nearly_full_is_told_of_once(
    narrow: House, caplog: pytest.LogCaptureFixture
) -> None:
    narrow.slack.ends("chat.postMessage", "internal_error")
    await narrow.tell(alert("first"))
    await fill(narrow)
    await fill(narrow, 9)
    [line] = [line for line in caplog.records if line.message == "lane is near a limit"]
    assert (line.levelname, vars(line)["lane"]) == ("WARNING", "acme/#ops")
    assert vars(line)["detail"] == "9 of at most 10 deliveries wait"
    (told,) = await warned(narrow)
    assert told == (
        "🟡 #ops falls behind: 9 of at most 10 deliveries wait: When it is full, its oldest become dead "
        "letters (overflow). Slack had an error of its own."
    )
    assert await warned(narrow) == []


async def test_of_a_parked_lane_the_step_is_told_too(narrow: House) -> None:
    await park(narrow)
    assert len(await warned(narrow)) == 1
    await fill(narrow)
    (told,) = await warned(narrow)
    assert told.endswith(
        "(overflow). @infrakitchen is not a member of #ops. Type `/invite @infrakitchen` in #ops."
    )


async def test_a_lane_that_was_told_meanwhile_is_no_news(narrow: House) -> None:
    await fill(narrow)
    assert (await narrow.drain()).told == 8
    await narrow.made.sweep.warn_of_limits()
    assert await warned(narrow) == []


async def test_the_operations_channel_itself_being_full_is_said_in_the_log_only(narrow: House) -> None:
    await narrow.subscribe("#operations")
    await fill(narrow)
    waiting = await narrow.made.upkeep.warnings(most=9)
    assert sorted(waiting) == ["length:acme/#operations", "length:acme/#ops"]
    await narrow.made.sweep.warn()
    balance = await narrow.balance()
    assert (balance.accepted, balance.created) == (9, 17)  # the one about #ops


async def test_what_waits_for_its_integration_is_told_of_where_that_works(narrow: House) -> None:
    await revoke(narrow)
    await fill(narrow)
    await narrow.made.sweep.warn()
    created = (await narrow.balance()).created
    assert created == 1 + 8 + 2  # both warnings wait with the rest: there is no other workspace

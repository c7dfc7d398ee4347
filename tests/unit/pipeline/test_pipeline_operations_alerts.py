"""Operations alerts: each parked lane or integration and each backlog is reported once, whatever crashes."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from support.events import alert
from support.fake_slack import identity
from support.pipeline import Pipeline
from support.pipeline import open_pipeline as build

from worker.domain.hints import Hint
from worker.domain.integration import Secret
from worker.pipeline.integration_setup import rotate_token
from worker.store.redis_errors import StoreUnavailable
from worker.store.schedule import PendingWarning, WarningKind

pytestmark = pytest.mark.slow

OPERATIONS = "acme/#operations"


@pytest.fixture
async def watched() -> AsyncIterator[Pipeline]:
    """Return a pipeline whose operations alerts go to #operations."""
    async with build(operations_channel="#Operations") as house:
        house.slack.add_channel("C0000009", "operations")
        await house.connect()
        await house.subscribe()
        yield house


async def sweep_and_read_alerts(house: Pipeline, lane: str = OPERATIONS) -> list[str]:
    """Sweep, and return the texts posted to the operations channel."""
    before = len(house.slack.posts)
    await house.app.sweeper.alerts.send_pending()
    house.pass_time(2)
    await house.drain(lane)
    return [one.text for one in house.slack.posts[before:]]


async def park(house: Pipeline, code: str = "") -> None:
    if code:
        house.slack.ends("chat.postMessage", code)
    else:
        house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())
    assert (await house.note()).parked == (code or "not_in_channel")


async def revoke(house: Pipeline, token: str = "xoxb-1") -> None:
    house.slack.faults[token] = "token_revoked"
    await house.deliver(alert())
    assert await house.app.integrations.get_parked_code("acme") == "token_revoked"


async def test_a_parked_lane_is_reported_once_with_its_hint(watched: Pipeline) -> None:
    await park(watched)
    (alert_texts,) = await sweep_and_read_alerts(watched)
    assert alert_texts == (
        "🟡 No message reaches #ops: @infrakitchen is not a member of #ops: "
        "Type `/invite @infrakitchen` in #ops. The pending deliveries are then sent."
    )
    assert watched.slack.posts[-1].channel == "C0000009"
    assert await sweep_and_read_alerts(watched) == []
    balance = await watched.balance()
    assert (balance.accepted, balance.created, balance.delivered, balance.parked) == (2, 2, 1, 1)


async def test_the_lane_of_an_alert_is_woken(watched: Pipeline) -> None:
    await park(watched)
    watched.awake.clear()
    await watched.app.sweeper.sweep()
    assert watched.awake == [OPERATIONS]


async def test_nothing_is_reported_without_an_operations_channel(house: Pipeline) -> None:
    await park(house)
    await house.app.sweeper.alerts.send_pending()
    assert (await house.balance()).accepted == 1
    assert await house.redis.exists("ik:warnings") == 0


async def test_a_lane_that_parks_again_at_each_try_is_reported_once(watched: Pipeline) -> None:
    await park(watched, "restricted_action")
    assert len(await sweep_and_read_alerts(watched)) == 1
    for _ in range(3):
        watched.slack.ends("chat.postMessage", "restricted_action")
        await watched.app.lanes.resume("acme/#ops", permanently=False)
        await watched.drain()
        assert (await watched.note()).parked == "restricted_action"
        assert await sweep_and_read_alerts(watched) == []


async def test_a_lane_that_delivered_in_between_is_reported_again(watched: Pipeline) -> None:
    await park(watched)
    assert len(await sweep_and_read_alerts(watched)) == 1
    watched.slack.change("C0000001", is_member=True)
    await watched.app.lanes.resume("acme/#ops", permanently=True)
    assert (await watched.drain()).finished == 1
    await park(watched)
    assert len(await sweep_and_read_alerts(watched)) == 1


async def test_a_parked_operations_channel_is_not_reported_in_itself(watched: Pipeline) -> None:
    watched.slack.change("C0000009", is_member=False)
    await park(watched)
    await watched.app.sweeper.alerts.send_pending()
    await watched.drain(OPERATIONS)
    assert (await watched.note(OPERATIONS)).parked == "not_in_channel"
    await watched.app.sweeper.alerts.send_pending()
    assert (await watched.balance()).accepted == 2  # the alert, and the warning about #ops


async def test_a_lane_that_resumed_before_the_sweep_is_not_reported(watched: Pipeline) -> None:
    await park(watched)
    watched.slack.change("C0000001", is_member=True)
    await watched.app.lanes.resume("acme/#ops", permanently=True)
    assert await sweep_and_read_alerts(watched) == []


async def test_a_disabled_or_removed_integration_is_not_reported(watched: Pipeline) -> None:
    await revoke(watched)
    await watched.app.integrations.resume("acme")
    await watched.app.integrations.disable("acme", Hint.of("switch it on"))
    assert await sweep_and_read_alerts(watched) == []
    await watched.app.integrations.resume("acme", enable=True)
    await revoke(watched)
    await watched.app.integrations.remove("acme")
    await watched.app.sweeper.alerts.send_pending()
    assert (await watched.balance()).accepted == 2


@pytest.mark.parametrize("stored", ["unknown:acme", f"{WarningKind.BEGUN}:not an alert"])
async def test_an_unreadable_warning_does_not_stop_the_others(
    watched: Pipeline, caplog: pytest.LogCaptureFixture, stored: str
) -> None:
    await watched.redis.zadd("ik:warnings", {stored: 1})
    await park(watched)
    (alert_texts,) = await sweep_and_read_alerts(watched)
    assert alert_texts.startswith("🟡 No message reaches #ops")
    assert [line.levelname for line in caplog.records if line.exc_info] == ["ERROR"]
    assert await watched.app.warnings.list_pending(limit=9) == []


async def test_a_lane_of_a_removed_integration_is_not_reported(watched: Pipeline) -> None:
    await park(watched)
    await watched.app.integrations.remove("acme")
    await watched.app.sweeper.alerts.send_pending()
    assert (await watched.balance()).accepted == 1


async def test_a_revoked_token_is_reported_in_the_other_workspaces(watched: Pipeline) -> None:
    watched.slack.identities["xoxb-3"] = identity("T0000003")
    await watched.connect("beta", "xoxb-3")
    await watched.connect("gamma", "xoxb-3")  # the same workspace gets one alert
    await revoke(watched)
    alert_texts = await sweep_and_read_alerts(watched, "beta/#operations") + await sweep_and_read_alerts(
        watched, "gamma/#operations"
    )
    (only,) = alert_texts
    assert only.startswith("🟠 No message reaches Acme: The token of acme was revoked: In the Slack app")
    assert "`ik-slack integrations rotate acme`" in only
    assert (await watched.balance()).unaccounted == 0


async def test_in_the_only_workspace_a_revoked_token_is_reported_after_it_works_again(watched: Pipeline) -> None:
    await revoke(watched)
    assert await sweep_and_read_alerts(watched) == []
    acme = await watched.app.integrations.find("acme")
    await rotate_token(watched.app.integrations, watched.app.gateway, acme, Secret("xoxb-2"), force=False)
    await watched.drain()
    (alert_texts,) = await sweep_and_read_alerts(watched)
    assert alert_texts == (
        "🔵 acme works again: From the time below on, nothing was sent here: "
        "The token of acme was revoked. The pending deliveries are sent now."
    )
    await revoke(watched, "xoxb-2")
    assert await watched.redis.zcard("ik:warnings") == 1, (
        "it was reported and has delivered since: it is reported again"
    )


async def test_an_integration_that_parks_again_at_each_try_is_reported_once(watched: Pipeline) -> None:
    await revoke(watched)
    await watched.app.sweeper.alerts.send_pending()
    for _ in range(3):
        await watched.app.integrations.resume("acme")
        await watched.drain()
        assert await watched.app.integrations.get_parked_code("acme") == "token_revoked"
        await watched.app.sweeper.alerts.send_pending()
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
        assert len(await sweep_and_read_alerts(house)) == 1
        assert (await house.balance()).accepted == 2


async def test_an_alert_contains_no_markup_of_an_event(watched: Pipeline) -> None:
    await watched.subscribe("#<!channel>&")
    await watched.publish(alert())
    await watched.ingest()
    await watched.drain("acme/#<!channel>&")
    (alert_texts,) = await sweep_and_read_alerts(watched)
    assert "<!channel>" not in alert_texts
    assert "&lt;!channel&gt;&amp;" in alert_texts


async def warn_until_crash(house: Pipeline, at: int, *, reply_lost: bool) -> None:
    """Park a lane and crash the sweep that reports it at this step."""
    await park(house)
    house.luck.fail(at, reply_lost=reply_lost)
    with contextlib.suppress(StoreUnavailable):
        await house.app.sweeper.alerts.send_pending()
    house.luck.heal()


@pytest.mark.parametrize("reply_lost", [False, True])
@pytest.mark.parametrize("at", range(1, 9))
async def test_an_alert_is_sent_exactly_once_after_a_crash_at_any_step(
    watched: Pipeline, at: int, *, reply_lost: bool
) -> None:
    await warn_until_crash(watched, at, reply_lost=reply_lost)
    assert len(await sweep_and_read_alerts(watched)) == 1
    assert await sweep_and_read_alerts(watched) == []
    assert (await watched.balance()).accepted == 2


@pytest.mark.parametrize("reply_lost", [False, True])
@pytest.mark.parametrize("at", range(1, 9))
async def test_an_alert_interrupted_by_a_crash_is_accounted_for_although_its_lane_resumed(
    watched: Pipeline, at: int, *, reply_lost: bool
) -> None:
    await warn_until_crash(watched, at, reply_lost=reply_lost)
    watched.slack.change("C0000001", is_member=True)
    await watched.app.lanes.resume("acme/#ops", permanently=True)
    assert (await watched.drain()).finished == 1
    alerts = await sweep_and_read_alerts(watched)
    balance = await watched.balance()
    assert balance.created == balance.delivered == 1 + len(alerts)
    assert balance.unaccounted == 0
    assert await watched.redis.exists("ik:warnings") == 0


@pytest.fixture
async def narrow() -> AsyncIterator[Pipeline]:
    """Return the `watched` pipeline with at most ten deliveries in a lane."""
    async with build(operations_channel="#operations", lane_max_length=10) as house:
        house.slack.add_channel("C0000009", "operations")
        await house.connect()
        await house.subscribe()
        yield house


async def fill(house: Pipeline, count: int = 8) -> None:
    await house.publish(*(alert(f"f{n}") for n in range(count)))
    await house.ingest()
    await house.app.sweeper.report_backlogs()


async def test_a_nearly_full_lane_is_reported_once(narrow: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    narrow.slack.ends("chat.postMessage", "internal_error")
    await narrow.deliver(alert("first"))
    await fill(narrow)
    await fill(narrow, 9)
    [line] = [line for line in caplog.records if line.message == "lane near limit"]
    assert (line.levelname, vars(line)["lane"]) == ("WARNING", "acme/#ops")
    assert vars(line)["detail"] == "9 of at most 10 deliveries wait"
    (alert_texts,) = await sweep_and_read_alerts(narrow)
    assert alert_texts == (
        "🟡 #ops falls behind: 9 of at most 10 deliveries wait: When the lane is full, its oldest "
        "deliveries become dead letters (overflow). Slack had an internal error."
    )
    assert await sweep_and_read_alerts(narrow) == []


async def test_a_backlog_alert_of_a_parked_lane_has_its_hint(narrow: Pipeline) -> None:
    await park(narrow)
    assert len(await sweep_and_read_alerts(narrow)) == 1
    await fill(narrow)
    (alert_texts,) = await sweep_and_read_alerts(narrow)
    assert alert_texts.endswith(
        "(overflow). @infrakitchen is not a member of #ops. Type `/invite @infrakitchen` in #ops."
    )


async def test_a_lane_that_was_drained_before_the_sweep_is_not_reported(narrow: Pipeline) -> None:
    await fill(narrow)
    assert (await narrow.drain()).finished == 8
    await narrow.app.sweeper.report_backlogs()
    assert await sweep_and_read_alerts(narrow) == []


async def test_a_full_operations_channel_is_only_logged(narrow: Pipeline) -> None:
    await narrow.subscribe("#operations")
    await fill(narrow)
    waiting = await narrow.app.warnings.list_pending(limit=9)
    assert set(waiting) == {
        PendingWarning(WarningKind.NEAR_LENGTH, OPERATIONS),
        PendingWarning(WarningKind.NEAR_LENGTH, "acme/#ops"),
    }
    await narrow.app.sweeper.alerts.send_pending()
    balance = await narrow.balance()
    assert (balance.accepted, balance.created) == (9, 17)  # the one about #ops


async def test_a_backlog_of_a_parked_integration_is_reported_where_posts_work(narrow: Pipeline) -> None:
    await revoke(narrow)
    await fill(narrow)
    await narrow.app.sweeper.alerts.send_pending()
    created = (await narrow.balance()).created
    assert created == 1 + 8 + 2  # both warnings wait with the rest: there is no other workspace


async def switch_template_off(house: Pipeline) -> None:
    await house.subscribe(template="{{ [[[[title] * 4000] * 4000] * 4000] * 4000 }}")
    await house.deliver(alert())


async def test_a_template_that_is_switched_off_is_reported_once(watched: Pipeline) -> None:
    await switch_template_off(watched)
    (text,) = await sweep_and_read_alerts(watched)
    assert "The template of subscription sub-#ops is switched off: It takes too much time or memory." in text
    assert "`ik-slack subscriptions apply FILE`" in text
    await watched.deliver(alert("another"))
    assert await sweep_and_read_alerts(watched) == []

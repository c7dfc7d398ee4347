"""Drains whose calls end without a receipt: the class of the error decides."""

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.events import alert
from support.fake_slack import identity
from support.pipeline import OTHER_KEY, Pipeline
from support.pipeline import open_pipeline as build

import worker.rendering.message_builder as render_module
from worker.domain.errors import Blocked, Scope, Throttled
from worker.domain.hints import Hint
from worker.domain.integration import Secret
from worker.pipeline.delivery.outcome_handler import snooze_s
from worker.store.schedule import ProbeKind, ProbeTarget

SLACK_SAYS = "chat.postMessage"
EXPLAINED = (Path(__file__).parents[3] / "docs" / "observability.md").read_text()
DOCUMENTED = {
    key for row in re.findall(r"^\| (`[a-z_, `]+`) \|", EXPLAINED, re.MULTILINE) for key in re.findall(r"\w+", row)
}


async def drain_until_idle(house: Pipeline, rounds: int = 40) -> int:
    """Drain the lane until it is no longer due, and return the number of drains."""
    for count in range(rounds):
        due_in_s = await house.due_in_s()
        if due_in_s is None:
            return count
        house.pass_time(max(due_in_s, 0) + 0.001)
        await house.drain()
    raise AssertionError("the lane never comes to rest")


async def test_a_throttled_call_closes_the_channel_for_every_worker_and_is_no_attempt(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, Throttled(30))
    done = await house.deliver(alert())
    assert (done.posts, done.retry_s, done.reason) == (0, 30, "Slack asks to wait 30 s")
    [delivery] = await house.deliveries()
    assert delivery.attempts == 0
    assert await house.attempts() == [("throttled", "ratelimited")]
    slot = await house.app.rate_limiter.book_post_slot("T0000001", "C0000001", max_wait_s=1)
    assert (slot.booked, slot.wait_s) == (False, pytest.approx(30, abs=0.1))
    assert (await house.app.rate_limiter.book_post_slot("T0000001", "C0000002", max_wait_s=1)).booked
    await drain_until_idle(house)
    assert (await house.balance()).delivered == 1


async def test_a_wait_of_a_day_ends_the_drain_at_once_and_is_asked_again_after_an_hour(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, Throttled(86_400))
    done = await house.deliver(alert())
    assert (done.posts, done.retry_s) == (0, 3600)
    assert done.reason == "Slack asks to wait 86400 s, and is called again in an hour"
    assert (await house.app.lanes.get_status("acme/#ops")).snoozed == done.reason


async def test_throttled_calls_in_two_channels_close_the_workspace(house: Pipeline) -> None:
    house.slack.add_channel("C0000002", "dev")
    await house.subscribe("#dev")
    house.slack.ends(SLACK_SAYS, Throttled(30), Throttled(30))
    await house.deliver(alert())
    await house.drain("acme/#dev")
    assert not (await house.app.rate_limiter.book_post_slot("T0000001", "C0000003", max_wait_s=1)).booked


async def test_a_channel_closed_between_slot_and_post_gets_no_post(house: Pipeline) -> None:
    await house.deliver(alert("first"))

    async def closing_sleep(_: float) -> None:
        await house.app.rate_limiter.close_channel("T0000001", "C0000001", 30)

    await house.publish(alert("second"))
    await house.ingest()
    done = await house.drain(sleep=closing_sleep)
    assert (done.posts, done.reason) == (0, "Slack asked to wait")
    assert len(house.slack.posts) == 1


async def test_a_transient_error_is_retried_within_the_budget_and_every_attempt_recorded(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, "service_unavailable", "service_unavailable")
    done = await house.deliver(alert())
    assert (done.posts, done.finished, done.retry_s) == (1, 1, 0.0)
    assert await house.attempts() == [("transient", "service_unavailable")] * 2 + [("delivered", "")]
    [delivery] = await house.deliveries()
    assert (delivery.attempts, delivery.repeated) == (3, False)
    waits = [call.wait_s for call in await house.app.deliveries.list_attempts(delivery)]
    assert sum(waits) == pytest.approx(sum(house.hand.slept), abs=0.01)


async def test_deliveries_created_between_retries_join_the_message_the_most_urgent_first(
    house: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    """After an outage the first message begins with the most urgent event, although it came last."""
    house.slack.ends(SLACK_SAYS, "service_unavailable", "service_unavailable")

    async def meanwhile(seconds: float) -> None:
        if seconds > 0 and house.slack.calls[SLACK_SAYS] == 2:
            await house.publish(alert("worse", severity="critical"))
            await house.ingest()
        await house.hand.sleep(seconds)

    await house.publish(*(alert(f"a{n}", severity="info") for n in range(3)))
    await house.ingest()
    done = await house.drain(sleep=meanwhile)
    assert (done.posts, done.reason) == (0, "Slack is not available at the moment")
    assert 1 <= done.retry_s <= 2
    assert await house.attempts() == [("transient", "service_unavailable")] * 2
    assert len(attempts(caplog)) == 2
    await drain_until_idle(house)
    [digest] = house.slack.posts
    assert digest.text.startswith("4 updates: 🔴 ")


async def test_an_unlisted_code_after_a_transient_error_ends_the_retries_of_the_session(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, "service_unavailable", "brand_new_code")
    done = await house.deliver(alert())
    assert done.retry_s > 0
    assert house.slack.calls[SLACK_SAYS] == 2
    await drain_until_idle(house)
    assert (await house.balance()).delivered == 1


async def test_a_snoozed_lane_that_is_woken_still_reports_its_wait(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, *["service_unavailable"] * 100)
    waits_s = (await house.deliver(alert())).retry_s
    house.pass_time(0.5)
    again = await house.drain()
    assert again.reason == "Slack is not available at the moment"
    assert 0 < again.retry_s <= waits_s - 0.5


async def test_transient_errors_in_a_row_snooze_longer_each_time(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, *["service_unavailable"] * 10_000)
    done = await house.deliver(alert())
    assert done.reason == "Slack is not available at the moment"
    waits = [done.retry_s]
    while waits[-1] < 150:
        house.pass_time(waits[-1] + 0.01)
        waits.append((await house.drain()).retry_s)
    assert all(base / 2 <= wait_s <= base for base, wait_s in zip((2, 4, 8, 16, 32, 64), waits, strict=False))
    assert (await house.note()).snoozed == "Slack is not available at the moment"
    assert (await house.balance()).pending == 1
    house.slack.endings.clear()
    await drain_until_idle(house)
    assert (await house.balance()).delivered == 1


def test_a_snooze_grows_to_five_minutes_and_jitter_halves_it_at_most() -> None:
    assert [snooze_s(failures, 0.0) for failures in (0, 1, 2, 7, 8, 99)] == [2, 4, 8, 256, 300, 300]
    assert snooze_s(0, 1.0) == 1


async def test_an_uncertain_post_is_repeated_marked_and_counted(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, "internal_error")
    done = await house.deliver(alert())
    assert done.retry_s > 0
    assert house.slack.calls[SLACK_SAYS] == 1  # not tried again at once
    await drain_until_idle(house)
    assert await house.attempts() == [("unknown", "internal_error"), ("delivered", "")]
    [delivery] = await house.deliveries()
    assert delivery.repeated
    assert (await house.balance()).repeated == 1
    assert "may repeat" in str(house.slack.posts[0].message.blocks)


async def test_only_deliveries_that_may_repeat_are_marked_in_a_digest(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, "fatal_error")
    await house.deliver(alert("a"))
    await house.publish(alert("b"))
    await house.ingest()
    await drain_until_idle(house)
    assert [one.repeated for one in await house.deliveries()] == [True, False]
    assert "may repeat" in str(house.slack.posts[0].message.blocks)
    await house.deliver(alert("c"))
    await drain_until_idle(house)
    assert "may repeat" not in str(house.slack.posts[1].message)


async def test_a_blocked_lane_is_parked_with_its_fix(house: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    house.slack.change("C0000001", is_member=False)
    done = await house.deliver(alert())
    assert (done.posts, done.wake, done.retry_s) == (0, False, 0.0)
    assert done.reason == "@infrakitchen is not a member of #ops"
    note = await house.note()
    assert (note.parked, note.reason) == ("not_in_channel", done.reason)
    assert str(note.hint) == "Type `/invite @infrakitchen` in #ops."
    assert await house.due_in_s() is None
    assert (await house.balance()).parked == 1
    [delivery] = await house.deliveries()
    assert delivery.state == "parked"
    assert (await house.drain()).reason == "parked"
    assert [line.levelname for line in caplog.records if line.message == "no attempt"] == ["WARNING"]


async def test_a_blocked_post_parks_the_lane(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, "restricted_action")
    await house.deliver(alert())
    assert (await house.note()).parked == "restricted_action"
    assert await house.attempts() == [("blocked", "restricted_action")]


async def test_a_token_error_parks_all_lanes_and_is_logged_once(
    house: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    house.slack.add_channel("C0000002", "dev")
    await house.subscribe("#dev")
    await house.publish(alert())
    await house.ingest()
    house.slack.faults["xoxb-1"] = "token_revoked"
    house.slack.ends(SLACK_SAYS, "token_revoked", "token_revoked")
    await house.app.directory.save_channels("acme", *house.slack.channels.values())
    first, second = await house.drain(), await house.drain("acme/#dev")
    assert first.reason == "The token of acme was revoked"
    assert second.reason == "parked"
    assert first.retry_s == second.retry_s == 0.0
    [found] = await house.app.integrations.list_all()
    assert (found.state, found.reason) == ("parked", first.reason)
    assert "ik-slack integrations rotate acme" in str(found.hint)
    said = [line for line in caplog.records if line.message == "integration parked"]
    assert len(said) == 1
    assert (await house.balance()).parked == 2
    assert house.slack.calls[SLACK_SAYS] == 1


async def test_two_posts_with_the_same_token_error_log_it_once(
    house: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    await house.publish(alert())
    await house.ingest()

    async def parked_by_another() -> None:
        await house.app.integrations.park("acme", "token_revoked", "reason", Hint.of("hint"), probe_s=60)

    post = house.slack.post

    async def posting(*given: Any, **named: Any) -> Any:
        await parked_by_another()
        return await post(*given, **named)

    house.slack.post = posting  # type: ignore[method-assign]
    house.slack.ends(SLACK_SAYS, "token_revoked")
    await house.drain()
    assert [line for line in caplog.records if line.message == "integration parked"] == []
    assert await house.attempts() == [("blocked", "token_revoked")]


async def test_rejected_blocks_are_posted_once_as_plain_text_in_another_slot(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, "invalid_blocks")
    done = await house.deliver(alert())
    assert done.posts == 1
    assert [one.plain for one in house.slack.posts] == [True]
    assert house.hand.slept == [1.02]
    assert await house.attempts() == [("refused", "invalid_blocks"), ("delivered", "")]


async def test_plain_text_without_a_slot_in_time_waits_for_it(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, "invalid_blocks", "invalid_blocks")
    await house.publish(alert())
    await house.ingest()
    done = await house.drain(budget_s=0.5)
    assert (done.posts, done.reason) == (0, "waiting for a rate-limit slot")
    await drain_until_idle(house)
    assert await house.attempts() == [("refused", "invalid_blocks")] * 2 + [("delivered", "")]


async def test_the_rejected_delivery_becomes_a_dead_letter_and_the_others_are_posted(
    house: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    post = house.slack.post

    async def posting(token: Any, channel: str, message: Any, **named: Any) -> Any:
        if "poison" in message.text:
            house.slack.ends(SLACK_SAYS, "msg_too_long")
        return await post(token, channel, message, **named)

    house.slack.post = posting  # type: ignore[method-assign]
    await house.publish(alert("a"), alert("poison"), alert("b"))
    await house.ingest()
    drains = 1
    done = await house.drain()
    drains += await drain_until_idle(house)
    assert done.posts >= 1
    balance = await house.balance()
    assert (balance.delivered, balance.dead, balance.pending) == (2, 1, 0)
    [letter] = await house.dead()
    assert (letter.reason, letter.detail) == ("msg_too_long", "The message is too long")
    assert ["a:" in one.text or one.text.endswith(" a") for one in house.slack.posts] == [True, False]
    # together twice (blocks, plain), then each alone: a, poison twice, b
    assert house.slack.calls[SLACK_SAYS] == 6
    assert drains == 1
    await house.deliver(alert("c"), alert("d"))
    await drain_until_idle(house)
    assert "2 updates" in house.slack.posts[-1].text  # together again


async def test_isolated_deliveries_continue_after_a_restart(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, "invalid_blocks", "invalid_blocks")
    await house.publish(alert("a"), alert("b"))
    await house.ingest()
    await house.drain(budget_s=1.5)
    assert house.slack.posts == []
    await drain_until_idle(house)
    assert len(house.slack.posts) == 2


async def test_an_unlisted_code_is_retried_a_few_times_then_a_dead_letter(
    house: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    house.slack.ends(SLACK_SAYS, *["brand_new_code"] * 1000)
    await house.publish(alert())
    await house.ingest()
    assert await drain_until_idle(house) == house.slack.calls[SLACK_SAYS] == 5
    [letter] = await house.dead()
    assert letter.reason == "brand_new_code"
    assert await house.attempts() == [("transient", "brand_new_code")] * 4 + [("refused", "brand_new_code")]
    assert (await house.balance()).dead == 1
    assert any("unlisted error code" in line.message for line in caplog.records)


async def test_an_unexpected_error_neither_spins_nor_stops_the_lane_for_good(
    house: Pipeline, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = render_module.render

    def rendering(folding: Any, **more: Any) -> Any:
        if "poison" in folding.lines[0].event.title:
            raise RuntimeError("a fault")
        return render(folding, **more)

    monkeypatch.setattr(render_module, "render", rendering)
    done = await house.deliver(alert("poison"))
    assert (done.posts, done.reason) == (0, "unexpected error (RuntimeError), see the worker's log")
    assert 1 <= done.retry_s <= 2
    await house.publish(alert("fine"))
    await house.ingest()
    drains = await drain_until_idle(house)
    assert drains < 12
    balance = await house.balance()
    assert (balance.delivered + balance.merged, balance.dead) in ((2, 0), (1, 1))
    assert any("RuntimeError" in (line.exc_text or "") for line in caplog.records)
    assert not any("unlisted error code" in line.message for line in caplog.records)
    await house.deliver(alert("poison again"))
    await drain_until_idle(house)
    assert (await house.dead())[0].reason == "fault"


async def test_an_unexpected_error_before_the_take_only_snoozes(house: Pipeline) -> None:
    house.slack.ends("conversations.list", RuntimeError("a fault"))
    done = await house.deliver(alert())
    assert done.retry_s > 0
    await drain_until_idle(house)
    assert await house.attempts() == [("delivered", "")]


@pytest.mark.parametrize("code", ["no_permission", "enterprise_is_restricted", "token_revoked"])
async def test_an_integrations_error_that_auth_test_does_not_confirm_parks_the_lane_alone(
    house: Pipeline, code: str
) -> None:
    house.slack.ends(SLACK_SAYS, code)
    await house.deliver(alert())
    [found] = await house.app.integrations.list_all()
    assert found.state == "active"
    assert (await house.app.lanes.get_status("acme/#ops")).parked == code
    assert await house.redis.zscore("ik:probes", "lane:acme/#ops") > 0


async def test_a_missing_scope_that_was_granted_for_posts_parks_the_lane_alone(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, "missing_scope")
    await house.deliver(alert())
    assert (await house.app.lanes.get_status("acme/#ops")).parked == "missing_scope"


async def test_while_auth_test_does_not_answer_nothing_is_parked(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, "token_revoked")
    house.slack.ends("auth.test", Throttled(5))
    await house.deliver(alert())
    status = await house.app.lanes.get_status("acme/#ops")
    assert (status.parked, bool(status.snoozed)) == ("", True)
    assert (await house.balance()).pending == 1
    await drain_until_idle(house)
    assert (await house.balance()).delivered == 1


async def test_a_removed_integration_parks_its_lanes(house: Pipeline) -> None:
    await house.app.integrations.remove("acme")
    await house.publish(alert())
    await house.ingest()
    await house.drain()
    note = await house.note()
    assert (note.parked, note.reason) == ("integration_gone", "the integration acme was removed")
    assert "ik-slack integrations add acme" in str(note.hint)


async def test_a_wrong_key_parks_the_integration(house: Pipeline) -> None:
    await house.publish(alert())
    await house.ingest()
    server = house.redis.connection_pool.connection_kwargs["server"]
    async with build(house.slack, house.hand, server=server, encryption_key=OTHER_KEY) as other:
        done = await other.drain()
        assert done.reason == "the token cannot be decrypted with this ENCRYPTION_KEY"
        [found] = await other.app.integrations.list_all()
        assert (found.state, "Put that key back" in str(found.hint)) == ("parked", True)
        assert house.slack.calls[SLACK_SAYS] == 0
        house.pass_time(61)
        assert await other.app.prober.probe(ProbeTarget(ProbeKind.INTEGRATION, "acme")) == ()
        assert (await other.drain()).reason == "parked"
    await house.app.prober.probe(ProbeTarget(ProbeKind.INTEGRATION, "acme"))
    assert (await house.drain()).posts == 1


async def test_a_hint_names_the_integration_the_bot_and_the_channel(house: Pipeline) -> None:
    error = Blocked("x", "{integration}: @{bot} {channel}", Hint.of("in {channel} of {integration}"), Scope.LANE)
    house.slack.ends(SLACK_SAYS, error)
    await house.deliver(alert())
    note = await house.note()
    assert (note.reason, str(note.hint)) == ("acme: @infrakitchen #ops", "in #ops of acme")


def attempts(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the log lines of the attempts, oldest first."""
    return [vars(line) for line in caplog.records if line.message == "attempt"]


async def test_the_log_line_of_an_attempt_has_all_fields_and_no_secret(
    house: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await house.deliver(alert())
    [about] = attempts(caplog)
    assert (about["lane"], about["channel"], about["outcome"]) == ("acme/#ops", "C0000001", "delivered")
    assert (about["method"], about["deliveries"]) == (SLACK_SAYS, 1)
    assert "xoxb" not in str([vars(line) for line in caplog.records])


@pytest.mark.parametrize(
    "endings",
    [
        [],
        ["service_unavailable", "service_unavailable"],
        ["service_unavailable"] * 50,
        ["internal_error"],
        [Throttled(3.0)],
        ["invalid_blocks"],
        ["invalid_blocks", "msg_too_long"],
        ["token_revoked"],
        ["is_archived"],
        ["brand_new_code"],
    ],
    ids=lambda given: str(given)[:50],
)
async def test_every_call_to_slack_has_one_log_line_whatever_its_outcome(
    house: Pipeline, caplog: pytest.LogCaptureFixture, endings: list[Any]
) -> None:
    caplog.set_level(logging.INFO)
    house.slack.ends(SLACK_SAYS, *endings)
    await house.deliver(alert())
    said = [(about["method"], str(about["outcome"]), about.get("code", "")) for about in attempts(caplog)]
    known = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"} | DOCUMENTED
    assert [about.keys() - known for about in attempts(caplog) if about.keys() - known] == []
    counted = (await house.app.metrics.get_totals()).labelled("call")
    assert len(said) == house.slack.calls[SLACK_SAYS] == sum(counted.values())
    assert Counter(said) == {
        (method, outcome, "" if code == "ok" else code): count for (method, outcome, code), count in counted.items()
    }


@pytest.mark.parametrize("reply_lost", [False, True])
async def test_a_receipt_is_kept_while_redis_is_away(house: Pipeline, reply_lost: bool) -> None:
    post = house.slack.post

    async def posting(*given: Any, **named: Any) -> Any:
        receipt = await post(*given, **named)
        house.luck.fail(1, 5, reply_lost=reply_lost)
        return receipt

    house.slack.post = posting  # type: ignore[method-assign]
    done = await house.deliver(alert())
    if not reply_lost:
        assert (done.posts, house.hand.slept) == (1, [0.5] * 4)
    house.luck.heal()
    house.pass_time(31)
    await house.drain()
    assert len(house.slack.posts) == 1
    [delivery] = await house.deliveries()
    assert (delivery.state, delivery.repeated) == ("delivered", False)


async def test_redis_away_for_long_costs_a_marked_repeat(house: Pipeline) -> None:
    post = house.slack.post

    async def posting(*given: Any, **named: Any) -> Any:
        receipt = await post(*given, **named)
        house.luck.fail(1, 1000)
        return receipt

    house.slack.post = posting  # type: ignore[method-assign]
    done = await house.deliver(alert())
    assert (done.reason, done.retry_s) == ("Redis does not answer", 2.0)
    house.slack.post = post  # type: ignore[method-assign]
    house.luck.heal()
    await drain_until_idle(house)
    assert len(house.slack.posts) == 2
    [delivery] = await house.deliveries()
    assert (delivery.state, delivery.repeated) == ("delivered", True)


@pytest.mark.parametrize("at", range(1, 8))
@pytest.mark.parametrize("reply_lost", [False, True])
async def test_redis_failing_at_any_step_of_a_drain_loses_nothing(house: Pipeline, at: int, reply_lost: bool) -> None:
    await house.publish(alert("a"), alert("b"))
    await house.ingest()
    house.luck.fail(at, reply_lost=reply_lost)
    await house.drain()
    house.luck.heal()
    await drain_until_idle(house)
    balance = await house.balance()
    assert (balance.delivered + balance.merged, balance.pending) == (2, 0)
    assert len(house.slack.posts) == 1 or balance.repeated


async def test_an_unlisted_code_after_an_outage_has_all_its_retries(house: Pipeline) -> None:
    house.slack.ends(SLACK_SAYS, *["internal_error"] * 6, "brand_new_code")
    await house.deliver(alert())
    for _ in range(6):
        house.pass_time(301)
        await house.drain()
    assert await house.dead() == []
    house.pass_time(301)
    assert (await house.drain()).posts == 1


async def test_an_old_token_revoked_after_a_rotation_parks_nothing(house: Pipeline) -> None:
    house.slack.identities["xoxb-2"] = identity()
    await house.publish(alert())
    await house.ingest()
    assert house.integration is not None
    integration, post = house.integration, house.slack.post

    async def rotated(*given: Any, **named: Any) -> Any:
        house.slack.post = post  # type: ignore[method-assign]
        await house.app.integrations.save(integration, Secret("xoxb-2"))
        house.slack.faults["xoxb-1"] = "token_revoked"
        return await post(*given, **named)

    house.slack.post = rotated  # type: ignore[method-assign]  # while a post with the old token is under way
    assert (await house.drain()).wake
    [found] = await house.app.integrations.list_all()
    assert found.state == "active"
    assert (await house.drain()).posts == 1
    assert [one.token for one in house.slack.posts] == ["xoxb-2"]

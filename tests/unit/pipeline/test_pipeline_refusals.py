"""What a drain does with every way a call can end without a receipt: the class is the decision."""

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fake_slack import identity
from pipeline_house import OTHER_KEY, House, alert
from pipeline_house import house as build

import worker.pipeline.render as render_module
from worker.domain.errors import Blocked, Scope, Throttled
from worker.domain.integration import Secret
from worker.pipeline.record import snooze_s

SLACK_SAYS = "chat.postMessage"
EXPLAINED = (Path(__file__).parents[3] / "docs" / "observability.md").read_text()
DOCUMENTED = {
    key
    for row in re.findall(r"^\| (`[a-z_, `]+`) \|", EXPLAINED, re.MULTILINE)
    for key in re.findall(r"\w+", row)
}


async def settle_down(house: House, rounds: int = 40) -> int:
    """Drains whenever the lane is due, until it is not: how many drains it took."""
    for count in range(rounds):
        due_in_s = await house.due_in_s()
        if due_in_s is None:
            return count
        house.pass_time(max(due_in_s, 0) + 0.001)
        await house.drain()
    raise AssertionError("the lane never comes to rest")


async def test_throttled_closes_the_channel_for_everyone_and_is_no_attempt(house: House) -> None:
    house.slack.ends(SLACK_SAYS, Throttled(30))
    done = await house.tell(alert())
    assert (done.posts, done.retry_s, done.reason) == (0, 30, "Slack asks to wait 30 s")
    [delivery] = await house.deliveries()
    assert delivery.attempts == 0
    assert await house.attempts() == [("throttled", "ratelimited")]
    slot = await house.made.allowances.slot_to_post("T0000001", "C0000001", longest_s=1)
    assert (slot.booked, slot.wait_s) == (False, pytest.approx(30, abs=0.1))
    assert (await house.made.allowances.slot_to_post("T0000001", "C0000002", longest_s=1)).booked
    await settle_down(house)
    assert (await house.balance()).delivered == 1


async def test_throttled_in_two_channels_closes_the_workspace(house: House) -> None:
    house.slack.add_channel("C0000002", "dev")
    await house.subscribe("#dev")
    house.slack.ends(SLACK_SAYS, Throttled(30), Throttled(30))
    await house.tell(alert())
    await house.drain("acme/#dev")
    assert not (await house.made.allowances.slot_to_post("T0000001", "C0000003", longest_s=1)).booked


async def test_a_channel_closed_while_another_lane_waits_for_its_slot_is_not_posted_to(house: House) -> None:
    await house.tell(alert("first"))

    async def closing_sleep(_: float) -> None:
        await house.made.allowances.close("T0000001", "C0000001", 30)

    await house.publish(alert("second"))
    await house.ingest()
    done = await house.drain(sleep=closing_sleep)
    assert (done.posts, done.reason) == (0, "Slack asked to wait")
    assert len(house.slack.posts) == 1


async def test_transient_is_tried_again_within_the_budget_each_try_recorded(house: House) -> None:
    house.slack.ends(SLACK_SAYS, "service_unavailable", "service_unavailable")
    done = await house.tell(alert())
    assert (done.posts, done.told, done.retry_s) == (1, 1, 0.0)
    assert await house.attempts() == [("transient", "service_unavailable")] * 2 + [("delivered", "")]
    [delivery] = await house.deliveries()
    assert (delivery.attempts, delivery.repeated) == (3, False)
    waits = [call.wait_s for call in await house.made.deliveries.attempts(delivery)]
    assert sum(waits) == pytest.approx(sum(house.hand.slept), abs=0.01)


async def test_what_comes_while_a_post_is_tried_again_is_told_with_it_the_worst_first(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """After an outage the first message tells what is urgent, though it came last."""
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
    await settle_down(house)
    [told] = house.slack.posts
    assert told.text.startswith("4 updates: 🔴 ")


async def test_an_unlisted_code_after_a_transient_failure_ends_the_tries_of_this_hold(house: House) -> None:
    house.slack.ends(SLACK_SAYS, "service_unavailable", "brand_new_code")
    done = await house.tell(alert())
    assert done.retry_s > 0
    assert house.slack.calls[SLACK_SAYS] == 2
    await settle_down(house)
    assert (await house.balance()).delivered == 1


async def test_a_lane_woken_while_it_waits_out_a_failure_is_still_seen_to_wait(house: House) -> None:
    house.slack.ends(SLACK_SAYS, *["service_unavailable"] * 100)
    waits_s = (await house.tell(alert())).retry_s
    house.pass_time(0.5)
    again = await house.drain()
    assert again.reason == "Slack is not available at the moment"
    assert 0 < again.retry_s <= waits_s - 0.5


async def test_transient_for_long_snoozes_longer_each_time(house: House) -> None:
    house.slack.ends(SLACK_SAYS, *["service_unavailable"] * 10_000)
    done = await house.tell(alert())
    assert done.reason == "Slack is not available at the moment"
    waits = [done.retry_s]
    while waits[-1] < 150:
        house.pass_time(waits[-1] + 0.01)
        waits.append((await house.drain()).retry_s)
    assert all(base / 2 <= wait_s <= base for base, wait_s in zip((2, 4, 8, 16, 32, 64), waits, strict=False))
    assert (await house.note())["snoozed"] == "Slack is not available at the moment"
    assert (await house.balance()).pending == 1
    house.slack.endings.clear()
    await settle_down(house)
    assert (await house.balance()).delivered == 1


def test_a_snooze_grows_to_five_minutes_and_jitter_halves_it_at_most() -> None:
    assert [snooze_s(failures, 0.0) for failures in (0, 1, 2, 7, 8, 99)] == [2, 4, 8, 256, 300, 300]
    assert snooze_s(0, 1.0) == 1


async def test_uncertain_is_told_again_marked_and_counted(house: House) -> None:
    house.slack.ends(SLACK_SAYS, "internal_error")
    done = await house.tell(alert())
    assert done.retry_s > 0
    assert house.slack.calls[SLACK_SAYS] == 1  # not tried again at once
    await settle_down(house)
    assert await house.attempts() == [("unknown", "internal_error"), ("delivered", "")]
    [delivery] = await house.deliveries()
    assert delivery.repeated
    assert (await house.balance()).repeated == 1
    assert "may repeat" in str(house.slack.posts[0].message.blocks)


async def test_only_what_may_repeat_is_marked_in_a_digest(house: House) -> None:
    house.slack.ends(SLACK_SAYS, "fatal_error")
    await house.tell(alert("a"))
    await house.publish(alert("b"))
    await house.ingest()
    await settle_down(house)
    assert [one.repeated for one in await house.deliveries()] == [True, False]
    assert "may repeat" in str(house.slack.posts[0].message.blocks)
    await house.tell(alert("c"))
    await settle_down(house)
    assert "may repeat" not in str(house.slack.posts[1].message)


async def test_a_blocked_lane_parks_with_the_step_that_frees_it(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.slack.change("C0000001", is_member=False)
    done = await house.tell(alert())
    assert (done.posts, done.wake, done.retry_s) == (0, False, 0.0)
    assert done.reason == "@infrakitchen is not a member of #ops"
    note = await house.note()
    assert (note["parked"], note["reason"]) == ("not_in_channel", done.reason)
    assert note["hint"] == "Type `/invite @infrakitchen` in #ops."
    assert await house.due_in_s() is None
    assert (await house.balance()).parked == 1
    [delivery] = await house.deliveries()
    assert delivery.state == "parked"
    assert (await house.drain()).reason == "parked"
    assert [line.levelname for line in caplog.records if line.message == "no attempt"] == ["WARNING"]


async def test_slack_may_block_a_post_too(house: House) -> None:
    house.slack.ends(SLACK_SAYS, "restricted_action")
    await house.tell(alert())
    assert (await house.note())["parked"] == "restricted_action"
    assert await house.attempts() == [("blocked", "restricted_action")]


async def test_a_token_fault_parks_all_lanes_at_once_and_is_said_once(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.slack.add_channel("C0000002", "dev")
    await house.subscribe("#dev")
    await house.publish(alert())
    await house.ingest()
    house.slack.faults["xoxb-1"] = "token_revoked"
    house.slack.ends(SLACK_SAYS, "token_revoked", "token_revoked")
    await house.made.directory.note("acme", *house.slack.channels.values())
    first, second = await house.drain(), await house.drain("acme/#dev")
    assert first.reason == "The token of acme was revoked"
    assert second.reason == "parked"
    assert first.retry_s == second.retry_s == 0.0
    [found] = await house.made.integrations.all()
    assert (found.state, found.reason) == ("parked", first.reason)
    assert "ik-slack integrations rotate acme" in found.hint
    said = [line for line in caplog.records if line.message == "integration parked"]
    assert len(said) == 1
    assert (await house.balance()).parked == 2
    assert house.slack.calls[SLACK_SAYS] == 1


async def test_two_posts_that_meet_the_same_token_fault_say_it_once(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.publish(alert())
    await house.ingest()

    async def parked_by_another() -> None:
        await house.made.integrations.park("acme", "token_revoked", "reason", "hint", probe_s=60)

    post = house.slack.post

    async def posting(*given: Any, **named: Any) -> Any:
        await parked_by_another()
        return await post(*given, **named)

    house.slack.post = posting  # type: ignore[method-assign]
    house.slack.ends(SLACK_SAYS, "token_revoked")
    await house.drain()
    assert [line for line in caplog.records if line.message == "integration parked"] == []
    assert await house.attempts() == [("blocked", "token_revoked")]


async def test_blocks_that_are_refused_are_told_as_plain_text_once_in_a_slot_of_its_own(house: House) -> None:
    house.slack.ends(SLACK_SAYS, "invalid_blocks")
    done = await house.tell(alert())
    assert done.posts == 1
    assert [one.plain for one in house.slack.posts] == [True]
    assert house.hand.slept == [1.02]
    assert await house.attempts() == [("refused", "invalid_blocks"), ("delivered", "")]


async def test_plain_text_that_has_no_slot_in_time_waits_for_it(house: House) -> None:
    house.slack.ends(SLACK_SAYS, "invalid_blocks", "invalid_blocks")
    await house.publish(alert())
    await house.ingest()
    done = await house.drain(budget_s=0.5)
    assert (done.posts, done.reason) == (0, "waits for its slot")
    await settle_down(house)
    assert await house.attempts() == [("refused", "invalid_blocks")] * 2 + [("delivered", "")]


async def test_the_one_at_fault_becomes_a_dead_letter_and_its_siblings_are_told(
    house: House, caplog: pytest.LogCaptureFixture
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
    drains += await settle_down(house)
    assert done.posts >= 1
    balance = await house.balance()
    assert (balance.delivered, balance.dead, balance.pending) == (2, 1, 0)
    [letter] = await house.dead()
    assert (letter.reason, letter.detail) == ("msg_too_long", "The message is too long")
    assert ["a:" in one.text or one.text.endswith(" a") for one in house.slack.posts] == [True, False]
    # together twice (blocks, plain), then each alone: a, poison twice, b
    assert house.slack.calls[SLACK_SAYS] == 6
    assert drains == 1
    await house.tell(alert("c"), alert("d"))
    await settle_down(house)
    assert "2 updates" in house.slack.posts[-1].text  # together again


async def test_singles_go_on_after_a_restart(house: House) -> None:
    house.slack.ends(SLACK_SAYS, "invalid_blocks", "invalid_blocks")
    await house.publish(alert("a"), alert("b"))
    await house.ingest()
    await house.drain(budget_s=1.5)
    assert house.slack.posts == []
    await settle_down(house)
    assert len(house.slack.posts) == 2


async def test_a_code_nobody_has_listed_is_tried_a_few_times_then_a_dead_letter(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.slack.ends(SLACK_SAYS, *["brand_new_code"] * 1000)
    await house.publish(alert())
    await house.ingest()
    assert await settle_down(house) == house.slack.calls[SLACK_SAYS] == 5
    [letter] = await house.dead()
    assert letter.reason == "brand_new_code"
    assert await house.attempts() == [("transient", "brand_new_code")] * 4 + [("refused", "brand_new_code")]
    assert (await house.balance()).dead == 1
    assert any("unlisted error code" in line.message for line in caplog.records)


async def test_a_fault_of_our_own_neither_spins_nor_stops_the_lane_for_good(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = render_module.render

    def rendering(folding: Any, **more: Any) -> Any:
        if "poison" in folding.lines[0].event.title:
            raise RuntimeError("a fault")
        return render(folding, **more)

    monkeypatch.setattr(render_module, "render", rendering)
    done = await house.tell(alert("poison"))
    assert (done.posts, done.reason) == (0, "a fault of this program (RuntimeError)")
    assert 1 <= done.retry_s <= 2
    await house.publish(alert("fine"))
    await house.ingest()
    drains = await settle_down(house)
    assert drains < 12
    balance = await house.balance()
    assert (balance.delivered + balance.merged, balance.dead) in ((2, 0), (1, 1))
    assert any("RuntimeError" in (line.exc_text or "") for line in caplog.records)
    assert not any("unlisted error code" in line.message for line in caplog.records)
    await house.tell(alert("poison again"))
    await settle_down(house)
    assert (await house.dead())[0].reason == "fault"


async def test_a_fault_before_anything_was_taken_only_snoozes(house: House) -> None:
    house.slack.ends("conversations.list", RuntimeError("a fault"))
    done = await house.tell(alert())
    assert done.retry_s > 0
    await settle_down(house)
    assert await house.attempts() == [("delivered", "")]


async def test_a_removed_integration_parks_its_lanes_until_it_is_there_again(house: House) -> None:
    await house.made.integrations.remove("acme")
    await house.publish(alert())
    await house.ingest()
    await house.drain()
    note = await house.note()
    assert (note["parked"], note["reason"]) == ("integration_gone", "the integration acme was removed")
    assert "ik-slack integrations add acme" in note["hint"]


async def test_a_wrong_key_parks_the_integration(house: House) -> None:
    await house.publish(alert())
    await house.ingest()
    server = house.redis.connection_pool.connection_kwargs["server"]
    async with build(house.slack, house.hand, server=server, encryption_key=OTHER_KEY) as other:
        done = await other.drain()
        assert done.reason == "the token cannot be opened with this ENCRYPTION_KEY"
        [found] = await other.made.integrations.all()
        assert (found.state, "Put that key back" in found.hint) == ("parked", True)
        assert house.slack.calls[SLACK_SAYS] == 0
        house.pass_time(61)
        assert await other.made.sweep.prober.probe("integration:acme") == ()
        assert (await other.drain()).reason == "parked"
    await house.made.sweep.prober.probe("integration:acme")
    assert (await house.drain()).posts == 1


async def test_a_hint_names_what_people_know(house: House) -> None:
    error = Blocked("x", "{integration}: @{bot} {channel}", "in {channel} of {integration}", Scope.LANE)
    house.slack.ends(SLACK_SAYS, error)
    await house.tell(alert())
    note = await house.note()
    assert (note["reason"], note["hint"]) == ("acme: @infrakitchen #ops", "in #ops of acme")


def attempts(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The canonical lines, oldest first."""
    return [vars(line) for line in caplog.records if line.message == "attempt"]


async def test_the_line_of_an_attempt_says_all_and_no_secret(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await house.tell(alert())
    [about] = attempts(caplog)
    assert (about["lane"], about["channel"], about["outcome"]) == ("acme/#ops", "C0000001", "delivered")
    assert (about["method"], about["told"]) == (SLACK_SAYS, 1)
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
async def test_every_call_to_slack_has_one_line_whatever_became_of_it(
    house: House, caplog: pytest.LogCaptureFixture, endings: list[Any]
) -> None:
    caplog.set_level(logging.INFO)
    house.slack.ends(SLACK_SAYS, *endings)
    await house.tell(alert())
    said = [(about["method"], str(about["outcome"]), about.get("code", "")) for about in attempts(caplog)]
    known = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"} | DOCUMENTED
    assert [about.keys() - known for about in attempts(caplog) if about.keys() - known] == []
    counted = (await house.made.metrics.counted()).labelled("call")
    assert len(said) == house.slack.calls[SLACK_SAYS] == sum(counted.values())
    assert Counter(said) == {
        (method, outcome, "" if code == "ok" else code): count
        for (method, outcome, code), count in counted.items()
    }


@pytest.mark.parametrize("reply_lost", [False, True])
async def test_a_receipt_is_kept_while_redis_is_away(house: House, reply_lost: bool) -> None:
    post = house.slack.post

    async def posting(*given: Any, **named: Any) -> Any:
        receipt = await post(*given, **named)
        house.luck.fail(1, 5, reply_lost=reply_lost)
        return receipt

    house.slack.post = posting  # type: ignore[method-assign]
    done = await house.tell(alert())
    if not reply_lost:
        assert (done.posts, house.hand.slept) == (1, [0.5] * 4)
    house.luck.heal()
    house.pass_time(31)
    await house.drain()
    assert len(house.slack.posts) == 1
    [delivery] = await house.deliveries()
    assert (delivery.state, delivery.repeated) == ("delivered", False)


async def test_redis_away_for_long_costs_a_marked_repeat(house: House) -> None:
    post = house.slack.post

    async def posting(*given: Any, **named: Any) -> Any:
        receipt = await post(*given, **named)
        house.luck.fail(1, 1000)
        return receipt

    house.slack.post = posting  # type: ignore[method-assign]
    done = await house.tell(alert())
    assert (done.reason, done.retry_s) == ("Redis does not answer", 2.0)
    house.slack.post = post  # type: ignore[method-assign]
    house.luck.heal()
    await settle_down(house)
    assert len(house.slack.posts) == 2
    [delivery] = await house.deliveries()
    assert (delivery.state, delivery.repeated) == ("delivered", True)


@pytest.mark.parametrize("at", range(1, 8))
@pytest.mark.parametrize("reply_lost", [False, True])
async def test_redis_failing_at_any_step_of_a_drain_loses_nothing(
    house: House, at: int, reply_lost: bool
) -> None:
    await house.publish(alert("a"), alert("b"))
    await house.ingest()
    house.luck.fail(at, reply_lost=reply_lost)
    await house.drain()
    house.luck.heal()
    await settle_down(house)
    balance = await house.balance()
    assert (balance.delivered + balance.merged, balance.pending) == (2, 0)
    assert len(house.slack.posts) == 1 or balance.repeated


async def test_an_unlisted_code_after_an_outage_has_all_its_tries(house: House) -> None:
    house.slack.ends(SLACK_SAYS, *["internal_error"] * 6, "brand_new_code")
    await house.tell(alert())
    for _ in range(6):
        house.pass_time(301)
        await house.drain()
    assert await house.dead() == []
    house.pass_time(301)
    assert (await house.drain()).posts == 1


async def test_a_token_revoked_after_another_was_set_parks_nothing(house: House) -> None:
    house.slack.identities["xoxb-2"] = identity()
    await house.publish(alert())
    await house.ingest()
    assert house.integration is not None
    integration, post = house.integration, house.slack.post

    async def rotated(*given: Any, **named: Any) -> Any:
        house.slack.post = post  # type: ignore[method-assign]
        await house.made.integrations.save(integration, Secret("xoxb-2"))
        house.slack.faults["xoxb-1"] = "token_revoked"
        return await post(*given, **named)

    house.slack.post = rotated  # type: ignore[method-assign]  # while a post with the old token is under way
    assert (await house.drain()).wake
    [found] = await house.made.integrations.all()
    assert found.state == "active"
    assert (await house.drain()).posts == 1
    assert [one.token for one in house.slack.posts] == ["xoxb-2"]

"""Cards: one message about each run and alert, edited to its newest state, with a thread."""

from typing import Any

import pytest
from support.events import alert, workflow
from support.fake_slack import Posted
from support.pipeline import Pipeline, deliver_paced

from worker.domain.errors import Transient
from worker.pipeline.delivery.session import DeliveryDeps

pytestmark = pytest.mark.slow

POST, EDIT = "chat.postMessage", "chat.update"
LANE = "acme/#ops"


def channel_messages(house: Pipeline) -> list[Posted]:
    """Return the messages of the channel, without replies."""
    return [one for one in house.slack.posts if not one.thread_ts]


def thread(house: Pipeline) -> list[str]:
    return [one.text for one in house.slack.posts if one.thread_ts]


def at(time: int, run: str = "17", what: str = "started", **data: Any) -> dict[str, Any]:
    """Return a state of a workflow with its own time."""
    return {**workflow(run, what, **data), "time": f"2026-01-01T00:00:{time:02}Z"}


async def test_the_states_of_one_run_are_one_message_edited_to_the_newest(house: Pipeline) -> None:
    for n, status in enumerate(("started", "step_completed", "completed")):
        await deliver_paced(house, at(n, what=status))
    assert (house.slack.calls[POST], house.slack.calls[EDIT]) == (1, 2)
    (card,) = house.slack.posts
    assert "completed" in card.text or "✅" in card.text
    deliveries = await house.deliveries()
    assert {one.ts for one in deliveries} == {deliveries[0].ts}
    assert [one.state for one in deliveries] == ["delivered"] * 3
    assert [call.method for call in await house.app.deliveries.list_attempts(deliveries[1])] == [EDIT]


async def test_a_failure_is_also_a_reply_in_the_thread_once(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    await deliver_paced(house, at(2, what="failed", error_message="no quota"))
    assert "no quota" in channel_messages(house)[0].text
    (reply,) = thread(house)
    assert "no quota" in reply
    failed = (await house.deliveries())[1]
    assert [(call.method, call.outcome) for call in await house.app.deliveries.list_attempts(failed)] == [
        (EDIT, "delivered"),
        (POST, "delivered"),
    ]
    assert failed.ts == (await house.deliveries())[0].ts
    await deliver_paced(house, at(2, what="failed", error_message="no quota"))
    assert len(thread(house)) == 1


async def test_a_run_that_completes_after_a_failure_gets_a_reply_in_its_thread(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    await deliver_paced(house, at(2, what="failed"))
    await deliver_paced(house, at(3, what="completed"))
    assert len(channel_messages(house)) == 1
    assert len(thread(house)) == 2
    await deliver_paced(house, at(4, what="completed"))
    assert len(thread(house)) == 2, "it had recovered before"


async def test_a_resolved_alert_edits_its_card_and_gets_a_reply_in_its_thread(house: Pipeline) -> None:
    await deliver_paced(house, alert("disk full"))
    await deliver_paced(house, alert("disk full", what="resolved"))
    assert "resolved" in channel_messages(house)[0].text
    assert ["resolved" in one for one in thread(house)] == [True]


async def test_a_run_or_alert_that_begins_again_gets_a_new_card(house: Pipeline) -> None:
    await deliver_paced(house, alert("disk full", starts_at="2026-01-01T00:00:00Z"))
    await deliver_paced(house, alert("disk full", what="resolved"))
    await deliver_paced(house, alert("disk full", starts_at="2026-01-02T00:00:00Z"))
    assert len(channel_messages(house)) == 2
    await deliver_paced(house, alert("disk full", starts_at="2026-01-03T00:00:00Z"))
    assert len(channel_messages(house)) == 3, "another episode, although no event ended the last one"


async def test_a_state_after_a_day_of_silence_gets_a_new_card(house: Pipeline) -> None:
    await deliver_paced(house, alert("disk full"))
    house.pass_time(86_401)
    await deliver_paced(house, alert("disk full"))
    assert len(channel_messages(house)) == 2


async def test_the_destruction_of_a_resource_gets_another_card_than_its_creation(house: Pipeline) -> None:
    def resource(state: str) -> dict[str, Any]:
        body = workflow("1")
        data = {"resource_id": "r1", "name": "db", "state": state, "status": "done"}
        return {**body, "type": "io.infrakitchen.resource.state_changed", "data": data}

    await deliver_paced(house, resource("provision"))
    await deliver_paced(house, resource("provisioned"))
    assert len(channel_messages(house)) == 1
    await deliver_paced(house, resource("destroyed"))
    assert len(channel_messages(house)) == 2


async def test_an_older_state_never_overwrites_a_newer_one_and_costs_no_call(house: Pipeline) -> None:
    await deliver_paced(house, at(9, what="completed"))
    done = await deliver_paced(house, at(3, what="step_completed"), at(5, what="step_completed"))
    assert (done.posts, done.finished) == (0, 2)
    assert house.slack.calls[EDIT] == 0
    first, *late = await house.deliveries()
    assert {(one.state, one.merged_into, one.ts) for one in late} == {("merged", first.id, first.ts)}
    assert [await house.app.deliveries.list_attempts(one) for one in late] == [[], []]


async def test_an_older_failure_that_comes_late_gets_no_reply(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    await deliver_paced(house, at(3, what="step_completed"))
    await deliver_paced(house, at(2, what="failed", error_message="no quota"))
    assert thread(house) == []
    assert (await house.balance()).merged == 1


async def test_a_state_that_needs_no_call_uses_no_slot(house: Pipeline) -> None:
    await deliver_paced(house, at(9, what="completed"))
    house.hand.slept.clear()
    done = await deliver_paced(house, at(3, what="step_completed"), alert("another"))
    assert (done.posts, done.finished) == (1, 2)
    assert max(house.hand.slept, default=0) == 0


async def test_thirty_states_in_any_order_end_with_the_newest(house: Pipeline) -> None:
    for n in (7, 3, 29, 11, 2, 28, 5):
        await deliver_paced(house, at(n, what="step_completed", name=f"state-{n}"))
    assert "state-29" in channel_messages(house)[0].text
    assert len(house.slack.posts) == 1


async def test_a_card_is_edited_by_another_worker_than_the_one_that_posted_it(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    await deliver_paced(house, at(2, what="completed"), is_stopping=lambda: False)
    assert house.slack.calls == {**house.slack.calls, POST: 1, EDIT: 1}


@pytest.mark.parametrize(
    "code",
    ["message_not_found", "thread_not_found", "edit_window_closed", "cant_update_message", "streaming_state_conflict"],
)
async def test_a_card_that_slack_cannot_edit_is_posted_again(house: Pipeline, code: str) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(EDIT, code)
    await deliver_paced(house, at(2, what="step_completed"))
    assert len(channel_messages(house)) == 2
    second = (await house.deliveries())[1]
    assert [(call.method, call.outcome, call.code) for call in await house.app.deliveries.list_attempts(second)] == [
        (EDIT, "refused", code),
        (POST, "delivered", ""),
    ]
    await deliver_paced(house, at(3, what="completed"))
    assert len(channel_messages(house)) == 2, "the new one is edited from now on"


async def test_a_card_in_another_conversation_is_not_edited(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    house.slack.add_channel("C0000002", "ops")
    house.slack.channels.pop("C0000001")
    await house.app.lanes.unpin_addresses([LANE])
    await house.app.directory.clear("acme")
    await deliver_paced(house, at(2, what="completed"))
    assert [one.channel for one in channel_messages(house)] == ["C0000001", "C0000002"]


async def test_a_plain_subscription_has_no_cards(house: Pipeline) -> None:
    await house.subscribe(style="plain")
    await deliver_paced(house, at(1))
    await deliver_paced(house, at(2, what="failed"))
    assert (len(channel_messages(house)), house.slack.calls[EDIT]) == (2, 0)


async def test_an_edit_whose_outcome_is_unknown_is_made_again_and_is_no_repeat(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(EDIT, "internal_error")
    await deliver_paced(house, at(2, what="completed"))
    house.pass_time(10)
    await house.drain()
    assert (await house.balance()).repeated == 0
    assert house.slack.calls[EDIT] == 2
    assert "↻" not in str(house.slack.edits[-1].message)


async def test_a_reply_whose_outcome_is_unknown_says_that_it_may_repeat(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(POST, "internal_error")
    await deliver_paced(house, at(2, what="failed"))
    house.pass_time(10)
    await house.drain()
    (reply,) = [one for one in house.slack.posts if one.thread_ts]
    assert "may repeat" in str(reply.message)
    assert (await house.balance()).repeated == 1


@pytest.mark.parametrize("broadcast", [True, False])
async def test_a_reply_is_broadcast_only_where_a_subscription_has_the_option(house: Pipeline, broadcast: bool) -> None:
    await house.subscribe(broadcast=broadcast)
    await deliver_paced(house, at(1))
    await deliver_paced(house, at(2, what="failed"))
    assert [(bool(one.thread_ts), one.broadcast) for one in house.slack.posts] == [
        (False, False), (True, broadcast),
    ]  # fmt: skip


async def test_an_edit_that_failed_is_made_again_after_two_seconds(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(EDIT, Transient("service_unavailable", "away"))
    await deliver_paced(house, at(2, what="completed"))
    house.pass_time(2)
    await house.drain()
    calls = await house.app.deliveries.list_attempts((await house.deliveries())[1])
    assert [(call.method, call.outcome) for call in calls] == [(EDIT, "transient"), (EDIT, "delivered")]


@pytest.mark.parametrize("code", ["restricted_action_thread_locked", "cannot_reply_to_message", "msg_too_long"])
async def test_a_closed_thread_gets_no_reply_and_parks_nothing(house: Pipeline, code: str) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(POST, code)
    await deliver_paced(house, at(2, what="failed"))
    assert thread(house) == []
    assert (await house.note()).parked == ""
    assert (await house.balance()).pending == 0
    assert (await house.deliveries())[1].state == "merged"


@pytest.mark.parametrize("code", ["thread_not_found", "message_not_found", "invalid_thread_ts"])
async def test_a_card_whose_message_is_gone_when_its_thread_gets_a_reply_is_posted_again(
    house: Pipeline, code: str
) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(POST, code)
    await deliver_paced(house, at(2, what="failed"))
    assert thread(house) == []
    assert "failed" in channel_messages(house)[-1].text
    assert len(channel_messages(house)) == 2
    assert (await house.balance()).pending == 0


async def test_an_edit_in_an_archived_channel_parks_the_lane(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(EDIT, "is_inactive")
    await deliver_paced(house, at(2, what="step_completed"))
    assert (await house.note()).parked == "is_inactive"


async def test_a_state_whose_edit_and_post_are_denied_parks_the_lane(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(EDIT, "posting_to_channel_denied")
    house.slack.ends(POST, "posting_to_channel_denied")
    await deliver_paced(house, at(2, what="step_completed"))
    assert (await house.note()).parked == "posting_to_channel_denied"


async def test_a_reply_that_may_not_be_broadcast_is_sent_to_the_thread_alone(house: Pipeline) -> None:
    await house.subscribe(broadcast=True)
    await deliver_paced(house, at(1))
    house.slack.ends(POST, "cant_broadcast_message")
    await deliver_paced(house, at(2, what="failed"))
    assert [(bool(one.thread_ts), one.broadcast) for one in house.slack.posts] == [(False, False), (True, False)]
    assert "showing a reply in the channel" in (await house.deliveries())[1].detail


async def test_when_slack_throttles_edits_the_posts_continue(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(EDIT, "ratelimited")
    done = await deliver_paced(house, at(2, what="step_completed"))
    assert done.reason == "waiting to edit a card"
    house.awake.clear()
    await house.publish(alert("another"))
    await house.ingest()
    assert house.awake == [LANE], "the lane is not snoozed"
    done = await house.drain()
    assert (done.finished, done.reason) == (1, "waiting to edit a card")
    assert "another" in channel_messages(house)[-1].text
    house.pass_time(31)
    assert (await house.drain()).finished == 1
    assert house.slack.calls[EDIT] == 2


async def test_edits_have_their_own_rate_limit(house: Pipeline) -> None:
    deps: DeliveryDeps = house.deps
    await deliver_paced(house, *(at(1, run=str(n)) for n in range(2)))
    for second in range(2, 30):
        await deliver_paced(house, at(second, run="0", what="step_completed"), edits_per_minute=4.0)
    assert deps.edits_per_minute == 50
    assert 3 <= house.slack.calls[EDIT] <= 5


async def test_the_most_urgent_of_a_storm_get_cards_and_are_not_in_its_digest(house: Pipeline) -> None:
    await deliver_paced(house, *(alert(f"n{n:02}", severity="critical" if n > 40 else "warning") for n in range(50)))
    house.pass_time(2)
    await house.drain(budget_s=60)
    first, digest, *others = channel_messages(house)
    assert "41 updates" in digest.text
    assert [f"n{n}" in post.text for n, post in enumerate((first, *others), 41)] == [True] * 9
    assert not [n for n in range(41, 50) if f"n{n}" in str(digest)]
    assert {delivery.state for delivery in await house.deliveries()} == {"delivered", "merged"}
    await deliver_paced(house, alert("n41", what="resolved"))
    assert len(channel_messages(house)) == 10
    assert "resolved" in channel_messages(house)[0].text


async def test_a_worker_killed_after_the_digest_of_a_storm_leaves_its_cards_to_the_next(house: Pipeline) -> None:
    await house.publish(*(alert(f"n{n:02}", severity="critical" if n > 44 else "warning") for n in range(50)))
    await house.ingest()
    while (await house.balance()).pending:
        house.pass_time(2)
        await house.drain(budget_s=0)  # a session a message: what one knew, the next does not
    first, digest, *others = channel_messages(house)
    assert [post.text for post in (first, *others)] == [f"🔴 n{n}" for n in range(45, 50)]
    assert "45 updates" in digest.text


async def test_a_digest_that_lists_everything_is_followed_by_no_cards(house: Pipeline) -> None:
    await deliver_paced(house, *(alert(f"n{n:02}") for n in range(40)))
    assert (len(house.slack.posts), (await house.balance()).merged) == (1, 39)


async def test_each_subject_of_a_digest_gets_its_card_with_its_next_state(house: Pipeline) -> None:
    await deliver_paced(house, at(1, run="1"), at(1, run="2"))
    assert len(channel_messages(house)) == 1
    await deliver_paced(house, at(2, run="1", what="step_completed"))
    await deliver_paced(house, at(3, run="1", what="completed"))
    assert (len(channel_messages(house)), house.slack.calls[EDIT]) == (2, 1)


async def test_a_state_older_than_the_one_in_a_digest_gets_no_card(house: Pipeline) -> None:
    await deliver_paced(house, at(9, run="1", what="completed"), at(9, run="2"))
    done = await deliver_paced(house, at(3, run="1"), at(4, run="1", what="failed"))
    assert (done.posts, done.finished, len(house.slack.posts)) == (0, 2, 1)
    _, lead, *late = await house.deliveries()
    assert {(one.state, one.merged_into, one.ts) for one in late} == {("merged", lead.id, lead.ts)}
    assert {one.detail for one in late} == {"a newer state was already sent by"}


async def test_a_card_posted_after_a_digest_is_edited(house: Pipeline) -> None:
    await deliver_paced(house, at(3, run="1"), at(3, run="2"))
    await deliver_paced(house, at(9, run="1", what="completed"))
    done = await deliver_paced(house, at(5, run="1", what="step_completed"), at(2, run="1", what="step_completed"))
    assert (done.posts, done.finished, len(channel_messages(house)), house.slack.calls[EDIT]) == (0, 2, 2, 0)
    *_, card, late, _ = await house.deliveries()
    assert late.merged_into == card.id


async def test_a_digest_is_newer_than_an_earlier_card(house: Pipeline) -> None:
    await deliver_paced(house, at(1, run="1", what="completed"))
    await deliver_paced(house, at(9, run="1"), at(9, run="2"))
    done = await deliver_paced(house, at(5, run="1"))
    assert (done.posts, len(channel_messages(house)), house.slack.calls[EDIT]) == (0, 2, 0)


async def test_a_digest_in_another_conversation_does_not_count(house: Pipeline) -> None:
    await deliver_paced(house, at(9, run="1"), at(9, run="2"))
    house.slack.add_channel("C0000002", "other")
    await house.redis.hset(f"ik:lane:{LANE}", "address", "C0000002")
    await deliver_paced(house, at(3, run="1"))
    assert house.slack.posts[-1].channel == "C0000002"


async def test_in_a_storm_a_card_is_edited_between_two_digests(house: Pipeline) -> None:
    await deliver_paced(house, at(1))

    async def storm(n: int) -> None:
        await house.publish(
            at(10 + n, what="step_completed"), *(alert(f"s{n}-{m}", severity="info") for m in range(45))
        )
        await house.ingest()

    post = house.slack.post

    async def posting(*given: Any, **named: Any) -> Any:
        await storm(len(house.slack.posts))
        return await post(*given, **named)

    house.slack.post = posting  # type: ignore[method-assign]
    await storm(0)
    await house.drain(budget_s=6)
    assert house.slack.calls[EDIT] >= 2
    await house.balance()


@pytest.mark.parametrize("at_call", range(1, 12))
@pytest.mark.parametrize("reply_lost", [False, True])
async def test_redis_failing_at_any_step_of_a_failure_s_card_loses_nothing(
    house: Pipeline, at_call: int, *, reply_lost: bool
) -> None:
    await deliver_paced(house, at(1))
    await house.publish(at(2, what="failed", error_message="no quota"))
    await house.ingest()
    house.pass_time(2)
    house.luck.fail(at_call, reply_lost=reply_lost)
    await house.drain()
    house.luck.heal()
    for _ in range(5):
        house.pass_time(35)
        await house.drain()
    balance = await house.balance()
    assert (balance.pending, balance.delivered + balance.merged) == (0, 2)
    assert "no quota" in channel_messages(house)[0].text
    assert len(thread(house)) == 1 or balance.repeated


async def test_posts_do_not_wait_while_slack_refuses_edits(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(EDIT, *(Transient("update_failed", "no") for _ in range(40)))
    for second in range(2, 12):
        await house.publish(at(second, what="step_completed"), alert(f"n{second}"))
        await house.ingest()
        house.pass_time(2)
        done = await house.drain()
        assert (done.posts, done.reason) == (1, "waiting to edit a card")
        assert f"n{second}" in channel_messages(house)[-1].text
    assert 2 <= house.slack.calls[EDIT] <= 5, "each time after a longer wait"
    house.slack.endings.clear()
    house.pass_time(300)
    await house.drain()
    assert ((await house.balance()).pending, "steps done" in channel_messages(house)[0].text) == (0, False)
    assert (await house.redis.hget(f"ik:lane:{LANE}", "edit_failures")) is None


async def test_a_failure_is_announced_while_slack_refuses_edits_and_the_card_is_edited_later(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(EDIT, "ratelimited")
    await deliver_paced(house, at(2, what="failed", error_message="no quota"))
    assert ["no quota" in text for text in thread(house)] == [True]
    assert "no quota" not in channel_messages(house)[0].text
    house.pass_time(31)
    await house.drain()
    assert "no quota" in channel_messages(house)[0].text
    assert (len(thread(house)), (await house.balance()).pending) == (1, 0)


async def test_an_edit_with_an_unlisted_code_is_given_up_and_its_card_posted_again(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(EDIT, *["never_heard_of"] * 9)
    await deliver_paced(house, at(2, what="completed"))
    for _ in range(6):
        house.pass_time(400)
        await house.drain()
    assert house.slack.calls[EDIT] == 5
    assert "completed" in channel_messages(house)[1].text


async def test_an_edit_that_a_workspace_restricts_is_posted_instead(house: Pipeline) -> None:
    await deliver_paced(house, at(1))
    house.slack.ends(EDIT, "restricted_action")
    await deliver_paced(house, at(2, what="completed"))
    assert (len(channel_messages(house)), (await house.note()).parked) == (2, "")


def from_source(source: str, what: str = "firing", minute: int = 0) -> dict[str, Any]:
    time = f"2026-01-01T00:{minute:02}:00Z"
    return {**alert("disk full", id_=f"{source}-{what}-{minute}", what=what), "source": source, "time": time}


async def test_alerts_of_two_installations_are_two_cards_and_each_is_resolved_alone(house: Pipeline) -> None:
    for source in ("a", "b"):
        await deliver_paced(house, from_source(source))
    await deliver_paced(house, from_source("b", "resolved", 1))
    assert ["resolved" in one.text for one in channel_messages(house)] == [False, True]
    await deliver_paced(house, from_source("a", "resolved", 2))
    assert ["resolved" in one.text for one in channel_messages(house)] == [True, True]


async def test_a_resolution_from_the_other_of_a_pair_closes_the_only_open_alert(house: Pipeline) -> None:
    await deliver_paced(house, from_source("a"))
    await deliver_paced(house, from_source("b", "resolved", 1))
    (card,) = channel_messages(house)
    assert "resolved" in card.text
    assert len(thread(house)) == 1, "the reply belongs to the same card"
    await deliver_paced(house, from_source("c", "resolved", 0))
    assert len(channel_messages(house)) == 1, "the card shows a newer state"
    await deliver_paced(house, from_source("a", "firing", 2))
    assert len(channel_messages(house)) == 2, "it fires again"
    await deliver_paced(house, from_source("b", "resolved", 3))
    assert ["resolved" in one.text for one in channel_messages(house)] == [True, True]


async def test_a_resolution_closes_the_only_firing_alert_that_is_still_pending(house: Pipeline) -> None:
    await deliver_paced(house, from_source("a"), from_source("b", "resolved", 1))
    (message,) = channel_messages(house)
    assert "resolved" in message.text


async def test_a_resolution_of_neither_of_two_open_alerts_closes_none(house: Pipeline) -> None:
    for source in ("a", "b"):
        await deliver_paced(house, from_source(source))
    await deliver_paced(house, from_source("c", "resolved", 1))
    assert ["resolved" in one.text for one in channel_messages(house)] == [False, False, True]


async def test_a_late_resolution_of_an_alert_that_is_over_closes_no_other(house: Pipeline) -> None:
    for minute, what in ((0, "firing"), (5, "resolved")):
        await deliver_paced(house, from_source("a", what, minute))
    await deliver_paced(house, from_source("b"))
    await deliver_paced(house, from_source("a", "resolved", 4))
    assert ["resolved" in one.text for one in channel_messages(house)] == [True, False]

"""Cards: one living message about each run and alert, edited to its newest state, with a thread."""

from typing import Any

import pytest
from fake_slack import Posted
from pipeline_house import House, alert, told, workflow

from worker.domain.errors import Transient
from worker.pipeline.telling import Tools

POST, EDIT = "chat.postMessage", "chat.update"
LANE = "acme/#ops"


def top(house: House) -> list[Posted]:
    """What stands in the channel itself."""
    return [one for one in house.slack.posts if not one.thread_ts]


def thread(house: House) -> list[str]:
    return [one.text for one in house.slack.posts if one.thread_ts]


def at(time: int, run: str = "17", what: str = "started", **data: Any) -> dict[str, Any]:
    """A workflow's state at a time of its own."""
    return {**workflow(run, what, **data), "time": f"2026-01-01T00:00:{time:02}Z"}


async def test_the_states_of_one_run_are_one_message_edited_to_the_newest(house: House) -> None:
    for n, status in enumerate(("started", "step_completed", "completed")):
        await told(house, at(n, what=status))
    assert (house.slack.calls[POST], house.slack.calls[EDIT]) == (1, 2)
    (card,) = house.slack.posts
    assert "completed" in card.text or "✅" in card.text
    deliveries = await house.deliveries()
    assert {one.ts for one in deliveries} == {deliveries[0].ts}
    assert [one.state for one in deliveries] == ["delivered"] * 3
    assert [call.method for call in await house.made.deliveries.attempts(deliveries[1])] == [EDIT]


async def test_a_failure_is_told_in_the_thread_too_once(house: House) -> None:
    await told(house, at(1))
    await told(house, at(2, what="failed", error_message="no quota"))
    assert "no quota" in top(house)[0].text
    (reply,) = thread(house)
    assert "no quota" in reply
    failed = (await house.deliveries())[1]
    assert [(call.method, call.outcome) for call in await house.made.deliveries.attempts(failed)] == [
        (EDIT, "delivered"),
        (POST, "delivered"),
    ]
    assert failed.ts == (await house.deliveries())[0].ts
    await told(house, at(2, what="failed", error_message="no quota"))
    assert len(thread(house)) == 1


async def test_a_run_that_failed_and_completes_after_all_recovers_in_its_thread(house: House) -> None:
    await told(house, at(1))
    await told(house, at(2, what="failed"))
    await told(house, at(3, what="completed"))
    assert len(top(house)) == 1
    assert len(thread(house)) == 2
    await told(house, at(4, what="completed"))
    assert len(thread(house)) == 2, "it had recovered before"


async def test_an_alert_that_resolves_edits_its_card_and_says_so_in_its_thread(house: House) -> None:
    await told(house, alert("disk full"))
    await told(house, alert("disk full", what="resolved"))
    assert "resolved" in top(house)[0].text
    assert ["resolved" in one for one in thread(house)] == [True]


async def test_what_begins_again_gets_a_card_of_its_own(house: House) -> None:
    await told(house, alert("disk full", starts_at="2026-01-01T00:00:00Z"))
    await told(house, alert("disk full", what="resolved"))
    await told(house, alert("disk full", starts_at="2026-01-02T00:00:00Z"))
    assert len(top(house)) == 2
    await told(house, alert("disk full", starts_at="2026-01-03T00:00:00Z"))
    assert len(top(house)) == 3, "another episode, although nobody said that the last one ended"


async def test_what_is_heard_of_again_after_a_day_gets_a_new_card(house: House) -> None:
    await told(house, alert("disk full"))
    house.pass_time(86_401)
    await told(house, alert("disk full"))
    assert len(top(house)) == 2


async def test_destroying_a_resource_is_another_card_than_making_it(house: House) -> None:
    def resource(state: str) -> dict[str, Any]:
        body = workflow("1")
        data = {"resource_id": "r1", "name": "db", "state": state, "status": "done"}
        return {**body, "type": "io.infrakitchen.resource.state_changed", "data": data}

    await told(house, resource("provision"))
    await told(house, resource("provisioned"))
    assert len(top(house)) == 1
    await told(house, resource("destroyed"))
    assert len(top(house)) == 2


async def test_an_older_state_never_overwrites_a_newer_one_and_costs_no_call(house: House) -> None:
    await told(house, at(9, what="completed"))
    done = await told(house, at(3, what="step_completed"), at(5, what="step_completed"))
    assert (done.posts, done.told) == (0, 2)
    assert house.slack.calls[EDIT] == 0
    first, *late = await house.deliveries()
    assert {(one.state, one.merged_into, one.ts) for one in late} == {("merged", first.id, first.ts)}
    assert [await house.made.deliveries.attempts(one) for one in late] == [[], []]


async def test_an_older_failure_that_comes_late_is_no_news_in_the_thread(house: House) -> None:
    await told(house, at(1))
    await told(house, at(3, what="step_completed"))
    await told(house, at(2, what="failed", error_message="no quota"))
    assert thread(house) == []
    assert (await house.balance()).merged == 1


async def test_what_costs_no_call_costs_no_slot_either(house: House) -> None:
    await told(house, at(9, what="completed"))
    house.hand.slept.clear()
    done = await told(house, at(3, what="step_completed"), alert("another"))
    assert (done.posts, done.told) == (1, 2)
    assert max(house.hand.slept, default=0) == 0


async def test_thirty_states_in_any_order_end_with_the_newest(house: House) -> None:
    for n in (7, 3, 29, 11, 2, 28, 5):
        await told(house, at(n, what="step_completed", name=f"state-{n}"))
    assert "state-29" in top(house)[0].text
    assert len(house.slack.posts) == 1


async def test_a_card_survives_whoever_made_it(house: House) -> None:
    await told(house, at(1))
    await told(house, at(2, what="completed"), stopping=lambda: False)
    assert house.slack.calls == {**house.slack.calls, POST: 1, EDIT: 1}


@pytest.mark.parametrize("code", ["message_not_found", "edit_window_closed", "cant_update_message"])
async def test_a_card_that_cannot_be_edited_any_more_is_posted_anew(house: House, code: str) -> None:
    await told(house, at(1))
    house.slack.ends(EDIT, code)
    await told(house, at(2, what="step_completed"))
    assert len(top(house)) == 2
    second = (await house.deliveries())[1]
    assert [
        (call.method, call.outcome, call.code) for call in await house.made.deliveries.attempts(second)
    ] == [
        (EDIT, "refused", code),
        (POST, "delivered", ""),
    ]
    await told(house, at(3, what="completed"))
    assert len(top(house)) == 2, "the new one is edited from now on"


async def test_a_card_is_not_looked_for_in_another_conversation(house: House) -> None:
    await told(house, at(1))
    house.slack.add_channel("C0000002", "ops")
    house.slack.channels.pop("C0000001")
    await house.made.lanes.unpin([LANE])
    await house.made.directory.forget("acme")
    await told(house, at(2, what="completed"))
    assert [one.channel for one in top(house)] == ["C0000001", "C0000002"]


async def test_a_plain_subscription_has_no_cards(house: House) -> None:
    await house.subscribe(style="plain")
    await told(house, at(1))
    await told(house, at(2, what="failed"))
    assert (len(top(house)), house.slack.calls[EDIT]) == (2, 0)


async def test_an_edit_whose_outcome_is_unknown_is_made_again_and_is_no_repeat(house: House) -> None:
    await told(house, at(1))
    house.slack.ends(EDIT, "internal_error")
    await told(house, at(2, what="completed"))
    house.pass_time(10)
    await house.drain()
    assert (await house.balance()).repeated == 0
    assert house.slack.calls[EDIT] == 2
    assert "↻" not in str(house.slack.edits[-1].message)


async def test_a_reply_whose_outcome_is_unknown_says_that_it_may_repeat(house: House) -> None:
    await told(house, at(1))
    house.slack.ends(POST, "internal_error")
    await told(house, at(2, what="failed"))
    house.pass_time(10)
    await house.drain()
    (reply,) = [one for one in house.slack.posts if one.thread_ts]
    assert "may repeat" in str(reply.message)
    assert (await house.balance()).repeated == 1


@pytest.mark.parametrize("broadcast", [True, False])
async def test_a_reply_is_to_be_seen_in_the_channel_only_where_a_subscription_asks(
    house: House, broadcast: bool
) -> None:
    await house.subscribe(broadcast=broadcast)
    await told(house, at(1))
    await told(house, at(2, what="failed"))
    assert [(bool(one.thread_ts), one.broadcast) for one in house.slack.posts] == [
        (False, False), (True, broadcast),
    ]  # fmt: skip


async def test_an_edit_that_surely_failed_is_tried_again_at_once(house: House) -> None:
    await told(house, at(1))
    house.slack.ends(EDIT, Transient("service_unavailable", "away"))
    await told(house, at(2, what="completed"))
    calls = await house.made.deliveries.attempts((await house.deliveries())[1])
    assert [(call.method, call.outcome) for call in calls] == [(EDIT, "transient"), (EDIT, "delivered")]


@pytest.mark.parametrize(
    "code", ["restricted_action_thread_locked", "cannot_reply_to_message", "msg_too_long"]
)
async def test_a_thread_that_takes_no_reply_is_told_nothing_and_parks_nothing(
    house: House, code: str
) -> None:
    await told(house, at(1))
    house.slack.ends(POST, code)
    await told(house, at(2, what="failed"))
    assert thread(house) == []
    assert (await house.note())["parked"] == ""
    assert (await house.balance()).pending == 0
    assert (await house.deliveries())[1].state == "merged"


async def test_when_slack_asks_to_wait_with_edits_posts_go_on(house: House) -> None:
    await told(house, at(1))
    house.slack.ends(EDIT, "ratelimited")
    done = await told(house, at(2, what="step_completed"))
    assert done.retry_s == 1.0
    house.pass_time(2)
    await house.publish(alert("another"))
    await house.ingest()
    done = await house.drain()
    assert (done.told, done.reason) == (1, "waits to edit a card")
    assert "another" in top(house)[-1].text
    house.pass_time(31)
    assert (await house.drain()).told == 1
    assert house.slack.calls[EDIT] == 2


async def test_edits_keep_their_own_pace(house: House) -> None:
    tools: Tools = house.tools
    await told(house, *(at(1, run=str(n)) for n in range(2)))
    for second in range(2, 30):
        await told(house, at(second, run="0", what="step_completed"), edits_per_minute=4.0)
    assert tools.edits_per_minute == 50
    assert 3 <= house.slack.calls[EDIT] <= 5


async def test_a_digest_that_cannot_list_all_owes_its_worst_a_card_each(house: House) -> None:
    await told(house, *(alert(f"n{n:02}", severity="critical" if n > 40 else "warning") for n in range(50)))
    house.pass_time(2)
    await house.drain(budget_s=60)
    texts = [one.text for one in top(house)]
    assert "50 updates" in texts[0]
    assert len(texts) == 1 + 10
    assert [f"n{n}" in text for n, text in enumerate(texts[1:], 41)] == [True] * 9 + [False]
    await told(house, alert("n41", what="resolved"))
    assert len(top(house)) == 11
    assert "resolved" in top(house)[1].text


async def test_a_digest_that_lists_everything_is_enough(house: House) -> None:
    await told(house, *(alert(f"n{n:02}") for n in range(40)))
    assert (len(house.slack.posts), (await house.balance()).merged) == (1, 39)


async def test_few_together_are_one_message_and_each_gets_its_card_with_its_next_state(house: House) -> None:
    await told(house, at(1, run="1"), at(1, run="2"))
    assert len(top(house)) == 1
    await told(house, at(2, run="1", what="step_completed"))
    await told(house, at(3, run="1", what="completed"))
    assert (len(top(house)), house.slack.calls[EDIT]) == (2, 1)


async def test_an_older_state_than_a_digest_told_becomes_no_card(house: House) -> None:
    await told(house, at(9, run="1", what="completed"), at(9, run="2"))
    done = await told(house, at(3, run="1"), at(4, run="1", what="failed"))
    assert (done.posts, done.told, len(house.slack.posts)) == (0, 2, 1)
    _, lead, *late = await house.deliveries()
    assert {(one.state, one.merged_into, one.ts) for one in late} == {("merged", lead.id, lead.ts)}
    assert {one.detail for one in late} == {"a newer state was told already by"}


async def test_what_a_digest_told_is_older_than_the_card_made_since(house: House) -> None:
    await told(house, at(3, run="1"), at(3, run="2"))
    await told(house, at(9, run="1", what="completed"))
    done = await told(house, at(5, run="1", what="step_completed"), at(2, run="1", what="step_completed"))
    assert (done.posts, done.told, len(top(house)), house.slack.calls[EDIT]) == (0, 2, 2, 0)
    *_, card, late, _ = await house.deliveries()
    assert late.merged_into == card.id


async def test_what_a_digest_told_is_newer_than_the_card_of_the_last_time(house: House) -> None:
    await told(house, at(1, run="1", what="completed"))
    await told(house, at(9, run="1"), at(9, run="2"))
    done = await told(house, at(5, run="1"))
    assert (done.posts, len(top(house)), house.slack.calls[EDIT]) == (0, 2, 0)


async def test_what_a_digest_told_elsewhere_is_not_known_here(house: House) -> None:
    await told(house, at(9, run="1"), at(9, run="2"))
    house.slack.add_channel("C0000002", "other")
    await house.redis.hset(f"ik:lane:{LANE}", "address", "C0000002")
    await told(house, at(3, run="1"))
    assert house.slack.posts[-1].channel == "C0000002"


async def test_in_a_storm_a_card_is_changed_between_two_digests(house: House) -> None:
    await told(house, at(1))

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
    house: House, at_call: int, *, reply_lost: bool
) -> None:
    await told(house, at(1))
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
    assert "no quota" in top(house)[0].text
    assert len(thread(house)) == 1 or balance.repeated

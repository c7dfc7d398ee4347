"""Drains: pending deliveries of a lane are posted in order and within the budget."""

import asyncio
import copy
from typing import Any

import pytest
from support.events import alert, cloud_event, workflow
from support.pipeline import Pipeline

from worker.domain.errors import LeaseLost, Transient
from worker.pipeline.delivery.session import BUDGET_S
from worker.store.lanes import LEASE_MS
from worker.store.rate_limiter import Slot


async def test_one_event_is_one_message(house: Pipeline) -> None:
    done = await house.deliver(alert("disk full"))
    assert (done.posts, done.finished, done.wake, done.retry_s, done.reason) == (1, 1, False, 0.0, "")
    assert [(one.channel, one.plain) for one in house.slack.posts] == [("C0000001", False)]
    assert "disk full" in house.slack.posts[0].text
    [delivery] = await house.deliveries()
    assert (delivery.state, delivery.channel, delivery.attempts) == ("delivered", "C0000001", 1)
    assert await house.attempts() == [("delivered", "")]
    assert await house.due_in_s() is None


async def test_many_events_are_one_digest_with_the_most_urgent_first(house: Pipeline) -> None:
    done = await house.deliver(alert("a", severity="info"), alert("b"), alert("c", severity="warning"))
    assert (done.posts, done.finished) == (1, 3)
    assert "3 updates" in house.slack.posts[0].text
    by_state = {one.state: one for one in await house.deliveries()}
    balance = await house.balance()
    assert (balance.delivered, balance.merged) == (1, 2)
    assert by_state["merged"].merged_into == by_state["delivered"].id
    assert by_state["merged"].ts == by_state["delivered"].ts


async def test_several_states_of_one_subject_are_one_message_of_the_newest(house: Pipeline) -> None:
    await house.deliver(workflow("17", "started"), workflow("17", "failed", error_message="no quota"))
    assert len(house.slack.posts) == 1
    assert "no quota" in house.slack.posts[0].text
    assert (await house.balance()).merged == 1


async def test_deliveries_created_during_a_post_are_in_the_next_message(house: Pipeline) -> None:
    async def more() -> None:
        await house.publish(alert("second"))
        await house.ingest()

    post = house.slack.post

    async def posting(*given: Any, **named: Any) -> Any:
        if len(house.slack.posts) == 0:
            await more()
        return await post(*given, **named)

    house.slack.post = posting  # type: ignore[method-assign]  # a slow call, during which something arrives
    done = await house.deliver(alert("first"))
    assert (done.posts, done.finished) == (2, 2)
    assert [one.text.partition(" ")[2][:6] for one in house.slack.posts] == ["first", "second"]
    assert house.hand.slept.count(1.02) == 1  # the second slot of the channel


async def test_an_empty_lane_makes_no_call(house: Pipeline) -> None:
    await house.deliver(alert())
    done = await house.drain()
    assert (done.posts, done.reason) == (0, "empty")


async def test_a_lane_is_drained_by_one_worker_at_a_time(house: Pipeline) -> None:
    await house.publish(alert())
    await house.ingest()
    done = await asyncio.gather(house.drain(), house.drain())
    assert sorted(one.posts for one in done) == [0, 1]
    assert [one.reason for one in done if not one.posts] == ["held"]


async def test_a_lane_that_was_emptied_meanwhile_is_released(house: Pipeline) -> None:
    await house.publish(alert())
    await house.ingest()
    house.slack.channels.clear()  # so that the lane is resolved by asking

    def expiring() -> None:
        house.slack.add_channel("C0000001", "ops")

    house.slack.ends("conversations.list", expiring)
    deps = house.deps
    resolve = deps.resolver.resolve

    class Expiring:
        async def resolve(self, *given: Any, **named: Any) -> Any:
            address = await resolve(*given, **named)
            await house.app.lanes.expire("acme/#ops", int(house.hand.now_s * 1000) + 1, "too old", running=True)
            return address

    done = await house.drain(resolver=Expiring())
    assert (done.posts, done.wake) == (0, False)
    assert house.slack.posts == []
    assert (await house.balance()).dead == 1
    assert (await house.drain()).reason == "empty"


async def test_when_the_budget_is_used_up_the_lane_is_released_with_a_wake_up_call(house: Pipeline) -> None:
    post = house.slack.post

    async def slow(*given: Any, **named: Any) -> Any:
        house.pass_time(BUDGET_S + 1)
        await house.publish(alert("second"))
        await house.ingest()
        return await post(*given, **named)

    house.slack.post = slow  # type: ignore[method-assign]
    done = await house.deliver(alert("first"))
    assert (done.posts, done.wake) == (1, True)
    assert (await house.balance()).pending == 1


async def test_a_slot_beyond_the_budget_snoozes_the_lane(house: Pipeline) -> None:
    await house.deliver(alert("first"))
    await house.publish(alert("second"))
    await house.ingest()
    done = await house.drain(budget_s=0.5)
    assert (done.posts, done.wake, done.reason, done.retry_s) == (0, False, "waiting for a rate-limit slot", 0.0)
    assert await house.due_in_s() == pytest.approx(1.0, abs=0.1)
    assert (await house.drain()).reason == "waiting for a rate-limit slot"
    house.pass_time(1.1)
    assert (await house.drain()).posts == 1
    assert await house.attempts() == [("delivered", "")]


async def test_a_stopping_worker_makes_no_call_and_wakes_the_lane(house: Pipeline) -> None:
    await house.deliver(alert("first"))
    house.pass_time(2)
    await house.publish(alert("second"))
    await house.ingest()
    house.stopped.append(True)
    done = await house.drain()
    assert (done.posts, done.wake) == (0, True)
    house.stopped.clear()
    assert (await house.drain()).posts == 1


async def test_a_worker_that_stops_while_it_waits_for_a_slot_posts_nothing(house: Pipeline) -> None:
    await house.deliver(alert("first"))
    await house.publish(alert("second"))
    await house.ingest()

    async def stopping_sleep(_: float) -> None:
        house.stopped.append(True)

    done = await house.drain(sleep=stopping_sleep)
    assert (done.posts, done.wake) == (0, True)
    assert len(house.slack.posts) == 1


async def test_a_stopping_worker_does_not_retry(house: Pipeline) -> None:
    house.slack.ends("chat.postMessage", *["service_unavailable"] * 50)

    async def stopping_sleep(_: float) -> None:
        house.stopped.append(True)

    await house.publish(alert())
    await house.ingest()
    done = await house.drain(sleep=stopping_sleep)
    assert done.retry_s > 0
    assert house.slack.calls["chat.postMessage"] == 2


async def test_a_worker_that_lost_its_lease_records_nothing(house: Pipeline) -> None:
    post = house.slack.post

    async def slow(*given: Any, **named: Any) -> Any:
        await house.redis.set("ik:lane:acme/#ops:lease", "another holder")
        return await post(*given, **named)

    house.slack.post = slow  # type: ignore[method-assign]
    done = await house.deliver(alert())
    assert (done.posts, done.reason) == (0, "another worker holds the lease now")
    assert (await house.balance()).pending == 1
    assert [one.state for one in await house.deliveries()] == ["pending"]


async def test_a_worker_suspended_for_longer_than_its_lease_makes_no_call(house: Pipeline) -> None:
    """Its edit would replace the newer state that another worker has shown meanwhile."""
    await house.deliver(workflow("17", "started"))
    await house.publish(workflow("17", "step_completed"))
    await house.ingest()
    rate_limiter = copy.copy(house.deps.rate_limiter)

    async def standing_still(*_: Any) -> None:
        house.pass_time(LEASE_MS / 1000 + 1)
        await house.deliver(workflow("17", "completed"))

    book = rate_limiter.book_method_slot

    async def standing_still_before(*given: Any, **named: Any) -> Slot:
        await standing_still()
        return await book(*given, **named)

    rate_limiter.book_method_slot = standing_still_before  # type: ignore[method-assign]
    done = await house.drain(rate_limiter=rate_limiter)
    assert (done.posts, done.reason) == (0, "another worker holds the lease now")
    assert [one.text[0] for one in house.slack.edits] == ["✅"]


async def test_a_worker_that_waits_to_retry_keeps_its_lease(house: Pipeline) -> None:
    async def waiting(seconds: float) -> None:
        house.pass_time(LEASE_MS / 1500 if seconds else 0)

    house.slack.ends("chat.postMessage", *(Transient("connect_failed") for _ in range(3)))
    await house.publish(alert())
    await house.ingest()
    assert (await house.drain(sleep=waiting, budget_s=1_000)).posts == 1


async def test_a_suspended_worker_that_still_holds_its_lease_continues(house: Pipeline) -> None:
    await house.publish(alert())
    await house.ingest()
    rate_limiter, ttl_ms = copy.copy(house.deps.rate_limiter), []

    async def standing_still(*_: Any) -> None:
        house.pass_time(LEASE_MS / 1500)

    rate_limiter.shift_late_slot = standing_still  # type: ignore[method-assign]
    post = house.slack.post

    async def posting(*given: Any, **named: Any) -> Any:
        ttl_ms.append(await house.redis.pttl("ik:lane:acme/#ops:lease"))
        return await post(*given, **named)

    house.slack.post = posting  # type: ignore[method-assign]
    assert (await house.drain(rate_limiter=rate_limiter)).posts == 1
    assert ttl_ms == [LEASE_MS]
    assert await house.attempts() == [("delivered", "")]


async def test_a_post_that_a_killed_worker_had_begun_is_repeated_and_marked(house: Pipeline) -> None:
    await house.publish(alert())
    await house.ingest()
    lanes = house.app.lanes
    held = await lanes.acquire("acme/#ops", "dead")
    await lanes.take(held, ("none", "none"))
    house.pass_time(31)
    await house.drain()
    [delivery] = await house.deliveries()
    assert (delivery.state, delivery.repeated) == ("delivered", True)
    assert await house.attempts() == [("unknown", "worker_lost"), ("delivered", "")]
    assert "may repeat" in str(house.slack.posts[0].message.blocks)
    assert (await house.balance()).repeated == 1


async def test_a_pending_delivery_of_a_removed_subscription_is_posted(house: Pipeline) -> None:
    await house.publish(alert())
    await house.ingest()
    await house.app.subscriptions.save_and_remove(remove=["sub-#ops"])  # and what waits was not discarded
    assert (await house.drain()).finished == 1


async def test_an_event_whose_body_is_gone_is_posted_as_unknown(house: Pipeline) -> None:
    await house.publish(alert())
    await house.ingest()
    for key in await house.redis.keys("ik:event:*"):
        await house.redis.delete(key)
    assert (await house.drain()).posts == 1
    assert "no longer stored" in house.slack.posts[0].text


async def test_an_event_that_cannot_be_parsed_is_posted_as_unknown(house: Pipeline) -> None:
    await house.publish(alert(id_="a"))
    await house.ingest()
    [delivery] = await house.deliveries()
    key, field = house.app.events._keys.event(delivery.event_ref)
    await house.redis.hset(key, field, b"jnonsense")
    assert (await house.drain()).posts == 1
    assert "cannot be read" in house.slack.posts[0].text


async def test_only_a_subscription_with_a_mention_mentions_people(house: Pipeline) -> None:
    await house.subscribe(mention="<!subteam^S1>")
    await house.deliver(alert("small", severity="warning"))
    await house.deliver(alert("big"))
    assert ["<!subteam^S1>" in one.text for one in house.slack.posts] == [False, True]
    over = cloud_event("alert.resolved", "over", {"name": "big", "fingerprint": "big", "severity": "critical"})
    await house.deliver(over)
    assert "<!subteam^S1>" not in house.slack.posts[2].text


async def test_a_cancelled_drain_leaves_the_lane_to_the_next_worker(house: Pipeline) -> None:
    house.slack.ends("chat.postMessage", asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await house.deliver(alert())
    house.pass_time(31)
    assert (await house.drain()).posts == 1
    assert (await house.balance()).repeated == 1


async def test_a_worker_that_lost_its_lease_does_not_park_the_lane(house: Pipeline) -> None:
    house.slack.ends("chat.postMessage", "is_archived")
    park = house.app.lanes.park

    async def fenced(*given: Any, **named: Any) -> None:
        await house.redis.set("ik:lane:acme/#ops:lease", "another holder")
        await park(*given, **named)

    house.app.lanes.park = fenced  # type: ignore[method-assign]
    assert (await house.deliver(alert())).reason == "another worker holds the lease now"
    with pytest.raises(LeaseLost):
        await house.app.lanes.release(await _stale(house))


async def _stale(house: Pipeline) -> Any:
    from worker.store.lanes import Lease

    return Lease("acme/#ops", "stale", None, 0, 0, 0)


async def test_thousands_of_deliveries_do_not_starve_other_lanes(house: Pipeline) -> None:
    await house.publish(*(alert(f"n{n}") for n in range(450)))
    await house.ingest()
    done = await house.drain(budget_s=0.5)
    assert (done.posts, done.finished) == (1, 450)
    assert house.hand.slept.count(0) == 3
    assert (await house.balance()).merged == 449


async def test_a_bug_before_a_lease_is_logged_and_the_lane_is_retried_later(
    house: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    await house.publish(alert())
    await house.ingest()
    await house.redis.set("ik:lane:acme/#ops:taken", "not a list")
    done = await house.drain()
    assert (done.posts, done.retry_s) == (0, LEASE_MS / 1000)
    assert "ResponseError" in done.reason
    assert [line.message for line in caplog.records if line.exc_info] == ["unexpected error"]
    await house.redis.delete("ik:lane:acme/#ops:taken")
    assert (await house.drain()).posts == 1


async def test_a_bug_after_slacks_answer_leaves_an_attempt_of_unknown_outcome(
    house: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    await house.publish(alert())
    await house.ingest()
    await house.redis.set("ik:lane:acme/#ops:attempts", "not a stream")
    done = await house.drain()
    assert (len(house.slack.posts), done.finished, done.retry_s) == (1, 0, LEASE_MS / 1000)
    assert [line.message for line in caplog.records if line.exc_info] == ["unexpected error"]
    await house.redis.delete("ik:lane:acme/#ops:attempts", "ik:lane:acme/#ops:lease")
    assert (await house.drain()).finished == 1
    assert len(house.slack.posts) == 2
    assert await house.attempts() == [("unknown", "worker_lost"), ("delivered", "")]
    assert (await house.balance()).repeated == 1

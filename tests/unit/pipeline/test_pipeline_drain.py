"""Draining a lane: what waits is told, in order, within the budget; whatever stands against it is said."""

import asyncio
import copy
from typing import Any

import pytest
from pipeline_house import House, alert, cloud_event, workflow

from worker.domain.errors import Fenced, Transient
from worker.pipeline.telling import BUDGET_S
from worker.store.lanes import LEASE_MS


async def test_one_event_is_one_message(house: House) -> None:
    done = await house.tell(alert("disk full"))
    assert (done.posts, done.told, done.wake, done.retry_s, done.reason) == (1, 1, False, 0.0, "")
    assert [(one.channel, one.plain) for one in house.slack.posts] == [("C0000001", False)]
    assert "disk full" in house.slack.posts[0].text
    [delivery] = await house.deliveries()
    assert (delivery.state, delivery.channel, delivery.attempts) == ("delivered", "C0000001", 1)
    assert await house.attempts() == [("delivered", "")]
    assert await house.due_in_s() is None


async def test_many_events_are_one_digest_whose_worst_leads(house: House) -> None:
    done = await house.tell(alert("a", severity="info"), alert("b"), alert("c", severity="warning"))
    assert (done.posts, done.told) == (1, 3)
    assert "3 updates" in house.slack.posts[0].text
    told = {one.state: one for one in await house.deliveries()}
    balance = await house.balance()
    assert (balance.delivered, balance.merged) == (1, 2)
    assert told["merged"].merged_into == told["delivered"].id
    assert told["merged"].ts == told["delivered"].ts


async def test_several_states_of_one_thing_are_one_message_of_the_newest(house: House) -> None:
    await house.tell(workflow("17", "started"), workflow("17", "failed", error_message="no quota"))
    assert len(house.slack.posts) == 1
    assert "no quota" in house.slack.posts[0].text
    assert (await house.balance()).merged == 1


async def test_what_comes_while_a_message_is_posted_is_told_by_the_next(house: House) -> None:
    async def more() -> None:
        await house.publish(alert("second"))
        await house.ingest()

    post = house.slack.post

    async def posting(*given: Any, **named: Any) -> Any:
        if len(house.slack.posts) == 0:
            await more()
        return await post(*given, **named)

    house.slack.post = posting  # type: ignore[method-assign]  # a slow call, during which something arrives
    done = await house.tell(alert("first"))
    assert (done.posts, done.told) == (2, 2)
    assert [one.text.partition(" ")[2][:6] for one in house.slack.posts] == ["first", "second"]
    assert house.hand.slept.count(1.02) == 1  # the second slot of the channel


async def test_an_empty_lane_has_nothing_to_tell(house: House) -> None:
    await house.tell(alert())
    done = await house.drain()
    assert (done.posts, done.reason) == (0, "empty")


async def test_a_lane_is_drained_by_one_at_a_time(house: House) -> None:
    await house.publish(alert())
    await house.ingest()
    done = await asyncio.gather(house.drain(), house.drain())
    assert sorted(one.posts for one in done) == [0, 1]
    assert [one.reason for one in done if not one.posts] == ["held"]


async def test_a_lane_that_is_emptied_meanwhile_is_given_back(house: House) -> None:
    await house.publish(alert())
    await house.ingest()
    house.slack.channels.clear()  # so that the lane is resolved by asking

    def expiring() -> None:
        house.slack.add_channel("C0000001", "ops")

    house.slack.ends("conversations.list", expiring)
    tools = house.tools
    resolve = tools.resolver.resolve

    class Expiring:
        async def resolve(self, *given: Any, **named: Any) -> Any:
            address = await resolve(*given, **named)
            await house.made.lanes.expire(
                "acme/#ops", int(house.hand.now_s * 1000) + 1, "too old", running=True
            )
            return address

    done = await house.drain(resolver=Expiring())
    assert (done.posts, done.wake) == (0, False)
    assert house.slack.posts == []
    assert (await house.balance()).dead == 1
    assert (await house.drain()).reason == "empty"


async def test_when_time_is_up_the_lane_is_left_with_a_wake(house: House) -> None:
    post = house.slack.post

    async def slow(*given: Any, **named: Any) -> Any:
        house.pass_time(BUDGET_S + 1)
        await house.publish(alert("second"))
        await house.ingest()
        return await post(*given, **named)

    house.slack.post = slow  # type: ignore[method-assign]
    done = await house.tell(alert("first"))
    assert (done.posts, done.wake) == (1, True)
    assert (await house.balance()).pending == 1


async def test_a_slot_beyond_the_budget_lets_the_lane_lie_down(house: House) -> None:
    await house.tell(alert("first"))
    await house.publish(alert("second"))
    await house.ingest()
    done = await house.drain(budget_s=0.5)
    assert (done.posts, done.wake, done.reason, done.retry_s) == (0, False, "waits for its slot", 0.0)
    assert await house.due_in_s() == pytest.approx(1.0, abs=0.1)
    assert (await house.drain()).reason == "waits for its slot"
    house.pass_time(1.1)
    assert (await house.drain()).posts == 1
    assert await house.attempts() == [("delivered", "")]


async def test_a_worker_that_stops_begins_nothing_and_wakes_the_lane(house: House) -> None:
    await house.tell(alert("first"))
    house.pass_time(2)
    await house.publish(alert("second"))
    await house.ingest()
    house.stopped.append(True)
    done = await house.drain()
    assert (done.posts, done.wake) == (0, True)
    house.stopped.clear()
    assert (await house.drain()).posts == 1


async def test_a_worker_that_stops_while_it_waits_for_its_slot_posts_nothing(house: House) -> None:
    await house.tell(alert("first"))
    await house.publish(alert("second"))
    await house.ingest()

    async def stopping_sleep(_: float) -> None:
        house.stopped.append(True)

    done = await house.drain(sleep=stopping_sleep)
    assert (done.posts, done.wake) == (0, True)
    assert len(house.slack.posts) == 1


async def test_a_worker_that_stops_does_not_try_again(house: House) -> None:
    house.slack.ends("chat.postMessage", *["service_unavailable"] * 50)

    async def stopping_sleep(_: float) -> None:
        house.stopped.append(True)

    await house.publish(alert())
    await house.ingest()
    done = await house.drain(sleep=stopping_sleep)
    assert done.retry_s > 0
    assert house.slack.calls["chat.postMessage"] == 2


async def test_a_holder_that_lost_its_lane_records_nothing(house: House) -> None:
    post = house.slack.post

    async def slow(*given: Any, **named: Any) -> Any:
        await house.redis.set("ik:lane:acme/#ops:lease", "another holder")
        return await post(*given, **named)

    house.slack.post = slow  # type: ignore[method-assign]
    done = await house.tell(alert())
    assert (done.posts, done.reason) == (0, "held by another worker by now")
    assert (await house.balance()).pending == 1
    assert [one.state for one in await house.deliveries()] == ["pending"]


async def test_who_stood_still_longer_than_its_lease_calls_nobody(house: House) -> None:
    """Its edit would put an older state in the place of the newer one another has shown meanwhile."""
    await house.tell(workflow("17", "started"))
    await house.publish(workflow("17", "step_completed"))
    await house.ingest()
    allowances = copy.copy(house.tools.allowances)

    async def standing_still(*_: Any) -> None:
        house.pass_time(LEASE_MS / 1000 + 1)
        await house.tell(workflow("17", "completed"))

    allowances.used_late = standing_still  # type: ignore[method-assign]  # the last step before the call
    done = await house.drain(allowances=allowances)
    assert (done.posts, done.reason) == (0, "held by another worker by now")
    assert [one.text[0] for one in house.slack.edits] == ["✅"]


async def test_who_waits_out_failures_keeps_its_lease(house: House) -> None:
    async def waiting(seconds: float) -> None:
        house.pass_time(LEASE_MS / 1500 if seconds else 0)

    house.slack.ends("chat.postMessage", *(Transient("connect_failed") for _ in range(3)))
    await house.publish(alert())
    await house.ingest()
    assert (await house.drain(sleep=waiting, budget_s=1_000)).posts == 1


async def test_who_stood_still_and_holds_its_lane_goes_on(house: House) -> None:
    await house.publish(alert())
    await house.ingest()
    allowances, ttl_ms = copy.copy(house.tools.allowances), []

    async def standing_still(*_: Any) -> None:
        house.pass_time(LEASE_MS / 1500)

    allowances.used_late = standing_still  # type: ignore[method-assign]
    post = house.slack.post

    async def posting(*given: Any, **named: Any) -> Any:
        ttl_ms.append(await house.redis.pttl("ik:lane:acme/#ops:lease"))
        return await post(*given, **named)

    house.slack.post = posting  # type: ignore[method-assign]
    assert (await house.drain(allowances=allowances)).posts == 1
    assert ttl_ms == [LEASE_MS]
    assert await house.attempts() == [("delivered", "")]


async def test_what_a_dead_worker_was_posting_is_told_again_and_marked(house: House) -> None:
    await house.publish(alert())
    await house.ingest()
    lanes = house.made.lanes
    held = await lanes.acquire("acme/#ops", "dead")
    await lanes.take(held, ("none", "none"))
    house.pass_time(31)
    await house.drain()
    [delivery] = await house.deliveries()
    assert (delivery.state, delivery.repeated) == ("delivered", True)
    assert await house.attempts() == [("unknown", "worker_lost"), ("delivered", "")]
    assert "may repeat" in str(house.slack.posts[0].message.blocks)
    assert (await house.balance()).repeated == 1


async def test_what_waits_for_a_rule_whose_removal_was_broken_off_is_told(house: House) -> None:
    await house.publish(alert())
    await house.ingest()
    await house.made.subscriptions.change(remove=["sub-#ops"])  # and what waits was not discarded
    assert (await house.drain()).told == 1


async def test_an_event_whose_body_is_gone_is_still_told(house: House) -> None:
    await house.publish(alert())
    await house.ingest()
    for key in await house.redis.keys("ik:event:*"):
        await house.redis.delete(key)
    assert (await house.drain()).posts == 1
    assert "no longer kept" in house.slack.posts[0].text


async def test_an_event_that_cannot_be_read_any_more_is_still_told(house: House) -> None:
    await house.publish(alert(id_="a"))
    await house.ingest()
    [delivery] = await house.deliveries()
    key, field = house.made.events._keys.event(delivery.event_ref)
    await house.redis.hset(key, field, b"jnonsense")
    assert (await house.drain()).posts == 1
    assert "cannot be read any more" in house.slack.posts[0].text


async def test_only_a_subscription_that_says_so_mentions_people(house: House) -> None:
    await house.subscribe(mention="<!subteam^S1>")
    await house.tell(alert("small", severity="warning"))
    await house.tell(alert("big"))
    assert ["<!subteam^S1>" in one.text for one in house.slack.posts] == [False, True]
    over = cloud_event(
        "alert.resolved", "over", {"name": "big", "fingerprint": "big", "severity": "critical"}
    )
    await house.tell(over)
    assert "<!subteam^S1>" not in house.slack.posts[2].text


async def test_a_cancelled_drain_leaves_the_lane_to_whoever_comes(house: House) -> None:
    house.slack.ends("chat.postMessage", asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await house.tell(alert())
    house.pass_time(31)
    assert (await house.drain()).posts == 1
    assert (await house.balance()).repeated == 1


async def test_a_lane_lost_before_it_could_be_parked_is_the_others(house: House) -> None:
    house.slack.ends("chat.postMessage", "is_archived")
    park = house.made.lanes.park

    async def fenced(*given: Any, **named: Any) -> None:
        await house.redis.set("ik:lane:acme/#ops:lease", "another holder")
        await park(*given, **named)

    house.made.lanes.park = fenced  # type: ignore[method-assign]
    assert (await house.tell(alert())).reason == "held by another worker by now"
    with pytest.raises(Fenced):
        await house.made.lanes.release(await _stale(house))


async def _stale(house: House) -> Any:
    from worker.store.held import Held

    return Held("acme/#ops", "stale", None, 0, 0, 0)


async def test_thousands_of_events_are_told_without_starving_other_lanes(house: House) -> None:
    await house.publish(*(alert(f"n{n}") for n in range(450)))
    await house.ingest()
    done = await house.drain(budget_s=0.5)
    assert (done.posts, done.told) == (1, 440)
    assert house.hand.slept.count(0) == 3
    assert (await house.balance()).merged == 439
    house.pass_time(2)
    assert (await house.drain(budget_s=60)).told == 10  # each by a card of its own

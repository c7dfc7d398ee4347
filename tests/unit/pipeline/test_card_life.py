"""The life of a card: from the first state to the last, whatever the filters say of the later ones."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from support.events import alert, cloud_event, workflow
from support.fake_slack import Posted
from support.pipeline import Pipeline, deliver_paced

from worker.domain.event import Severity
from worker.domain.subscription import Filters
from worker.services.deliveries import trace_event
from worker.store.redis_errors import StoreUnavailable

POST, EDIT = "chat.postMessage", "chat.update"


def resource(state: str, status: str, id_: str = "", **data: Any) -> dict[str, Any]:
    """Return a state of a resource."""
    details = {"resource_id": "r1", "name": "db", "state": state, "status": status, **data}
    return cloud_event("resource.state_changed", id_, details)


def cards(house: Pipeline) -> list[Posted]:
    """Return the messages of the channel, without replies."""
    return [post for post in house.slack.posts if not post.thread_ts]


def replies(house: Pipeline) -> list[str]:
    return [post.text for post in house.slack.posts if post.thread_ts]


async def play(house: Pipeline, *bodies: dict[str, Any]) -> None:
    for body in bodies:
        await deliver_paced(house, body)


async def close_cards(house: Pipeline) -> None:
    await house.app.sweeper.sweep()
    assert house.app.sweeper._closing
    await house.app.sweeper._closing


async def test_a_provisioning_from_its_approval_to_its_end_is_one_message(house: Pipeline) -> None:
    states = ("approval_pending", "ready", "queued", "in_progress")
    await play(house, *(resource("provision", status) for status in states))
    assert "in progress" in cards(house)[0].text
    assert replies(house) == []
    await play(house, resource("provisioned", "done"))
    assert [card.text for card in cards(house)] == ["✅ Resource db is provisioned"]
    await play(house, resource("provisioned", "in_progress"))
    assert [card.text for card in cards(house)][1:] == ["⏳ Resource db: update in progress"]


async def test_an_approval_that_waits_and_a_rejection_are_replies(house: Pipeline) -> None:
    await play(house, resource("provision", "pending"), resource("provision", "approval_pending"))
    assert ["waits for approval" in reply for reply in replies(house)] == [True]
    await play(house, resource("provision", "rejected"))
    assert replies(house)[1:] == ["🚫 Resource db: provisioning rejected"]
    assert [card.text for card in cards(house)] == ["🚫 Resource db: provisioning rejected"]
    assert "Recreate it to ask for approval again" in str(cards(house)[0].message.blocks)


async def test_a_destroy_is_a_message_of_its_own_until_it_is_done(house: Pipeline) -> None:
    await play(house, resource("provision", "ready"))
    await play(house, *(resource("destroy", status) for status in ("approval_pending", "ready", "in_progress")))
    await play(house, resource("destroyed", "done"))
    assert [card.text for card in cards(house)][1:] == ["✅ Resource db is destroyed"]


async def test_a_failure_a_retry_and_its_end_are_one_card_that_says_recovered(house: Pipeline) -> None:
    await play(house, resource("provision", "in_progress"), resource("provision", "error"))
    await play(house, resource("provision", "in_progress"), resource("provision", "error"))
    assert len(replies(house)) == 2, "a second failure is news again"
    await play(house, resource("provision", "in_progress"), resource("provisioned", "done"))
    assert len(cards(house)) == 1
    assert replies(house)[2] == "✅ Recovered: Resource db is provisioned"


async def test_a_resource_of_an_unknown_operation_stays_on_its_card(house: Pipeline) -> None:
    await play(house, resource("destroy", "ready"), resource("", "in_progress"), resource("destroyed", "done"))
    assert [card.text for card in cards(house)] == ["✅ Resource db is destroyed"]


async def test_a_resolved_alert_closes_its_card_whatever_its_start(house: Pipeline) -> None:
    await play(house, alert(starts_at="2026-01-01T00:00:00Z"))
    house.pass_time(3 * 86_400)
    ended = "2026-01-04T02:00:00Z"
    await play(house, alert(what="resolved", starts_at=ended, ends_at=ended))
    (card,) = cards(house)
    assert "disk full resolved" in card.text
    assert "*Lasted* 3 d 2 h" in str(card.message.blocks)
    assert len(replies(house)) == 1


async def test_a_recovery_reaches_a_subscription_to_failures(house: Pipeline) -> None:
    await house.subscribe(filters=Filters(min_severity=Severity.ERROR))
    await play(house, workflow(what="started"), workflow("18", what="started"))
    assert house.slack.posts == []
    await play(house, workflow(what="failed"), workflow("18", what="completed"))
    await play(house, workflow(what="started"), workflow(what="completed", id_="end"))
    assert [card.text for card in cards(house)] == ["✅ Workflow deploy completed"]
    assert ["Recovered" in reply for reply in replies(house)] == [True]
    (trace,) = await trace_event(house.app, "end")
    assert [item.reason for item in trace.deliveries] == ["follows its card: severity is info, below error"]
    await play(house, workflow(what="started"))
    assert (len(house.slack.posts), (await house.balance()).suppressed) == (2, 4), "the card has ended"


async def test_an_approval_that_mentions_someone_is_followed_and_mentions_no_more(house: Pipeline) -> None:
    waits = Filters(statuses=("approval_pending",))
    await house.subscribe(filters=waits, mention="<!here>", mention_from=Severity.INFO)
    await play(house, resource("provision", "approval_pending"))
    assert "<!here>" in cards(house)[0].text
    await play(house, resource("provision", "ready"))
    assert (len(house.slack.posts), "<!here>" in str(cards(house)[0].message)) == (1, False)
    await play(house, resource("destroy", "in_progress"))
    assert len(house.slack.posts) == 1, "another operation is not followed"


async def test_a_later_state_that_comes_before_its_card_is_posted_is_followed(house: Pipeline) -> None:
    await house.subscribe(filters=Filters(min_severity=Severity.ERROR))
    await house.publish(workflow(what="failed", error_message="no quota"))
    await house.ingest()
    await house.publish(workflow(what="started"))
    await house.ingest()
    house.pass_time(2)
    await house.drain()
    assert (house.slack.calls[POST], house.slack.calls[EDIT]) == (1, 1)
    assert "started" in cards(house)[0].text
    assert (await house.balance()).pending == 0


async def test_a_state_that_only_follows_is_not_posted_where_a_digest_showed_the_first(house: Pipeline) -> None:
    await house.subscribe(filters=Filters(min_severity=Severity.ERROR))
    await deliver_paced(house, workflow("1", what="failed"), workflow("2", what="failed"))
    await play(house, workflow("1", what="started", id_="again"))
    assert len(house.slack.posts) == 1
    (trace,) = await trace_event(house.app, "again")
    assert "no open card" in trace.deliveries[0].delivery.detail
    await play(house, workflow("1", what="completed"))
    assert "completed" in cards(house)[1].text, "a recovery is news"


@pytest.mark.parametrize("change", [{"paused": True}, {"muted_until_ms": 2**42}, {"style": "plain"}])
async def test_a_paused_muted_or_plain_subscription_follows_nothing(house: Pipeline, change: dict[str, Any]) -> None:
    failures: dict[str, Any] = {"filters": Filters(min_severity=Severity.ERROR)}
    await house.subscribe(**failures, **({} if "style" not in change else change))
    await play(house, workflow(what="failed"))
    await house.subscribe(**failures, **change)
    await play(house, workflow(what="completed"))
    assert len(house.slack.posts) == 1
    assert house.slack.calls[EDIT] == 0


async def test_a_batch_that_is_routed_again_after_later_events_makes_the_same_deliveries(house: Pipeline) -> None:
    await house.subscribe(filters=Filters(min_severity=Severity.ERROR))
    await house.app.stream.create_group()
    await house.publish(workflow(), workflow(what="failed"), workflow(), workflow(what="completed"), workflow())
    entries = await house._read()
    await house.app.ingest.process(entries)
    created = (await house.balance()).created
    await house.app.ingest.process(entries[:3])
    await house.app.ingest.process(entries[3:])
    balance = await house.balance()
    assert (created, balance.created, balance.suppressed) == (3, 3, 2)


async def test_a_replaced_card_is_closed_and_links_its_successor(house: Pipeline) -> None:
    await play(house, resource("provision", "in_progress"), resource("destroy", "in_progress"))
    await close_cards(house)
    old, new = cards(house)
    assert old.text == "⚪ Resource db: provisioning in progress"
    assert "<https://acme.slack.com/archives/C0000001/p1700000002000100|a newer message>" in str(old.message.blocks)
    assert "⏳" in new.text
    assert await house.redis.zcard("ik:replaced") == 0
    await close_cards(house)
    assert house.slack.calls[EDIT] == 1


async def test_a_failed_card_that_is_replaced_stays_red_and_a_finished_one_stays_as_it_is(house: Pipeline) -> None:
    await play(house, resource("provision", "error"), resource("destroy", "in_progress"))
    await play(house, resource("destroyed", "done"), resource("provision", "queued"))
    await close_cards(house)
    assert [card.text[0] for card in cards(house)] == ["❌", "✅", "⏳"]
    assert ["a newer message" in str(card.message) for card in cards(house)] == [True, False, False]


async def test_cards_replaced_by_a_digest_are_closed_too(house: Pipeline) -> None:
    start = {"starts_at": "2026-01-01T00:00:00Z"}
    await play(house, alert("a", **start), alert("b", **start))
    await deliver_paced(house, alert("a"), alert("b"), alert("a", starts_at="2026-01-02T00:00:00Z"), alert("c"))
    await close_cards(house)
    assert [card.text[0] for card in cards(house)] == ["⚪", "🔴", "3"]


@pytest.mark.parametrize(
    ("code", "left"),
    [("message_not_found", 0), ("is_archived", 0), ("ratelimited", 1), ("invalid_auth", 1), ("internal_error", 1)],
)
async def test_a_replaced_card_that_cannot_be_edited_now_is_tried_again(house: Pipeline, code: str, left: int) -> None:
    await play(house, resource("provision", "in_progress"), resource("destroy", "in_progress"))
    house.slack.ends(EDIT, code)
    await close_cards(house)
    assert await house.redis.zcard("ik:replaced") == left
    house.pass_time(61)
    await close_cards(house)
    assert (await house.redis.zcard("ik:replaced"), house.slack.calls[EDIT]) == (0, 1 + left)


async def test_a_replaced_card_waits_for_the_limit_of_edits_and_is_given_up_after_a_day(house: Pipeline) -> None:
    await play(house, resource("provision", "in_progress"), resource("destroy", "in_progress"))
    await house.app.rate_limiter.close_method("T0000001", EDIT, 30)
    await close_cards(house)
    assert (house.slack.calls[EDIT], await house.redis.zcard("ik:replaced")) == (0, 1)
    house.pass_time(86_500)
    await close_cards(house)
    assert (house.slack.calls[EDIT], await house.redis.zcard("ik:replaced")) == (0, 0)


async def test_a_replaced_card_without_its_event_or_integration_is_forgotten(house: Pipeline) -> None:
    await play(house, resource("provision", "in_progress"), resource("destroy", "in_progress"))
    await house.redis.delete(*await house.redis.keys("ik:event:*"))
    await close_cards(house)
    assert (house.slack.calls[EDIT], await house.redis.zcard("ik:replaced")) == (0, 0)


async def test_a_sender_s_clock_that_is_ahead_does_not_count_and_is_said(house: Pipeline) -> None:
    ahead = {**workflow(what="completed"), "time": "2030-01-01T00:00:00Z"}
    await play(house, ahead, workflow(what="failed"))
    assert "failed" in cards(house)[0].text
    assert "clock is ahead" not in str(cards(house)[0].message)
    await play(house, {**alert("a"), "time": "2030-01-01T00:00:00Z"})
    assert "clock is ahead" in str(cards(house)[1].message)


async def test_a_sweep_does_not_wait_for_cards_that_are_being_closed(house: Pipeline) -> None:
    begun, may_end = [], asyncio.Event()

    async def run() -> None:
        begun.append(1)
        await may_end.wait()

    house.app.sweeper.card_closer = SimpleNamespace(run=run)  # type: ignore[assignment]
    for _ in range(3):
        await house.app.sweeper.sweep()
    assert len(begun) == 1
    may_end.set()
    await close_cards(house)


@pytest.mark.parametrize("error", [StoreUnavailable(), KeyError("bug")])
async def test_an_error_while_cards_are_closed_is_logged(
    house: Pipeline, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        raise error

    house.app.sweeper.card_closer = SimpleNamespace(run=run)  # type: ignore[assignment]
    await close_cards(house)
    assert caplog.records

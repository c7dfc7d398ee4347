"""The option only_changes: a repeated state is not posted, a changed state is."""

from typing import Any

import pytest
from support.events import alert, workflow
from support.pipeline import Pipeline, deliver_paced

from worker.domain.delivery import Delivery, State
from worker.pipeline.delivery.planner import CARDS_PER_DIGEST

POST, EDIT = "chat.postMessage", "chat.update"
REPEATED, LATE = "the same state was already sent by", "a newer state was already sent by"


@pytest.fixture(params=["card", "plain"])
async def wary(house: Pipeline, request: pytest.FixtureRequest) -> Pipeline:
    """Return a pipeline whose subscription has only_changes."""
    await house.subscribe(style=request.param, only_changes=True)
    return house


@pytest.fixture
async def plain(house: Pipeline) -> Pipeline:
    await house.subscribe(style="plain", only_changes=True)
    return house


def at(time: int, body: dict[str, Any]) -> dict[str, Any]:
    """Return an event with its own time."""
    return {**body, "time": f"2026-01-01T00:00:{time:02}Z"}


async def last(house: Pipeline) -> Delivery:
    return (await house.deliveries())[-1]


def calls(house: Pipeline) -> int:
    return house.slack.calls[POST] + house.slack.calls[EDIT]


async def test_a_repeated_state_makes_no_call_and_names_the_message_that_shows_it(wary: Pipeline) -> None:
    await deliver_paced(wary, alert())
    await deliver_paced(wary, alert(summary="other words"))
    assert calls(wary) == 1
    first, repeat = await wary.deliveries()
    assert (repeat.state, repeat.merged_into, repeat.ts) == (State.MERGED, first.id, first.ts)
    assert repeat.detail == REPEATED


@pytest.mark.parametrize(
    "change",
    [alert(severity="warning"), alert(what="resolved"), alert(starts_at="2026-01-02T00:00:00Z")],
    ids=["severity", "status", "another time"],
)
async def test_a_changed_state_is_sent(wary: Pipeline, change: dict[str, Any]) -> None:
    await deliver_paced(wary, alert(starts_at="2026-01-01T00:00:00Z"))
    before = calls(wary)
    await deliver_paced(wary, change)
    assert calls(wary) > before
    assert (await last(wary)).state is State.DELIVERED


async def test_firing_again_after_it_was_resolved_is_a_change(wary: Pipeline) -> None:
    for what in ("firing", "resolved"):
        await deliver_paced(wary, alert(what=what))
    await deliver_paced(wary, alert())
    assert (await last(wary)).state is State.DELIVERED
    assert "resolved" not in wary.slack.posts[-1].text


async def test_a_failure_is_sent_once_however_often_it_is_reported(wary: Pipeline) -> None:
    await deliver_paced(wary, workflow())
    for _ in range(3):
        await deliver_paced(wary, workflow(what="failed", error_message="no quota"))
    assert sum("no quota" in one.text for one in wary.slack.posts if one.thread_ts) <= 1
    states = [one.state for one in await wary.deliveries()]
    assert states == [State.DELIVERED] * 2 + [State.MERGED] * 2


async def test_another_run_is_sent(wary: Pipeline) -> None:
    await deliver_paced(wary, workflow("1"))
    await deliver_paced(wary, workflow("2"))
    assert wary.slack.calls[POST] == 2


async def test_an_older_state_that_comes_late_is_skipped(wary: Pipeline) -> None:
    await deliver_paced(wary, at(9, alert(what="resolved")))
    await deliver_paced(wary, at(3, alert()))
    assert calls(wary) == 1
    assert (await last(wary)).detail == LATE


async def test_a_repeat_renews_the_time_of_the_shown_state(wary: Pipeline) -> None:
    """Otherwise an older resolution would be posted after the repeat."""
    await deliver_paced(wary, at(1, alert()))
    await deliver_paced(wary, at(9, alert()))
    await deliver_paced(wary, at(5, alert(what="resolved")))
    assert calls(wary) == 1


async def test_a_repeat_after_a_day_of_silence_is_sent(wary: Pipeline) -> None:
    await deliver_paced(wary, alert())
    wary.pass_time(86_401)
    await deliver_paced(wary, alert())
    assert wary.slack.calls[POST] == 2


async def test_an_event_without_an_entity_is_always_sent(wary: Pipeline) -> None:
    for _ in range(2):
        await deliver_paced(wary, workflow(""))
    assert wary.slack.calls[POST] == 2


async def test_a_state_that_a_digest_showed_is_not_sent_again(plain: Pipeline) -> None:
    await deliver_paced(plain, *(alert(f"disk {n}") for n in range(5)))
    done = await deliver_paced(plain, *(alert(f"disk {n}") for n in range(6)))
    assert plain.slack.calls[POST] == 2
    assert done.finished == 6
    assert "disk 5" in plain.slack.posts[-1].text
    first, *_ = await plain.deliveries()
    repeats = [one for one in await plain.deliveries() if one.detail == REPEATED]
    assert len(repeats) == 5
    assert {one.ts for one in repeats} == {first.ts}


async def test_a_pending_card_of_a_digest_is_posted(house: Pipeline) -> None:
    await house.subscribe(only_changes=True)
    alerts = [alert(f"disk {n}", severity="critical" if n < 15 else "warning") for n in range(50)]
    await deliver_paced(house, *alerts, budget_s=0)
    while (await house.balance()).pending:
        house.pass_time(2)
        await house.drain()
    assert house.slack.calls[POST] == 1 + CARDS_PER_DIGEST
    before = calls(house)
    await deliver_paced(house, *alerts)
    assert calls(house) == before


async def test_a_card_still_shows_the_status_of_its_steps(house: Pipeline) -> None:
    await house.subscribe(only_changes=True)

    def run(done: int) -> dict[str, Any]:
        steps = [{"name": f"s{n}", "position": n, "status": "done" if n < done else ""} for n in range(3)]
        return workflow(status="in_progress", steps=steps)

    for done in (0, 1, 2, 2):
        await deliver_paced(house, run(done))
    assert (house.slack.calls[POST], house.slack.calls[EDIT]) == (1, 2)


async def test_the_steps_of_a_run_are_no_messages_without_cards(plain: Pipeline) -> None:
    await deliver_paced(plain, workflow(status="in_progress"))
    await deliver_paced(plain, workflow(what="step_completed", status="in_progress"))
    assert plain.slack.calls[POST] == 1


async def test_a_subscription_without_the_option_still_gets_everything_in_the_same_channel(plain: Pipeline) -> None:
    await plain.subscribe(id_="all", style="plain")
    for _ in range(2):
        await deliver_paced(plain, alert())
    assert plain.slack.calls[POST] == 2


async def test_a_state_that_another_subscription_showed_there_counts(plain: Pipeline) -> None:
    await plain.subscribe(id_="cards")
    await deliver_paced(plain, alert())
    await plain.app.subscriptions.save_and_remove(remove=["cards"])
    await deliver_paced(plain, alert())
    assert calls(plain) == 1


async def test_a_state_in_another_conversation_does_not_count(wary: Pipeline) -> None:
    await deliver_paced(wary, alert())
    wary.slack.add_channel("C0000002", "other")
    await wary.redis.hset("ik:lane:acme/#ops", "address", "C0000002")
    await deliver_paced(wary, alert())
    assert wary.slack.calls[POST] == 2


async def test_a_reply_that_a_killed_worker_did_not_send_is_sent_although_the_state_is_a_repeat(
    house: Pipeline,
) -> None:
    await house.subscribe(only_changes=True)
    await deliver_paced(house, workflow())
    house.pass_time(2)
    await house.publish(workflow(what="failed", error_message="no quota"))
    await house.ingest()
    house.slack.ends(EDIT, lambda: house.stopped.append(True))
    await house.drain()
    house.stopped.clear()
    assert house.slack.calls[EDIT] == 1
    assert [one for one in house.slack.posts if one.thread_ts] == []
    await deliver_paced(house, workflow(what="failed", error_message="no quota"))
    assert len([one for one in house.slack.posts if one.thread_ts]) == 1

"""Only changes: a state that stands as it was last told is no message; what differs is told."""

from typing import Any

import pytest
from pipeline_house import House, alert, told, workflow

from worker.domain.delivery import Delivery, State
from worker.pipeline.fold import CARDS_OF_DIGEST

POST, EDIT = "chat.postMessage", "chat.update"
REPEATED, LATE = "its state was told already by", "a newer state was told already by"


@pytest.fixture(params=["card", "plain"])
async def wary(house: House, request: pytest.FixtureRequest) -> House:
    """Its one subscription wants to hear of changes only."""
    await house.subscribe(style=request.param, only_changes=True)
    return house


@pytest.fixture
async def plain(house: House) -> House:
    await house.subscribe(style="plain", only_changes=True)
    return house


def at(time: int, body: dict[str, Any]) -> dict[str, Any]:
    """An event with a time of its own."""
    return {**body, "time": f"2026-01-01T00:00:{time:02}Z"}


async def last(house: House) -> Delivery:
    return (await house.deliveries())[-1]


def calls(house: House) -> int:
    return house.slack.calls[POST] + house.slack.calls[EDIT]


async def test_the_same_state_again_makes_no_call_and_names_what_told_it(wary: House) -> None:
    await told(wary, alert())
    await told(wary, alert(summary="other words"))
    assert calls(wary) == 1
    first, repeat = await wary.deliveries()
    assert (repeat.state, repeat.merged_into, repeat.ts) == (State.MERGED, first.id, first.ts)
    assert repeat.detail == REPEATED


@pytest.mark.parametrize(
    "change",
    [alert(severity="warning"), alert(what="resolved"), alert(starts_at="2026-01-02T00:00:00Z")],
    ids=["severity", "status", "another time"],
)
async def test_what_differs_is_told(wary: House, change: dict[str, Any]) -> None:
    await told(wary, alert(starts_at="2026-01-01T00:00:00Z"))
    before = calls(wary)
    await told(wary, change)
    assert calls(wary) > before
    assert (await last(wary)).state is State.DELIVERED


async def test_firing_again_after_it_was_resolved_is_a_change(wary: House) -> None:
    for what in ("firing", "resolved"):
        await told(wary, alert(what=what))
    await told(wary, alert())
    assert (await last(wary)).state is State.DELIVERED
    assert "resolved" not in wary.slack.posts[-1].text


async def test_a_failure_is_told_once_however_often_it_is_reported(wary: House) -> None:
    await told(wary, workflow())
    for _ in range(3):
        await told(wary, workflow(what="failed", error_message="no quota"))
    assert sum("no quota" in one.text for one in wary.slack.posts if one.thread_ts) <= 1
    states = [one.state for one in await wary.deliveries()]
    assert states == [State.DELIVERED] * 2 + [State.MERGED] * 2


async def test_another_run_is_told(wary: House) -> None:
    await told(wary, workflow("1"))
    await told(wary, workflow("2"))
    assert wary.slack.calls[POST] == 2


async def test_an_older_state_that_comes_late_is_not_told(wary: House) -> None:
    await told(wary, at(9, alert(what="resolved")))
    await told(wary, at(3, alert()))
    assert calls(wary) == 1
    assert (await last(wary)).detail == LATE


async def test_a_repeat_is_as_new_as_it_says(wary: House) -> None:
    """Else a resolution from before it would be told after it."""
    await told(wary, at(1, alert()))
    await told(wary, at(9, alert()))
    await told(wary, at(5, alert(what="resolved")))
    assert calls(wary) == 1


async def test_after_a_day_of_silence_it_is_news_again(wary: House) -> None:
    await told(wary, alert())
    wary.pass_time(86_401)
    await told(wary, alert())
    assert wary.slack.calls[POST] == 2


async def test_what_names_nothing_is_always_told(wary: House) -> None:
    for _ in range(2):
        await told(wary, workflow(""))
    assert wary.slack.calls[POST] == 2


async def test_what_a_digest_told_is_not_told_again(plain: House) -> None:
    await told(plain, *(alert(f"disk {n}") for n in range(5)))
    done = await told(plain, *(alert(f"disk {n}") for n in range(6)))
    assert plain.slack.calls[POST] == 2
    assert done.told == 6
    assert "disk 5" in plain.slack.posts[-1].text
    first, *_ = await plain.deliveries()
    repeats = [one for one in await plain.deliveries() if one.detail == REPEATED]
    assert len(repeats) == 5
    assert {one.ts for one in repeats} == {first.ts}


async def test_a_card_that_a_digest_owes_is_made(house: House) -> None:
    await house.subscribe(only_changes=True)
    await told(house, *(alert(f"disk {n}") for n in range(50)), budget_s=0)
    while (await house.balance()).pending:
        house.pass_time(2)
        await house.drain()
    assert house.slack.calls[POST] == 1 + CARDS_OF_DIGEST
    before = calls(house)
    await told(house, *(alert(f"disk {n}") for n in range(50)))
    assert calls(house) == before


async def test_a_card_still_shows_how_far_its_steps_are(house: House) -> None:
    await house.subscribe(only_changes=True)

    def run(done: int) -> dict[str, Any]:
        steps = [{"name": f"s{n}", "position": n, "status": "done" if n < done else ""} for n in range(3)]
        return workflow(status="in_progress", steps=steps)

    for done in (0, 1, 2, 2):
        await told(house, run(done))
    assert (house.slack.calls[POST], house.slack.calls[EDIT]) == (1, 2)


async def test_the_steps_of_a_run_are_no_messages_without_cards(plain: House) -> None:
    await told(plain, workflow(status="in_progress"))
    await told(plain, workflow(what="step_completed", status="in_progress"))
    assert plain.slack.calls[POST] == 1


async def test_who_wants_everything_still_gets_it_in_the_same_channel(plain: House) -> None:
    await plain.subscribe(id_="all", style="plain")
    for _ in range(2):
        await told(plain, alert())
    assert plain.slack.calls[POST] == 2


async def test_what_another_subscription_told_there_is_known(plain: House) -> None:
    await plain.subscribe(id_="cards")
    await told(plain, alert())
    await plain.made.subscriptions.change(remove=["cards"])
    await told(plain, alert())
    assert calls(plain) == 1


async def test_in_another_conversation_nothing_was_told_yet(wary: House) -> None:
    await told(wary, alert())
    wary.slack.add_channel("C0000002", "other")
    await wary.redis.hset("ik:lane:acme/#ops", "address", "C0000002")
    await told(wary, alert())
    assert wary.slack.calls[POST] == 2


async def test_a_reply_that_a_killed_worker_owes_is_told_although_the_state_came_again(house: House) -> None:
    await house.subscribe(only_changes=True)
    await told(house, workflow())
    house.pass_time(2)
    await house.publish(workflow(what="failed", error_message="no quota"))
    await house.ingest()
    await house.drain(budget_s=0.5)
    assert house.slack.calls[EDIT] == 1
    assert [one for one in house.slack.posts if one.thread_ts] == []
    await told(house, workflow(what="failed", error_message="no quota"))
    assert len([one for one in house.slack.posts if one.thread_ts]) == 1

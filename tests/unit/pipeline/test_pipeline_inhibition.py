"""Workflows in place of resources: while a run's card goes on, nothing calm of its resources is told."""

from typing import Any

import pytest
from pipeline_house import House, alert, cloud_event, told, workflow

from worker.domain.delivery import Delivery, State

POST = "chat.postMessage"
HELD_BACK = "held back while its workflow's card is live, that of"


@pytest.fixture
async def calm(house: House) -> House:
    await house.subscribe(inhibit_resources=True)
    return house


def run(what: str = "started", *, second: int = 1, **data: Any) -> dict[str, Any]:
    """A workflow that works on the resources r0 and r1, and on one it does not name."""
    steps = [
        {"name": name, "position": place, "status": "in_progress", "resource_id": id_}
        for place, (name, id_) in enumerate((("one", "r0"), ("two", "r1"), ("other", None)))
    ]
    return {**workflow(what=what, steps=steps, **data), "time": f"2026-01-01T00:00:{second:02}Z"}


def resource(id_: str = "r0", status: str = "in_progress", *, second: int = 2) -> dict[str, Any]:
    data = {"resource_id": id_, "name": f"bucket {id_}", "state": "provision", "status": status}
    body = cloud_event("resource.state_changed", f"{id_}-{status}-{second}", data)
    return {**body, "time": f"2026-01-01T00:00:{second:02}Z"}


async def last(house: House) -> Delivery:
    return (await house.deliveries())[-1]


async def test_a_calm_state_is_merged_into_the_card_of_its_run(calm: House) -> None:
    await told(calm, run())
    await told(calm, resource())
    assert calm.slack.calls[POST] == 1
    card, held_back = await calm.deliveries()
    assert (held_back.state, held_back.merged_into, held_back.ts) == (State.MERGED, card.id, card.ts)
    assert held_back.detail == HELD_BACK


@pytest.mark.parametrize("status", ["error", "approval_pending", "rejected", "unknown"])
async def test_what_somebody_is_to_look_at_is_told(calm: House, status: str) -> None:
    await told(calm, run())
    await told(calm, resource(status=status))
    assert (await last(calm)).state is State.DELIVERED


async def test_what_was_told_goes_on_being_told(calm: House) -> None:
    """A card that stood at "failed" while the resource recovered would lie."""
    await told(calm, run())
    await told(calm, resource(status="error"))
    await told(calm, resource(status="done", second=3))
    assert (await last(calm)).detail != HELD_BACK
    assert calm.slack.calls["chat.update"] == 1


async def test_a_resource_of_another_run_is_told(calm: House) -> None:
    await told(calm, run())
    await told(calm, resource("r7"))
    assert calm.slack.calls[POST] == 2


async def test_once_the_run_is_over_its_resources_are_told_again(calm: House) -> None:
    await told(calm, run())
    await told(calm, run("completed", second=5))
    await told(calm, resource("r0", second=4))
    assert (await last(calm)).detail == HELD_BACK  # from before its end
    await told(calm, resource("r1", second=6))
    assert (await last(calm)).state is State.DELIVERED


async def test_after_a_day_of_silence_a_run_stands_for_nothing(calm: House) -> None:
    await told(calm, run())
    await told(calm, {**resource(), "time": "2026-01-02T00:00:02Z"})
    assert (await last(calm)).state is State.DELIVERED


async def test_a_run_and_its_resources_that_come_together_are_one_message(calm: House) -> None:
    await told(calm, run(), resource("r0"), resource("r1"))
    while (await calm.balance()).pending:
        calm.pass_time(2)
        await calm.drain()
    assert calm.slack.calls[POST] == 1
    assert [one.state for one in await calm.deliveries()] == [State.DELIVERED, State.MERGED, State.MERGED]


async def test_a_run_that_only_a_digest_told_stands_for_nothing(calm: House) -> None:
    """Its resources are told after it, for it has no card that shows how it goes on."""
    await told(calm, run(), resource(), *(alert(f"disk {n}") for n in range(50)), budget_s=0)
    while (await calm.balance()).pending:
        calm.pass_time(2)
        await calm.drain()
    assert HELD_BACK not in {each.detail for each in await calm.deliveries()}
    assert any("bucket r0" in post.text for post in calm.slack.posts)


async def test_others_of_the_channel_are_told_everything(house: House) -> None:
    await house.subscribe()
    await told(house, run())
    await told(house, resource())
    assert house.slack.calls[POST] == 2

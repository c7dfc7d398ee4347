"""The option inhibit_resources: while a run has a card, routine states of its resources are not posted."""

from typing import Any

import pytest
from support.events import alert, cloud_event, workflow
from support.pipeline import Pipeline, deliver_paced

from worker.domain.delivery import Delivery, State

POST = "chat.postMessage"
HELD_BACK = "held back while its workflow's card is live, that of"


@pytest.fixture
async def calm(house: Pipeline) -> Pipeline:
    await house.subscribe(inhibit_resources=True)
    return house


def run(what: str = "started", *, second: int = 1, **data: Any) -> dict[str, Any]:
    """Return a workflow with steps for the resources r0 and r1, and one for no resource."""
    steps = [
        {"name": name, "position": place, "status": "in_progress", "resource_id": id_}
        for place, (name, id_) in enumerate((("one", "r0"), ("two", "r1"), ("other", None)))
    ]
    return {**workflow(what=what, steps=steps, **data), "time": f"2026-01-01T00:00:{second:02}Z"}


def resource(id_: str = "r0", status: str = "in_progress", *, second: int = 2) -> dict[str, Any]:
    data = {"resource_id": id_, "name": f"bucket {id_}", "state": "provision", "status": status}
    body = cloud_event("resource.state_changed", f"{id_}-{status}-{second}", data)
    return {**body, "time": f"2026-01-01T00:00:{second:02}Z"}


async def last(house: Pipeline) -> Delivery:
    return (await house.deliveries())[-1]


async def test_a_routine_state_is_merged_into_the_card_of_its_run(calm: Pipeline) -> None:
    await deliver_paced(calm, run())
    await deliver_paced(calm, resource())
    assert calm.slack.calls[POST] == 1
    card, held_back = await calm.deliveries()
    assert (held_back.state, held_back.merged_into, held_back.ts) == (State.MERGED, card.id, card.ts)
    assert held_back.detail == HELD_BACK


@pytest.mark.parametrize("status", ["error", "approval_pending", "rejected", "unknown"])
async def test_a_state_that_needs_attention_is_sent(calm: Pipeline, status: str) -> None:
    await deliver_paced(calm, run())
    await deliver_paced(calm, resource(status=status))
    assert (await last(calm)).state is State.DELIVERED


async def test_a_resource_with_a_card_of_its_own_is_still_updated(calm: Pipeline) -> None:
    """A card that still showed "failed" after the resource recovered would be wrong."""
    await deliver_paced(calm, run())
    await deliver_paced(calm, resource(status="error"))
    await deliver_paced(calm, resource(status="done", second=3))
    assert (await last(calm)).detail != HELD_BACK
    assert calm.slack.calls["chat.update"] == 1


async def test_a_resource_of_another_run_is_sent(calm: Pipeline) -> None:
    await deliver_paced(calm, run())
    await deliver_paced(calm, resource("r7"))
    assert calm.slack.calls[POST] == 2


async def test_a_resource_is_sent_again_after_its_run_has_ended(calm: Pipeline) -> None:
    await deliver_paced(calm, run())
    await deliver_paced(calm, run("completed", second=5))
    await deliver_paced(calm, resource("r0", second=4))
    assert (await last(calm)).detail == HELD_BACK  # from before its end
    await deliver_paced(calm, resource("r1", second=6))
    assert (await last(calm)).state is State.DELIVERED


async def test_a_run_that_is_silent_for_a_day_covers_nothing(calm: Pipeline) -> None:
    await deliver_paced(calm, run())
    await deliver_paced(calm, {**resource(), "time": "2026-01-02T00:00:02Z"})
    assert (await last(calm)).state is State.DELIVERED


async def test_a_run_and_its_resources_in_one_batch_are_one_message(calm: Pipeline) -> None:
    await deliver_paced(calm, run(), resource("r0"), resource("r1"))
    while (await calm.balance()).pending:
        calm.pass_time(2)
        await calm.drain()
    assert calm.slack.calls[POST] == 1
    assert [one.state for one in await calm.deliveries()] == [State.DELIVERED, State.MERGED, State.MERGED]


async def test_a_run_without_a_card_covers_nothing(calm: Pipeline) -> None:
    """Its resources are posted after it, because it has no card that shows its progress."""
    await deliver_paced(calm, run(), resource(), *(alert(f"disk {n}") for n in range(50)), budget_s=0)
    while (await calm.balance()).pending:
        calm.pass_time(2)
        await calm.drain()
    assert HELD_BACK not in {each.detail for each in await calm.deliveries()}
    assert any("bucket r0" in post.text for post in calm.slack.posts)


async def test_a_subscription_without_the_option_gets_everything(house: Pipeline) -> None:
    await house.subscribe()
    await deliver_paced(house, run())
    await deliver_paced(house, resource())
    assert house.slack.calls[POST] == 2

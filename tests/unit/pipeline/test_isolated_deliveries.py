"""After a rejected digest each subject is posted alone, in its newest state."""

from typing import Any

from support.events import alert, workflow
from support.pipeline import Pipeline, deliver_paced

from worker.domain.delivery import State
from worker.domain.message_plan import PlannedCall
from worker.pipeline.delivery.planner import Batch, plan_calls

POST, EDIT = "chat.postMessage", "chat.update"
REFUSED = ("invalid_blocks", "invalid_blocks")  # as blocks, then as plain text


def at(time: int, what: str = "started", **data: Any) -> dict[str, Any]:
    """Return a state of a run with its own time."""
    return {**workflow("17", what, **data), "time": f"2026-01-01T00:00:{time:02}Z"}


async def drain_until_idle(house: Pipeline) -> None:
    """Drain the lane until no delivery is pending."""
    for _ in range(40):
        if not (await house.balance()).pending:
            return
        house.pass_time(10)
        await house.drain()
    raise AssertionError("something still waits")


async def test_an_isolated_subject_is_posted_in_its_newest_state_and_older_ones_are_merged(house: Pipeline) -> None:
    house.slack.ends(POST, *REFUSED)
    await deliver_paced(house, at(3, "step_completed"), alert(), at(9, "completed"), at(5, "step_completed"))
    await drain_until_idle(house)
    assert (len(house.slack.posts), house.slack.calls[EDIT]) == (2, 0)
    first, other, newest, late = await house.deliveries()
    assert [one.state for one in (first, other, newest, late)] == [
        State.MERGED, State.DELIVERED, State.DELIVERED, State.MERGED,
    ]  # fmt: skip
    assert {first.merged_into, late.merged_into} == {newest.id}


async def test_deliveries_after_the_isolated_ones_are_a_digest_again(house: Pipeline) -> None:
    house.slack.ends(POST, *REFUSED)
    await deliver_paced(house, alert("a"), alert("b"))
    await deliver_paced(house, alert("c"), alert("d"))
    await drain_until_idle(house)
    assert len(house.slack.posts) == 3


async def test_only_the_rejected_state_of_a_subject_is_a_dead_letter(house: Pipeline) -> None:
    house.slack.ends(POST, *REFUSED)
    await deliver_paced(house, at(3), at(9, "completed"), at(5, "step_completed"))
    await drain_until_idle(house)
    first, newest, later = await house.deliveries()
    assert (newest.state, newest.error) == (State.DEAD, "invalid_blocks")
    assert (later.state, first.state, first.merged_into) == (State.DELIVERED, State.MERGED, later.id)
    assert [len(await house.app.deliveries.list_attempts(one)) for one in (first, newest, later)] == [3, 2, 3]


async def test_a_delivery_that_cannot_be_planned_is_isolated_and_dead_lettered(house: Pipeline) -> None:
    def plan(batch: Batch) -> list[PlannedCall]:
        if any("poison" in delivery.event.title for delivery in batch.deliveries):
            raise RuntimeError("a bug")
        return plan_calls(batch)

    await house.publish(alert("a"), alert("poison"), alert("b"))
    await house.ingest()
    for _ in range(40):
        if not (await house.balance()).pending:
            break
        house.pass_time(10)
        await house.drain(plan=plan)
    assert [one.state for one in await house.deliveries()] == [State.DELIVERED, State.DEAD, State.DELIVERED]

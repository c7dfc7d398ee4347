"""After a refused message of several things each is told alone, in its newest state."""

from collections.abc import Sequence
from typing import Any

import pytest
from pipeline_house import House, alert, told, workflow

import worker.pipeline.telling as telling_module
from worker.domain.delivery import State
from worker.domain.folding import Told
from worker.pipeline.fold import choose

POST, EDIT = "chat.postMessage", "chat.update"
REFUSED = ("invalid_blocks", "invalid_blocks")  # as blocks, then as plain text


def at(time: int, what: str = "started", **data: Any) -> dict[str, Any]:
    """A state of one run at a time of its own."""
    return {**workflow("17", what, **data), "time": f"2026-01-01T00:00:{time:02}Z"}


async def settle_down(house: House) -> None:
    """Until nothing waits."""
    for _ in range(40):
        if not (await house.balance()).pending:
            return
        house.pass_time(10)
        await house.drain()
    raise AssertionError("something still waits")


async def test_a_thing_is_told_in_its_newest_state_and_what_is_older_is_merged(house: House) -> None:
    house.slack.ends(POST, *REFUSED)
    await told(house, at(3, "step_completed"), alert(), at(9, "completed"), at(5, "step_completed"))
    await settle_down(house)
    assert (len(house.slack.posts), house.slack.calls[EDIT]) == (2, 0)
    first, other, newest, late = await house.deliveries()
    assert [one.state for one in (first, other, newest, late)] == [
        State.MERGED, State.DELIVERED, State.DELIVERED, State.MERGED,
    ]  # fmt: skip
    assert {first.merged_into, late.merged_into} == {newest.id}


async def test_together_again_is_told_what_comes_after_the_last_of_them(house: House) -> None:
    house.slack.ends(POST, *REFUSED)
    await told(house, alert("a"), alert("b"))
    await told(house, alert("c"), alert("d"))
    await settle_down(house)
    assert len(house.slack.posts) == 3


async def test_of_one_thing_only_the_state_that_is_refused_is_a_dead_letter(house: House) -> None:
    house.slack.ends(POST, *REFUSED)
    await told(house, at(3), at(9, "completed"), at(5, "step_completed"))
    await settle_down(house)
    first, newest, later = await house.deliveries()
    assert (newest.state, newest.error) == (State.DEAD, "invalid_blocks")
    assert (later.state, first.state, first.merged_into) == (State.DELIVERED, State.MERGED, later.id)
    assert [len(await house.made.deliveries.attempts(one)) for one in (first, newest, later)] == [3, 2, 3]


async def test_a_thing_that_cannot_even_be_chosen_stands_alone_at_last(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def choosing(some: Sequence[Told], *about: Any, **more: Any) -> Any:
        if any("poison" in one.event.title for one in some):
            raise RuntimeError("a fault")
        return choose(some, *about, **more)

    monkeypatch.setattr(telling_module, "choose", choosing)
    await told(house, alert("a"), alert("poison"), alert("b"))
    await settle_down(house)
    assert [one.state for one in await house.deliveries()] == [State.DELIVERED, State.DEAD, State.DELIVERED]

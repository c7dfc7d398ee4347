"""A parked lane goes on because a person says so."""

import difflib
from typing import TYPE_CHECKING

from worker.asking.wording import count
from worker.domain.delivery import lane_parts
from worker.domain.errors import Missing, Problem
from worker.store.ledger import take_census

if TYPE_CHECKING:
    from worker.bootstrap import Services


async def resumed(made: "Services", written: str) -> str:
    """What was done; Problem when the lane is none, or what stops it is not the lane's."""
    lane = await _named(made, written)
    one = next((one for one in await made.parked.all() if one.lane == lane), None)
    if one is None:
        return f"{lane} is not parked: there is nothing to resume."
    if one.whole_integration:
        raise Problem(f"{lane} waits for its integration, not for its channel: {one.detail}. {one.hint}")
    _, wake = await made.lanes.resume(lane, certain=False)
    if wake:
        await made.sweep.wake([lane])
    waiting = count(one.pending, "delivery", "deliveries")
    return f"{lane} goes on, {waiting} to tell. If it cannot, it parks again: `ik-slack parked list`."


async def _named(made: "Services", written: str) -> str:
    """The lane a person means; Missing when there is none, Problem when there are several."""
    _, lanes = await take_census(made.server)
    known = sorted({one.lane for one in lanes} | {one.lane for one in await made.subscriptions.all()})
    matching = [one for one in known if one == written] or [
        one for one in known if lane_parts(one)[1] == written
    ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise Problem(f"Several lanes go to {written}; say which: {', '.join(matching)}.")
    similar = difflib.get_close_matches(written, known, n=3)
    did_you_mean = f"did you mean {' or '.join(similar)}?" if similar else "see `ik-slack parked list`."
    raise Missing(f"There is no lane {written!r}: {did_you_mean}")

"""Pace: waits for the slot that lets one message into one conversation."""

from worker.domain.errors import NotYet
from worker.pipeline.gateway import Sleep
from worker.store.pace import Pace


async def pace(allowances: Pace, workspace: str, channel: str, *, longest_s: float, sleep: Sleep) -> float:
    """How long it waited, in seconds; NotYet when the slot is further away than `longest_s`."""
    slot = await allowances.slot_to_post(workspace, channel, longest_s=max(longest_s, 0.0))
    if not slot.booked:
        raise NotYet(slot.wait_s, "waits for its slot")
    if slot.wait_s:
        await sleep(slot.wait_s)
    return slot.wait_s

"""Changing subscriptions in one step, and what waits for those that are removed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from worker.asking.wording import count
from worker.domain.subscription import Subscription

if TYPE_CHECKING:
    from worker.bootstrap import Services


async def change_subscriptions(
    made: "Services", *, save: Sequence[Subscription] = (), gone: Sequence[Subscription] = ()
) -> int:
    """Write and remove rules in one step; what waits for removed ones is discarded: how many deliveries.

    What is being posted at that moment is left alone.
    """
    if not save and not gone:
        return 0
    await made.subscriptions.change(save=save, remove=[one.id for one in gone])
    lost = [await made.lanes.forget(one.lane, one.id) for one in gone]
    used = {one.lane for one in await made.subscriptions.all()}
    await made.lanes.unpin(sorted({one.lane for one in gone} - used))
    return sum(lost)


def discarded(lost: int) -> str:
    """What became of what waited, as a further sentence; nothing when nothing did."""
    return f" {count(lost, 'delivery', 'deliveries')} that waited: discarded." if lost else ""

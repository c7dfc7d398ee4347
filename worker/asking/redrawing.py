"""What a delivery tells, drawn anew: its message, and the deliveries that were told with it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from worker.asking.previewing import sent_of, told_by
from worker.domain.delivery import Delivery, State
from worker.domain.subscription import Subscription
from worker.pipeline.reading import event_of
from worker.store.pages import Where

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.slack.blocks import JsonObject

LOOKED_AT = 100


async def told_with(made: "Services", delivery: Delivery) -> list[Delivery]:
    """Deliveries that were merged into its message when that was posted, oldest first.

    Nothing leads from one to the others, so the lane's so many before it was told are looked at, and no more.
    """
    if delivery.state is not State.DELIVERED or not delivery.finished_at_ms:
        return []
    before = f"{delivery.finished_at_ms + 1}-0"
    page = await made.deliveries.page(Where(lane=delivery.lane), before, LOOKED_AT)
    return [one for one in reversed(page.rows) if one.merged_into == delivery.id]


async def message_of(made: "Services", deliveries: Sequence[Delivery]) -> "JsonObject | None":
    """What would be posted for these together now; None when none of their events is kept."""
    events, subscriptions = await asyncio.gather(
        asyncio.gather(*(event_of(made.events, one.event_ref) for one in deliveries)), _as_told(made)
    )
    told = [
        told_by(one.id, event, subscriptions.get(one.subscription_id))
        for one, event in zip(deliveries, events, strict=True)
        if event
    ]
    return sent_of(told, made.settings.infrakitchen_url or "")[0]


async def _as_told(made: "Services") -> Mapping[str, Subscription]:
    """All subscriptions with the templates they are told by."""
    integrations = {one.id: one for one in await made.integrations.all()}
    return {
        one.id: one.written(integrations[one.integration_id].template) or one
        for one in await made.subscriptions.all()
        if one.integration_id in integrations
    }

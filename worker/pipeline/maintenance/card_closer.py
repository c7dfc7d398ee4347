"""Card closer: edits cards that a newer message replaced, so that they no longer look as if they went on."""

import logging
from dataclasses import dataclass

from worker.domain.delivery import lane_parts
from worker.domain.errors import Blocked, Scope, SlackError, Throttled, Undeliverable
from worker.domain.message_plan import CallKind
from worker.pipeline.delivery.event_loader import event_of
from worker.pipeline.gateway import Gateway
from worker.rendering.message_builder import limited
from worker.rendering.single import replaced
from worker.store.cards import ReplacedCard, ReplacedCards
from worker.store.events import Events
from worker.store.integrations import Connection, Integrations
from worker.store.rate_limiter import RateLimiter
from worker.telemetry import log_event

log = logging.getLogger("worker.cards")

BATCH = 10


@dataclass(slots=True, kw_only=True)
class CardCloser:
    """Edits each replaced card once, beside the lanes: no post waits for it."""

    cards: ReplacedCards
    events: Events
    integrations: Integrations
    rate_limiter: RateLimiter
    gateway: Gateway
    edits_per_minute: float
    infrakitchen_url: str

    async def run(self) -> None:
        """Close the cards that are due; one that Slack cannot edit now is tried again later."""
        due = await self.cards.claim_due(limit=BATCH)
        connections = await self.integrations.get_connections() if due else {}
        for stored, card in due.items():
            if await self._close(card, connections.get(lane_parts(card.lane)[0])):
                await self.cards.remove(stored)

    async def _close(self, card: ReplacedCard, connection: Connection | None) -> bool:
        """Edit a card; return whether nothing is left to do."""
        event = await event_of(self.events, card.card.event)
        if event is None or connection is None or connection.token is None:
            return True
        integration = connection.integration
        slot = await self.rate_limiter.book_method_slot(
            integration.workspace_id, CallKind.EDIT.method, self.edits_per_minute, max_wait_s=0.0
        )
        if not slot.booked:
            return False
        url = integration.message_url(card.successor.channel, card.successor.ts)
        try:
            message = limited(replaced(event, url, infrakitchen_url=self.infrakitchen_url))
            await self.gateway.edit(connection.token, card.card.receipt, message)
        except SlackError as error:
            log_event(log, logging.WARNING, "replaced card not edited", lane=card.lane, code=error.code)
            if isinstance(error, Throttled):
                method = CallKind.EDIT.method
                await self.rate_limiter.close_method(integration.workspace_id, method, error.retry_after_s)
            is_of_lane = isinstance(error, Blocked) and error.scope is Scope.LANE
            return isinstance(error, Undeliverable) or is_of_lane
        return True

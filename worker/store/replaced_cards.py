"""Replaced cards: those that go on in a newer message, until the sweeper has edited them to say so."""

import json
from dataclasses import dataclass

from worker.domain.card import Card, pack_card, unpack_card
from worker.domain.delivery import Receipt
from worker.store.redis_client import RedisStore, texts

AGAIN_IN_MS, GIVE_UP_MS = 60_000, 86_400_000


@dataclass(frozen=True, slots=True)
class ReplacedCard:
    """A card and the message in which its subject goes on."""

    lane: str
    card: Card
    successor: Receipt

    def pack(self) -> str:
        """Encode it for the store."""
        return json.dumps([self.lane, pack_card(self.card), self.successor.channel, self.successor.ts])

    @classmethod
    def unpack(cls, packed: str) -> "ReplacedCard":
        """Decode what `pack` encoded."""
        lane, card, channel, ts = json.loads(packed)
        return cls(lane, unpack_card(card), Receipt(channel, ts))


class ReplacedCards(RedisStore):
    """The replaced cards that are still to be edited, each behind the time in ms when it was replaced."""

    async def claim_due(self, *, limit: int) -> dict[str, ReplacedCard]:
        """Return cards that are due, by the text to remove them by; each is due again later, and given up in a day."""
        key, now_ms = self._keys.named("replaced"), await self._server.now_ms()
        due = texts(await self._server.command("ZRANGEBYSCORE", key, "-inf", now_ms, "LIMIT", 0, limit))
        old = [stored for stored in due if int(stored.partition(" ")[0]) < now_ms - GIVE_UP_MS]
        again = [("ZADD", key, "XX", now_ms + AGAIN_IN_MS, stored) for stored in due]
        await self._server.pipeline([*again, *(("ZREM", key, stored) for stored in old)])
        return {stored: ReplacedCard.unpack(stored.partition(" ")[2]) for stored in due if stored not in old}

    async def remove(self, stored: str) -> None:
        """Remove a card that was edited, or cannot be."""
        await self._server.command("ZREM", self._keys.named("replaced"), stored)

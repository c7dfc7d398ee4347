"""Followed cards, whose subscriptions get every later state, and replaced cards, which go on in a newer message."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.domain.card import Card, FollowedCard, pack_card, unpack_card
from worker.domain.delivery import Receipt, stable_hash
from worker.store.redis_client import RedisClient, RedisStore, Value, fields, texts

AGAIN_IN_MS, GIVE_UP_MS = 60_000, 86_400_000
PLACE_LENGTH = 41
FollowedBySubject = Mapping[str, Mapping[str, FollowedCard]]
"""By subject key and subscription id."""


class FollowedCards(RedisStore):
    """The followed cards; ingest writes them before the deliveries, so that a crash forgets no card."""

    def __init__(self, server: RedisClient, *, retention_s: float) -> None:
        super().__init__(server)
        self._retention_ms = int(retention_s * 1000)

    async def find(self, subject_keys: Sequence[str]) -> dict[str, dict[str, FollowedCard]]:
        """Return the followed cards of these subjects."""
        stored = await self._server.pipeline([("HGETALL", self._key(key)) for key in subject_keys])
        return {
            key: {subscription_id: _parse(text) for subscription_id, text in fields(reply).items()}
            for key, reply in zip(subject_keys, stored, strict=True)
        }

    async def save(self, followed: FollowedBySubject) -> None:
        """Save followed cards; one that a later event changed stays as it is."""
        await asyncio.gather(*(self._save(key, cards) for key, cards in followed.items()))

    async def _save(self, subject_key: str, cards: Mapping[str, FollowedCard]) -> None:
        arguments: list[Value] = [self._retention_ms, PLACE_LENGTH]
        for subscription_id, card in cards.items():
            ended = f"{card.ended or '-'}|{card.destination}"
            arguments += subscription_id, f"{card.changed} {card.opened} {ended} {card.episode}"
        await self._server.run_script("followed_save", (self._key(subject_key),), arguments)

    def _key(self, subject_key: str) -> str:
        return self._keys.named("followed", stable_hash(subject_key))


def _parse(text: str) -> FollowedCard:
    _, opened, ended, episode = text.split(" ", 3)
    ended, _, destination = ended.partition("|")
    return FollowedCard(opened, episode, "" if ended == "-" else ended, destination)


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
    """The replaced cards that the sweeper is still to edit, each behind the time in ms when it was replaced."""

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

"""Followed cards as stored: by subject, the subscriptions that get its later states whatever their filters say."""

import asyncio
from collections.abc import Mapping, Sequence

from worker.domain.delivery import stable_hash
from worker.domain.followed_card import FollowedCard
from worker.store.redis_client import RedisClient, RedisStore, Value, fields

FollowedBySubject = Mapping[str, Mapping[str, FollowedCard]]
"""By subject key and subscription id."""

PLACE_LENGTH = 41


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

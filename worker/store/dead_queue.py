"""The queue `dead_letters` of the broker: read and thinned out here, filled by Celery, consumed by nobody."""

import json
from collections.abc import Collection

from worker.store.server import Server

PREFIX = "dead-"


class DeadQueue:
    """What Flower's Broker page counts: one Celery message per dead letter, told apart by its task id."""

    def __init__(self, broker: Server, name: str) -> None:
        self._broker = broker
        self._name = name

    async def ids(self) -> dict[str, list[bytes]]:
        """The dead letters that lie in the queue, with their messages as they are."""
        found: dict[str, list[bytes]] = {}
        for message in await self._broker.command("LRANGE", self._name, 0, -1):
            found.setdefault(_task_id(message).removeprefix(PREFIX), []).append(message)
        return found

    async def remove(self, messages: Collection[bytes]) -> None:
        """Take messages out."""
        await self._broker.each([("LREM", self._name, 0, message) for message in messages])

    async def length(self) -> int:
        """How many lie there."""
        return int(await self._broker.command("LLEN", self._name))


def _task_id(message: bytes) -> str:
    """A Celery message's task id; one that is not Celery's has none."""
    try:
        return str(json.loads(message)["headers"]["id"])
    except (ValueError, KeyError, TypeError):
        return ""

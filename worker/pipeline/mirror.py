"""Mirror: the queue `dead_letters` shows what the store knows; the store is the truth, Flower the view.

Compared and corrected, never counted along: a crash, a flushed queue or a replay is mended by the next look.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from worker.store.dead_letters import DeadLetter, DeadLetters
from worker.store.dead_queue import DeadQueue
from worker.telemetry import say

log = logging.getLogger("worker.mirror")

LOOK_EVERY_S, LOOK_ANYWAY_S = 2.0, 60.0
SHOWN_MOST = 10_000
AT_ONCE = 200


@dataclass(slots=True)
class Mirror:
    """Publishes a `slack.dead_letter` for each dead letter; takes it out when it is replayed or discarded."""

    dead_letters: DeadLetters
    queue: DeadQueue
    publish: Callable[[list[DeadLetter]], Awaitable[None]]
    clock: Callable[[], float]
    _seen: int = -1
    _look_at: float = 0.0
    _anyway_at: float = 0.0

    async def look(self) -> None:
        """Compare when something changed, and now and then anyway."""
        now = self.clock()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        changes = await self.dead_letters.changes()
        if changes == self._seen and now < self._anyway_at:
            return
        if await self.correct():
            self._seen, self._anyway_at = changes, now + LOOK_ANYWAY_S

    async def correct(self) -> bool:
        """Make the queue hold exactly the newest dead letters: whether that is done."""
        wanted = await self.dead_letters.ids(most=SHOWN_MOST)
        lying = await self.queue.ids()
        known = set(wanted)
        stale = [message for id_, messages in lying.items() if id_ not in known for message in messages]
        twice = [message for id_, messages in lying.items() if id_ in known for message in messages[1:]]
        if stale or twice:
            await self.queue.remove(set(stale) | set(twice))
        missing = [id_ for id_ in reversed(wanted) if id_ not in lying]
        letters = [letter for id_ in missing[:AT_ONCE] if (letter := await self.dead_letters.find(id_))]
        if letters:
            await self.publish(letters)
            say(log, logging.INFO, "dead letters shown in Flower", letters=len(letters))
        return len(missing) <= AT_ONCE

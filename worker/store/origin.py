"""Origin: since when Redis holds the data of this installation, and in which layout.

Redis may come back without its data: persistence was off, or its files went. Whoever is running then notices,
and says so. A version that does not know the layout of the keys keeps its hands off them.
"""

import asyncio
import logging
import secrets
from dataclasses import dataclass

from worker.domain.errors import Problem
from worker.store.server import Server, Unavailable, texts
from worker.telemetry import say

log = logging.getLogger("worker.origin")

LAYOUT = 1
"""Of the keys as `store/keys.py` lists them. A change that older versions would misread makes it one more."""

LOOK_S = 2.0
LOST = "Redis came back without its data"
MEND = (
    "What waited then is lost: publish it again. Make the integrations and subscriptions again too "
    "(`ik-slack integrations add`, `ik-slack subscriptions apply`), and turn on Redis's append-only file."
)


@dataclass(frozen=True, slots=True)
class Data:
    """`lost_ms` is when earlier data were seen to be gone; 0 for never."""

    id: str
    began_ms: int
    lost_ms: int


class Origin:
    """Looked at by each process as long as it runs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen = ""

    async def look(self) -> Data:
        """The data as they are now; says it once when those seen before are gone.

        Problem when a newer version of ours has written them.
        """
        new, name = secrets.token_hex(8), self._server.keys.named("origin")
        answer = await self._server.script("origin", (name,), (new, self._seen, LAYOUT))
        id_, layout, began_ms, lost_ms = texts(answer)
        if int(layout) > LAYOUT:
            raise Problem(
                f"Redis holds data of a newer version of infrakitchen-slack under KEY_PREFIX "
                f"{self._server.keys.prefix} (layout {layout}, this version knows {LAYOUT}): "
                "install the newer version again, or set another KEY_PREFIX."
            )
        if self._seen and id_ == new:
            say(log, logging.CRITICAL, LOST, mend=MEND)
        self._seen = id_
        return Data(id_, int(began_ms), int(lost_ms or 0))

    async def require(self) -> None:
        """Problem when this version must not touch the data; a Redis that is away is looked at later."""
        try:
            async with asyncio.timeout(LOOK_S):
                await self.look()
        except (TimeoutError, Unavailable):
            return

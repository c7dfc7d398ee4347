"""`ik-slack bridge` that stops between writing messages to Redis and acknowledging them, where a kill hurts most.

It pauses at the write PAUSE_AT for PAUSE_S seconds, and prints PAUSED first.
"""

import asyncio
import os
from typing import Any

from worker.cli import main
from worker.store import bridge

PAUSED = "written, not acknowledged"


class PausingStore(bridge.BridgeStore):
    """The bridge's store with the pause."""

    left = int(os.environ.get("PAUSE_AT", "0"))

    async def take(self, *arguments: Any) -> bridge.TakeResult:
        taken = await super().take(*arguments)
        self.left -= 1
        if self.left == 0:
            print(PAUSED, flush=True)
            await asyncio.sleep(float(os.environ["PAUSE_S"]))
        return taken


if __name__ == "__main__":
    bridge.BridgeStore = PausingStore  # type: ignore[misc]
    main()

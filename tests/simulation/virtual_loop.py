"""An event loop whose time is made up: when nothing is ready it jumps to the next timer, so nothing waits."""

import asyncio
from collections.abc import Callable
from typing import Any


class Stuck(Exception):
    """Nothing is ready and no timer runs: the simulation would wait for ever."""


class _NoSelector:
    """A selector without sockets."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is ready and no timer runs")
        self._loop.now_s += timeout
        self._loop.moved()
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in asyncio's own order, in no time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.moved: Callable[[], object] = lambda: None
        self._selector = _NoSelector(self)

    def time(self) -> float:
        return self.now_s

    def _process_events(self, event_list: list[Any]) -> None:
        """No socket, no events."""

    def _write_to_self(self) -> None:
        """Do nothing: no other thread wakes this loop."""

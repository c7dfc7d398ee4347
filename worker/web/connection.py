"""Connections: one that brings no whole head of a request in time is closed.

Without that, whoever opens as many as are served at once, and says nothing, keeps everybody else out: uvicorn
itself waits for ever for the first request, and for the rest of a head.
"""

from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0


class Connection(H11Protocol):
    """Looks every `HEAD_S` whether it has waited since the last look."""

    _next_look: TimerHandle

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """From now on it waits."""
        super().connection_made(transport)
        self._look_later(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is to be looked at any more."""
        self._next_look.cancel()
        super().connection_lost(exc)

    def _look_later(self, waited_for: object) -> None:
        self._next_look = self.loop.call_later(HEAD_S, self._look, waited_for)

    def _look(self, waited_for: object) -> None:
        now = self._waits_for()
        if now is not None and now is waited_for:
            self.transport.close()
        else:
            self._look_later(now)

    def _waits_for(self) -> object:
        """What was answered last before it began to wait, itself if nothing was; None while it answers."""
        if self.cycle is None:
            return self
        return self.cycle if self.cycle.response_complete else None

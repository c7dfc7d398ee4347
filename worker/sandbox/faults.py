"""Faults on demand: what Slack, or the network before it, does wrong for the next few calls."""

from dataclasses import dataclass

from worker.sandbox.state import Json

# Faults of the wire. Any other name is an error code that Slack answers as it is.
NOT_STORED = frozenset(
    {"http_500", "http_502_html", "http_503_text", "ratelimited", "rate_limited"}
    | {"reset_before", "close_before", "hang"}
)
STORED = frozenset(
    {"reset_after", "close_after", "slow", "bad_json", "truncated_json", "empty_body", "json_list"}
)


@dataclass(slots=True)
class Fault:
    """One fault waiting for its calls. `times` 0 is until it is cleared; `channel` empty is any.

    `stored` says whether the call takes effect although its answer is spoilt.
    """

    name: str
    method: str
    channel: str
    times: int
    retry_after_s: float
    delay_s: float
    stored: bool

    def meets(self, method: str, channels: set[str]) -> bool:
        """Whether a call of this method to a channel, in any of its spellings, gets this fault."""
        return self.method in (method, "*") and (not self.channel or self.channel in channels)


class Faults:
    """The faults still to come, first in, first met."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Have a fault wait for its calls."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """No more faults."""
        self._waiting.clear()

    def __len__(self) -> int:
        return len(self._waiting)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def next(self, method: str, channels: set[str]) -> Fault | None:
        """The fault this call meets, if any; its count goes down."""
        for fault in self._waiting:
            if fault.meets(method, channels):
                if fault.times == 1:
                    self._waiting.remove(fault)
                fault.times -= 1 if fault.times else 0
                return fault
        return None

    def told(self) -> list[Json]:
        """The faults still to come, as JSON."""
        return [
            {"name": f.name, "method": f.method, "channel": f.channel, "times": f.times}
            for f in self._waiting
        ]

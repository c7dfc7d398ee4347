"""Patience: who was wrong too often waits, longer with each further time.

In the memory of one process: a restart forgets it, and each process counts for itself.
"""

from collections.abc import Callable

FREE = 10
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0
FORGOTTEN_AFTER_S = 900.0
REMEMBERED_MOST = 10_000


class Patience:
    """Counts failures by address; the oldest are forgotten when there are very many."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}

    def wait_s(self, address: str) -> float:
        """How long this address is to wait by now; 0 when it may try."""
        times, last_s = self._failures.get(address, (0, 0.0))
        over = times - FREE
        if over < 0:
            return 0.0
        wait_s = min(FIRST_WAIT_S * 2.0 ** min(over, 20), LONGEST_WAIT_S)
        return max(last_s + wait_s - self._clock(), 0.0)

    def failed(self, address: str) -> None:
        """Once more."""
        now_s = self._clock()
        times, last_s = self._failures.pop(address, (0, now_s))
        again = 1 if now_s - last_s > FORGOTTEN_AFTER_S else times + 1
        self._failures[address] = again, now_s  # last in the order of the dictionary
        if len(self._failures) > REMEMBERED_MOST:
            del self._failures[next(iter(self._failures))]

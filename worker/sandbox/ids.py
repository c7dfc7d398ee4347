"""Ids, tokens and timestamps that look like Slack's."""

import base64
import hashlib
import string
import time
from collections import Counter
from collections.abc import Callable

LETTERS = string.ascii_uppercase + string.digits


class Clock:
    """Message timestamps: the wall clock, each one later than the last."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._last_us = 0

    def ts(self) -> str:
        """A `ts` no message had before."""
        self._last_us = max(int(self._now() * 1_000_000), self._last_us + 1)
        return f"{self._last_us // 1_000_000}.{self._last_us % 1_000_000:06d}"


class Ids:
    """Ids of one workspace: they follow from what they name, so a restarted sandbox gives the same."""

    def __init__(self, workspace: str) -> None:
        self._workspace = workspace
        self._made: Counter[str] = Counter()

    def next(self, prefix: str, what: str) -> str:
        """An id such as `C0…`; another one each time, also for a thing that was there before."""
        number = self._number(f"{prefix} {what}")
        return prefix + "0" + "".join(LETTERS[number // 36**n % 36] for n in range(9))

    def token(self) -> str:
        """A bot token of the usual form."""
        number = self._number("token")
        secret = base64.b32encode(number.to_bytes(20, "big")).decode()[:24]
        return f"xoxb-{number % 10**12:012d}-{number // 10**12 % 10**12:012d}-{secret}"

    def _number(self, what: str) -> int:
        self._made[what] += 1
        text = f"{self._workspace}/{what}/{self._made[what]}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=20).digest(), "big")

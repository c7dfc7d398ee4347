"""Sessions: who is logged in to the console, and how often a password was tried.

They live here and not in signed cookies, so that any web process knows them, a logout ends them at once, and
another password ends all. A session's name is made of the cookie's value and cannot be turned back into it:
whoever reads Redis has no session.
"""

from dataclasses import dataclass

from worker.store.server import Server

IDLE_MS = 8 * 3_600_000
LONGEST_MS = 24 * 3_600_000
KNOWN_S = 90 * 86_400
TRIES_COUNT_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Tries:
    """How many tries are free, and how long the longest wait between the others is."""

    free: int
    longest_ms: int


OF_AN_ADDRESS = Tries(free=5, longest_ms=300_000)
OF_ALL = Tries(free=50, longest_ms=30_000)


class Sessions:
    """Open, look, close; and the growing waits between tries of a password."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys = server.keys

    async def open(self, name: str) -> None:
        """From now on it is a session."""
        await self._server.command(
            "SET", self._keys.session(name), await self._server.now_ms(), "PX", IDLE_MS
        )

    async def is_open(self, name: str) -> bool:
        """Whether it is a session; looking keeps it open for longer, up to a day in all."""
        key = self._keys.session(name)
        since_ms = await self._server.command("GET", key)
        if since_ms is None:
            return False
        left_ms = int(since_ms) + LONGEST_MS - await self._server.now_ms()
        if left_ms <= 0:
            await self.close(name)
            return False
        await self._server.command("PEXPIRE", key, min(IDLE_MS, left_ms))
        return True

    async def close(self, name: str) -> None:
        """It is no session any more."""
        await self._server.command("DEL", self._keys.session(name))

    async def may_try(self, address: str) -> float:
        """Book a try of the password: 0, or in how many seconds it may be tried."""
        arguments = (
            OF_AN_ADDRESS.free,
            OF_AN_ADDRESS.longest_ms,
            OF_ALL.free,
            OF_ALL.longest_ms,
            TRIES_COUNT_MS,
        )
        return int(await self._server.script("login_try", self._tries(address), arguments)) / 1000

    async def was_right(self, address: str) -> None:
        """The try that was booked last had the right password."""
        mine, all_, known = self._tries(address)
        await self._server.together(
            ("DEL", mine),
            ("HINCRBY", all_, "tries", -1),
            ("HDEL", all_, "until"),
            ("PEXPIRE", all_, TRIES_COUNT_MS),
            ("SET", known, 1, "EX", KNOWN_S),
        )

    def _tries(self, address: str) -> tuple[str, str, str]:
        keys = self._keys
        return keys.login(f"of:{address}"), keys.login("all"), keys.login(f"known:{address}")

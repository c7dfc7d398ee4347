"""The rate limiter: one script books the slots of all workers, by the server's clock.

The rates are Slack's, https://docs.slack.dev/apis/web-api/rate-limits
"""

from dataclasses import dataclass

from worker.store.redis_client import RedisClient, RedisStore, Value

REPEATED_WITHIN_MS = 60_000
TIER_BURST_SHARE = 0.25
EXACT_FROM_MS = 200  # who sets more than five posts a second relies on no limit of Slack's
LATE_SHARE = 0.02  # of an interval: a margin for calls that arrive unevenly


@dataclass(frozen=True, slots=True)
class Rate:
    """How many slots a scope has."""

    per_s: float
    burst: int = 1  #: How many slots an idle scope has at once.

    @classmethod
    def per_minute(cls, limit: float, burst_share: float) -> "Rate":
        """Return a rate of at most `limit` slots in any minute, a share of which may be a burst."""
        burst = max(int(limit * burst_share), 1)
        return cls(per_s=max(limit - burst, limit / 2) / 60, burst=burst)

    @property
    def interval_ms(self) -> float:
        """The time from one slot to the next."""
        return 1000 / self.per_s


@dataclass(frozen=True, slots=True)
class Slot:
    """The answer to booking a slot."""

    booked: bool  #: Whether it is booked: not when it is further away than the caller waits.
    wait_s: float  #: How long it is until the slot.


class RateLimiter(RedisStore):
    """The slots of conversations, workspaces and methods."""

    def __init__(self, server: RedisClient, *, channel: Rate, workspace: Rate) -> None:
        super().__init__(server)
        self._channel = channel
        self._workspace = workspace

    async def book_post_slot(self, workspace: str, channel: str, *, max_wait_s: float) -> Slot:
        """Book the next slot of a conversation and of its workspace, both or neither."""
        return await self._book(workspace, ((channel, self._channel), ("posts", self._workspace)), max_wait_s)

    async def book_method_slot(self, workspace: str, method: str, per_minute: float, *, max_wait_s: float) -> Slot:
        """Book the next slot of a method, whose tier counts per workspace."""
        rate = Rate.per_minute(per_minute, TIER_BURST_SHARE)
        return await self._book(workspace, ((method, rate),), max_wait_s)

    async def shift_late_slot(self, workspace: str, channel: str, late_s: float) -> None:
        """Move a conversation's next slot when this one is used `late_s` after its time, to keep the interval."""
        interval_ms = self._channel.interval_ms
        is_exact = self._channel.burst == 1 and interval_ms >= EXACT_FROM_MS
        if is_exact and late_s * 1000 > interval_ms * LATE_SHARE:
            keys = (self._keys.pace(workspace, channel),)
            await self._server.run_script("rate_slot_shift", keys, (interval_ms,))

    async def close_channel(self, workspace: str, channel: str, wait_s: float) -> bool:
        """Stop posts to a conversation, and to its workspace if it is the second in a minute; return whether it is."""
        keys = (*self.get_closed_keys(workspace, channel), self._keys.closed(workspace, "last"))
        arguments = (max(int(wait_s * 1000), 1), channel, REPEATED_WITHIN_MS)
        return bool(await self._server.run_script("rate_close", keys, arguments))

    async def close_method(self, workspace: str, method: str, wait_s: float) -> None:
        """Stop calls of one method, as Slack asked to wait."""
        ms = max(int(wait_s * 1000), 1)
        await self._server.command("SET", self._keys.closed(workspace, method), ms, "PX", ms)

    def get_closed_keys(self, workspace: str, channel: str) -> tuple[str, str]:
        """Return the keys that are present while a conversation, or its workspace, is closed."""
        return self._keys.closed(workspace, channel), self._keys.closed(workspace, "posts")

    async def _book(self, workspace: str, rates: tuple[tuple[str, Rate], ...], max_wait_s: float) -> Slot:
        keys: list[str] = []
        arguments: list[Value] = [int(max_wait_s * 1000)]
        for scope, rate in rates:
            keys += self._keys.pace(workspace, scope), self._keys.closed(workspace, scope)
            arguments += rate.interval_ms, rate.burst
        booked, wait_ms = await self._server.run_script("rate_slot", keys, arguments)
        return Slot(booked=bool(booked), wait_s=wait_ms / 1000)

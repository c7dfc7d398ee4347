"""Pace: one script grants the slots of every worker, by the server's own clock.

The rates are Slack's, https://docs.slack.dev/apis/web-api/rate-limits
"""

from dataclasses import dataclass

from worker.store.server import Server, Value

REPEATED_WITHIN_MS = 60_000
TIER_SHARE_AT_ONCE = 0.25
EXACT_FROM_MS = 200  # five posts a second are more than Slack displays: whoever sets that counts on no limit
LATE_SHARE = 0.02  # of the time between two slots: what is kept in hand for calls that arrive unevenly


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s` slots a second, `burst` of them at once."""

    per_s: float
    burst: int = 1

    @classmethod
    def per_minute(cls, most: float, share_at_once: float) -> "Rate":
        """At most so many in any minute; the share that may go at once is taken off the rest."""
        burst = max(int(most * share_at_once), 1)
        return cls(max(most - burst, most / 2) / 60, burst)

    @property
    def interval_ms(self) -> float:
        """From one slot to the next."""
        return 1000 / self.per_s


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot `wait_s` from now; when not `booked` it was too far away to be kept."""

    booked: bool
    wait_s: float


class Pace:
    """The allowances of workspaces and conversations."""

    def __init__(self, server: Server, *, channel: Rate, workspace: Rate) -> None:
        self._server = server
        self._keys = server.keys
        self._channel = channel
        self._workspace = workspace

    async def slot_to_post(self, workspace: str, channel: str, *, longest_s: float) -> Slot:
        """The next slot of a conversation and of its workspace, both or neither."""
        allowances = ((channel, self._channel), ("posts", self._workspace))
        return await self._slot(workspace, allowances, longest_s)

    async def used_late(self, workspace: str, channel: str, late_s: float) -> None:
        """A conversation's slot is used `late_s` after its time: the next moves, or they would be close."""
        interval_ms = self._channel.interval_ms
        exact = self._channel.burst == 1 and interval_ms >= EXACT_FROM_MS
        if exact and late_s * 1000 > interval_ms * LATE_SHARE:
            names = (self._keys.pace(workspace, channel),)
            await self._server.script("slot_late", names, (interval_ms,))

    async def slot_to_call(self, workspace: str, method: str, per_minute: float, *, longest_s: float) -> Slot:
        """The next slot of a method's tier, which counts per workspace."""
        rate = Rate.per_minute(per_minute, TIER_SHARE_AT_ONCE)
        return await self._slot(workspace, ((method, rate),), longest_s)

    async def close(self, workspace: str, channel: str, wait_s: float) -> bool:
        """Slack asked to wait: nobody posts to this conversation; on repetition, to the whole workspace."""
        names = (*self.closed(workspace, channel), self._keys.closed(workspace, "last"))
        arguments = (max(int(wait_s * 1000), 1), channel, REPEATED_WITHIN_MS)
        return bool(await self._server.script("close", names, arguments))

    async def close_method(self, workspace: str, method: str, wait_s: float) -> None:
        """Slack asked to wait with one method."""
        ms = max(int(wait_s * 1000), 1)
        await self._server.command("SET", self._keys.closed(workspace, method), ms, "PX", ms)

    def closed(self, workspace: str, channel: str) -> tuple[str, str]:
        """The marks that are there while a conversation or its workspace is closed."""
        return self._keys.closed(workspace, channel), self._keys.closed(workspace, "posts")

    async def _slot(self, workspace: str, allowances: tuple[tuple[str, Rate], ...], longest_s: float) -> Slot:
        names: list[str] = []
        arguments: list[Value] = [int(longest_s * 1000)]
        for scope, rate in allowances:
            names += self._keys.pace(workspace, scope), self._keys.closed(workspace, scope)
            arguments += rate.interval_ms, rate.burst
        booked, wait_ms = await self._server.script("slot", names, arguments)
        return Slot(bool(booked), wait_ms / 1000)

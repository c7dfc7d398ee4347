"""The sweeper's schedule: due lanes and probes, backlogs, and warnings to be sent, parsed from texts only here."""

import logging
from dataclasses import dataclass
from enum import StrEnum

from worker.domain.backlog_warning import BacklogWarning, LimitKind
from worker.store.integrations import FIRST_PROBE_MS, LONGEST_PROBE_MS
from worker.store.lanes import TAKE_LIMIT, WAKE_MS
from worker.store.redis_client import RedisClient, RedisStore, Value, rows, texts

log = logging.getLogger("worker.sweep")

NEAR_SHARE = 0.8  # of a limit
NEAR_LANES = 200  # of one script, so that other clients do not wait long


class ProbeKind(StrEnum):
    """Kinds of what is parked and probed."""

    LANE = "lane"
    INTEGRATION = "integration"


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """A parked lane or integration that is to be probed."""

    kind: ProbeKind
    name: str  #: The lane's name or the integration's id.

    @classmethod
    def parse(cls, stored: str) -> "ProbeTarget":
        """Return the target that `format` wrote."""
        kind, _, name = stored.partition(":")
        return cls(ProbeKind(kind), name)

    def format(self) -> str:
        """Return the text under which Redis keeps this target."""
        return f"{self.kind}:{self.name}"


class WarningKind(StrEnum):
    """Why the operations channel is to be warned."""

    LANE_PARKED = "lane"
    INTEGRATION_PARKED = "integration"
    NEAR_LENGTH = "length"
    NEAR_AGE = "age"
    TEMPLATE_OFF = "template"
    BEGUN = "event"  #: Its alert is being sent; `name` is JSON of the lanes, the time in ms and the event's JSON.


@dataclass(frozen=True, slots=True)
class PendingWarning:
    """A warning still to be sent."""

    kind: WarningKind
    name: str  #: The lane's name or the integration's id; of a template, the ids of integration and subscription.

    def format(self) -> str:
        """Return the text under which Redis keeps this warning."""
        return f"{self.kind}:{self.name}"


class Schedule(RedisStore):
    """The lanes and probes that are due."""

    async def claim_due_lanes(self, *, limit: int, horizon_ms: int) -> list[str]:
        """Return lanes that are due; the caller is the one to send their wake-up calls."""
        arguments = (limit, horizon_ms, self._keys.lane(""), WAKE_MS)
        return texts(await self._server.run_script("due_lanes", (self._keys.named("due"),), arguments))

    async def claim_due_probes(self, *, again_in_s: float, limit: int) -> list[ProbeTarget]:
        """Return what is to be probed now; each is due again after `again_in_s` at the latest."""
        arguments = (limit, int(again_in_s * 1000), self._keys.integration(""), FIRST_PROBE_MS, LONGEST_PROBE_MS)
        stored = texts(await self._server.run_script("due_probes", (self._keys.named("probes"),), arguments))
        return [ProbeTarget.parse(target) for target in stored]

    async def probe_within(self, target: ProbeTarget, in_s: float) -> None:
        """Probe a parked lane or integration again within `in_s`, as this time Slack could not be asked."""
        at_ms = await self._server.now_ms() + int(in_s * 1000)
        await self._server.command("ZADD", self._keys.named("probes"), "XX", "LT", at_ms, target.format())


class Backlogs(RedisStore):
    """The lanes with pending deliveries, and how near they are to a limit; idle lanes are not looked at."""

    def __init__(self, server: RedisClient, *, longest: int = TAKE_LIMIT) -> None:
        super().__init__(server)
        self._longest = longest
        self.size = 0  #: How many lanes there were at the last look.

    async def list_lanes(self) -> list[str]:
        """Return the lanes that are due or parked, and those noted as near a limit; some may be empty by now."""
        keys = self._keys
        commands: list[tuple[Value, ...]] = [("ZRANGE", keys.named(name), 0, -1) for name in ("due", "parked")]
        commands += ("SMEMBERS", keys.named("near_limit")), ("HKEYS", keys.named("integrations"))
        *found, integrations = await self._server.pipeline(commands)
        held = [("SMEMBERS", keys.lanes_of_parked_integration(id_)) for id_ in texts(integrations)]
        found += await self._server.pipeline(held)
        lanes = list(dict.fromkeys(lane for reply in found for lane in texts(list(reply))))
        self.size = len(lanes)
        return lanes

    async def find_near_limit(self, *, running_s: float, parked_s: float, only_new: bool) -> list[BacklogWarning]:
        """Return the lanes near a limit of length or age; with `only_new` each once, and note a warning of it."""
        found = await self._find(running_s, parked_s, NEAR_SHARE, only_new=only_new)
        return [
            BacklogWarning(lane, LimitKind(kind), int(reached), int(most)) for lane, kind, reached, most, _ in found
        ]

    async def find_too_old(self, *, running_s: float, parked_s: float) -> dict[str, bool]:
        """Return, by lane whose oldest delivery is older than its limit, whether the lane is parked."""
        found = await self._find(running_s, parked_s, 1.0, only_new=False)
        return {lane: is_parked == "1" for lane, kind, _, _, is_parked in found if kind == LimitKind.AGE}

    async def _find(
        self, running_s: float, parked_s: float, share: float, *, only_new: bool
    ) -> list[tuple[str, str, str, str, str]]:
        """Return lane, limit, value, limit's value and whether the lane is parked, from that share of a limit on."""
        keys = self._keys
        arguments = (
            keys.lane(""), keys.integration(""), keys.delivery(""), self._longest,
            int(running_s * 1000), int(parked_s * 1000), share, int(only_new),
        )  # fmt: skip
        lanes, names = await self.list_lanes(), (keys.named("warnings"), keys.named("near_limit"))
        found: list[tuple[str, str, str, str, str]] = []
        for start in range(0, len(lanes), NEAR_LANES):
            words: tuple[Value, ...] = (*arguments, *lanes[start : start + NEAR_LANES])
            found += rows(texts(await self._server.run_script("lanes_near_limit", names, words)), 5)
        return found


class Warnings(RedisStore):
    """The warnings still to be sent to the operations channel."""

    async def list_pending(self, *, limit: int) -> list[PendingWarning]:
        """Return warnings still to be sent, oldest first; remove any that cannot be parsed."""
        key, pending = self._keys.named("warnings"), list[PendingWarning]()
        for stored in texts(await self._server.command("ZRANGE", key, 0, limit - 1)):
            kind, _, name = stored.partition(":")
            try:
                pending.append(PendingWarning(WarningKind(kind), name))
            except ValueError:
                log.exception("unreadable warning removed")
                await self._server.command("ZREM", key, stored)
        return pending

    async def get_time_ms(self, warning: PendingWarning) -> int:
        """Return when a warning was stored; 0 when it is no longer."""
        return int(await self._server.command("ZSCORE", self._keys.named("warnings"), warning.format()) or 0)

    async def begin(self, warning: PendingWarning, alert: str, since_ms: int) -> PendingWarning:
        """Replace a warning by its alert, so that a crash loses neither even if the cause is gone by then."""
        begun, key = PendingWarning(WarningKind.BEGUN, alert), self._keys.named("warnings")
        await self._server.transaction(("ZADD", key, since_ms, begun.format()), ("ZREM", key, warning.format()))
        return begun

    async def finish(self, warning: PendingWarning) -> None:
        """Remove a warning that was sent or is not needed."""
        await self._server.command("ZREM", self._keys.named("warnings"), warning.format())

"""What keeps the house: locks, signs of life, lanes that are due, probes, and what is thrown away."""

from worker.domain.delivery import State
from worker.store.integrations import FIRST_PROBE_MS, LONGEST_PROBE_MS
from worker.store.lanes import WAKE_MS
from worker.store.server import Server, text, texts

ALIVE_MS = 15_000
FINISHED = (State.DELIVERED, State.MERGED, State.DISCARDED)


class Upkeep:
    """Small steps for the sweep."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys = server.keys

    async def now_ms(self) -> int:
        """The server's clock, which counts for everybody."""
        return await self._server.now_ms()

    async def lock(self, name: str, token: str, ms: int) -> bool:
        """One at a time: is it ours (now, or still)?"""
        return bool(await self._server.script("lock", (self._keys.lock(name),), (token, ms, 0)))

    async def unlock(self, name: str, token: str) -> None:
        """Give a lock back, if it is still ours."""
        await self._server.script("lock", (self._keys.lock(name),), (token, 0, 0))

    async def beat(self, role: str, who: str) -> None:
        """This process is alive."""
        key, now_ms = self._keys.beat(role), await self._server.now_ms()
        await self._server.together(
            ("ZADD", key, now_ms, who),
            ("ZREMRANGEBYSCORE", key, "-inf", now_ms - ALIVE_MS),
        )

    async def leave(self, role: str, who: str) -> None:
        """This process ends as it should."""
        await self._server.command("ZREM", self._keys.beat(role), who)

    async def alive(self, role: str) -> list[str]:
        """Who has been seen lately."""
        now_ms = await self._server.now_ms()
        return texts(
            await self._server.command("ZRANGEBYSCORE", self._keys.beat(role), now_ms - ALIVE_MS, "+inf")
        )

    async def due_lanes(self, *, most: int, horizon_ms: int) -> list[str]:
        """Lanes someone should look at now, whose wake-up call we are to send."""
        arguments = (most, horizon_ms, self._keys.lane(""), WAKE_MS)
        return texts(await self._server.script("due_lanes", (self._keys.named("due"),), arguments))

    async def due_probes(self, *, again_in_s: float, most: int) -> list[str]:
        """What is parked and should be looked at now (`lane:L`, `integration:I`); each is due again later."""
        prefix, longest_ms = self._keys.integration(""), int(again_in_s * 1000)
        arguments = (most, longest_ms, prefix, FIRST_PROBE_MS, LONGEST_PROBE_MS)
        return texts(await self._server.script("due_probes", (self._keys.named("probes"),), arguments))

    async def probe_soon(self, what: str, in_s: float) -> None:
        """Have something parked looked at no later than that, because this time Slack could not be asked."""
        at_ms = await self._server.now_ms() + int(in_s * 1000)
        await self._server.command("ZADD", self._keys.named("probes"), "XX", "LT", at_ms, what)

    async def lanes_waiting(self) -> list[tuple[str, bool]]:
        """Lanes in which something may grow old, and whether they are parked."""
        running = texts(await self._server.command("ZRANGE", self._keys.named("due"), 0, -1))
        parked = texts(await self._server.command("ZRANGE", self._keys.named("parked"), 0, -1))
        integrations = texts(await self._server.command("HKEYS", self._keys.named("integrations")))
        held = [
            lane
            for id_ in integrations
            for lane in texts(await self._server.command("SMEMBERS", self._keys.held(id_)))
        ]
        return [(lane, False) for lane in running] + [(lane, True) for lane in {*parked, *held}]

    async def lane_note(self, lane: str) -> dict[str, str]:
        """Why a lane is parked or lies down: reason, hint, since, snoozed, address, name; when it came near a
        limit, and how near: near_length, near_age.
        """
        names = (
            "parked", "reason", "hint", "since", "snoozed", "address", "name", "near_length", "near_age",
        )  # fmt: skip
        found = await self._server.command("HMGET", self._keys.lane(lane), *names)
        return dict(zip(names, texts(found), strict=True))

    async def warnings(self, *, most: int) -> list[str]:
        """What nobody was warned of yet, or is being warned of, the oldest first.

        What parked is called `lane:L` or `integration:I`, what is near a limit `length:L` or `age:L`.
        """
        return texts(await self._server.command("ZRANGE", self._keys.named("warnings"), 0, most - 1))

    async def begin_warning(self, what: str, warning: str, since_ms: int) -> None:
        """What is to be told of this one stands from now on, whatever becomes of it meanwhile."""
        name = self._keys.named("warnings")
        await self._server.together(("ZADD", name, since_ms, warning), ("ZREM", name, what))

    async def warned(self, what: str) -> None:
        """People know of this one."""
        await self._server.command("ZREM", self._keys.named("warnings"), what)

    async def throw_away(self, *, deliveries_before_ms: int, finished_before_ms: int) -> None:
        """Index entries and calls older than anything they speak of."""
        keys, made_ms, finished_ms = self._keys, max(deliveries_before_ms, 0), max(finished_before_ms, 0)
        lanes = texts(await self._server.command("SMEMBERS", keys.named("lanes")))
        old = [(keys.named("deliveries"), made_ms)]
        old += [(keys.lane(lane, "deliveries"), made_ms) for lane in lanes]
        old += [(keys.named(f"deliveries:{state}"), finished_ms) for state in FINISHED]
        old += [(keys.lane(lane, "attempts"), finished_ms) for lane in lanes]
        await self._server.each([("XTRIM", key, "MINID", "~", before_ms) for key, before_ms in old])
        await self._server.command("ZREMRANGEBYSCORE", keys.named("subscriptions:removed"), "-inf", made_ms)

    async def info(self, section: str) -> dict[str, str]:
        """What the server says of itself."""
        answer = await self._server.command("INFO", section)
        return {text(name): text(value) for name, value in answer.items()}

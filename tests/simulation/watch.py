"""Watch: looks at every step as it happens, with eyes of its own, and notes what must never be."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from far_end import Telling
from machine import Machine
from redis import Redis

from worker.domain.card import Order
from worker.domain.folding import Call
from worker.pipeline.telling import CALL_MOST_S
from worker.store import server
from worker.store.lanes import LEASE_MS

HELD = frozenset(
    f"lane_{step}" for step in ("take", "keep", "retry", "settle", "card", "release", "bury", "split", "park")
)
"""Steps only the holder of a lane may do."""

TELLS = (Call.POST, Call.REPLY)
NEVER: Order = (0.0, 0, 0)


class Watch:
    """What happened, in order, and every wrong of it."""

    def __init__(self, redis: Redis, now_s: Callable[[], float], server_ms: Callable[[], float]) -> None:
        self.redis, self._now_s, self._server_ms = redis, now_s, server_ms
        self.wrongs: list[str] = []
        self._lost = 0
        self._confirmed: dict[str, int] = {}
        self.told: list[Telling] = []
        self.recorded: dict[str, str] = {}
        self.shown: dict[tuple[str, str], Order] = {}
        self._shown_by: dict[tuple[str, str], str] = {}
        self.show: Callable[[str], None] = lambda _: None
        self._trace = hashlib.blake2b(digest_size=8)
        self._slots: dict[str, list[float]] = defaultdict(list)
        self._booked: dict[tuple[Machine, str], list[float]] = defaultdict(list)
        self._used: dict[tuple[Machine, str], int] = defaultdict(int)
        folder = files("worker.store").joinpath("lua")
        scripts = sorted(path.name.removesuffix(".lua") for path in folder.iterdir())
        self._scripts = {server._sha(name): name for name in scripts if name != "lane"}

    @property
    def trace(self) -> str:
        """The same for two runs in which the same happened."""
        return self._trace.hexdigest()

    def wrong(self, what: str) -> None:
        """Something that must never be."""
        self.wrongs.append(f"at {self._now_s():.3f} s: {what}")
        self.note(f"WRONG {what}")

    def note(self, line: str) -> None:
        """One line of the trace."""
        line = f"{self._now_s():10.4f} {line}"
        self._trace.update(line.encode())
        self.show(line)

    def clock_jumped(self, by_s: float) -> None:
        """Slots of before and after cannot be compared, and leases end early: `_lost` says how often."""
        self._lost += by_s > LEASE_MS / 1000 - CALL_MOST_S
        self._slots.clear()

    def step(self, machine: Machine, words: Sequence[Any], do: Callable[[], Any]) -> Any:
        """One command at the server."""
        script = self._scripts.get(str(words[1])) if words[0] == "EVALSHA" else None
        if script is None:
            answer = do()
            secret = any("integrations" in str(word) for word in words[1:2])
            self.note(
                f"{machine.name} {' '.join(map(str, words[:3]))[:80]} {'' if secret else answer!r}"[:300]
            )
            return answer
        at = 3 + int(words[2])
        keys, arguments = words[3:at], words[at:]
        lease = self.redis.get(keys[3]) if script in HELD else None
        taken = self.redis.lrange(keys[2], 0, -1) if script == "lane_settle" else []
        answer = do()
        self.note(f"{machine.name} {script} {arguments[0] if arguments else ''} {answer!r}"[:400])
        if isinstance(answer, Exception):
            return answer
        if script in HELD and answer[0] != b"fenced" and lease != str(arguments[3]).encode():
            self.wrong(f"{script} of {arguments[0]} was recorded for {machine.name}, whose lane it is not")
        if script in HELD and answer[0] != b"fenced":
            self._confirmed[str(arguments[3])] = self._lost
        if script == "lane_settle" and answer[0] == b"ok" and taken:
            self._settled([one.decode() for one in taken], arguments)
        elif script == "lane_take" and answer[0] == b"ok":
            self._in_order(str(arguments[0]), keys[1], answer[1:])
        elif script == "slot" and answer[0]:
            self._slot(machine, keys, arguments, answer[1])
        return answer

    def _settled(self, taken: Sequence[str], arguments: Sequence[Any]) -> None:
        lane, token, lead, owed = str(arguments[0]), str(arguments[3]), arguments[8], set(arguments[11:])
        for id_ in taken:
            if id_ in owed:
                continue
            if id_ in self.recorded:
                self.wrong(f"{id_} of {lane} was recorded twice")
            self.recorded[id_] = token
            shown = any(id_ in one.ids for one in self.told if one.token == token)
            if not shown and lead in taken:
                self.wrong(f"{id_} of {lane} was recorded as told, and nobody told it")

    def _in_order(self, lane: str, pending: str, flat: Sequence[Any]) -> None:
        seqs = [int(seq) for seq in flat[3::10]]
        if again := [id_ for id_ in map(bytes.decode, flat[::10]) if id_ in self.recorded]:
            self.wrong(f"{lane} was taken with what was recorded before: {again}")
        first = self.redis.lindex(pending, 0)
        if first:
            seqs.append(int(self.redis.hget(f"ik:delivery:{first.decode()}", "seq")))
        if seqs != sorted(set(seqs)):
            self.wrong(f"{lane} was taken out of order: {seqs}")

    def _slot(self, machine: Machine, keys: Sequence[str], arguments: Sequence[Any], wait_ms: int) -> None:
        start_ms = self._server_ms() + wait_ms
        for number, key in enumerate(keys[::2]):
            scope = key.split(":pace:")[1]
            interval_ms, burst = float(arguments[1 + 2 * number]), int(arguments[2 + 2 * number])
            before = self._slots[scope]
            if len(before) >= burst and start_ms - before[-burst] < interval_ms - 1.5:
                gap_ms = start_ms - before[-burst]
                self.wrong(
                    f"slots of {scope} lie {gap_ms:.0f} ms apart, {burst} at once, not {interval_ms:.0f}"
                )
            before.append(start_ms)
        self._booked[machine, keys[0].split(":")[-1]].append(self._now_s() + wait_ms / 1000)

    def taken(self, telling: Telling) -> None:
        """Slack has a message or an edit."""
        ids = " ".join(telling.ids)
        self.note(f"{telling.machine.name} {telling.call} {telling.lane} ts={telling.ts} {ids}")
        self._paced(telling)
        self._newest(telling)
        for id_ in telling.finished if telling.call in TELLS else ():
            self._not_again(id_, telling)
        self.told.append(telling)

    def _paced(self, telling: Telling) -> None:
        place = telling.machine, telling.channel
        self._used[place] += 1
        if self._used[place] > sum(at_s <= self._now_s() + 0.002 for at_s in self._booked[place]):
            self.wrong(f"{telling.machine.name} told {telling.channel} without a slot")

    def _newest(self, telling: Telling) -> None:
        """What has a card never goes back to an older state, whatever told the newer one.

        Unless that is a dead letter by now: its call's outcome was unknown, and Slack refused the next. Or
        still waits to be told again for the same reason, and Slack refused with a code that nobody knows:
        which of them is at fault is open then, and each is told alone. And but for an edit that is on its way
        while the server's clock jumps forward by more than a lease lasts after a call: the server has no
        other clock by which to say whose a lane is, or how old a call is, and Slack takes an edit without
        asking which state it replaces.
        """
        excused = telling.call is Call.EDIT and self._confirmed[telling.token] < self._lost
        alone = len(telling.ids) == 1
        for line in telling.choice.folding.lines:
            place = telling.lane, line.event.about
            newest = self.shown.get(place, NEVER)
            if line.event.order >= newest:
                self.shown[place], self._shown_by[place] = line.event.order, line.delivery_id
            elif telling.choice.about and not excused and not self._comes_to_nothing(place, alone=alone):
                self.wrong(f"{line.event.id} of {telling.lane} was shown after a newer state of {place[1]}")

    def _comes_to_nothing(self, place: tuple[str, str], *, alone: bool) -> bool:
        """Whether what showed the newest state is a dead letter, or to be told anew after this one."""
        state = self.redis.hget(f"ik:delivery:{self._shown_by[place]}", "state")
        return bool(state == b"dead" or (alone and state not in (b"delivered", b"merged")))

    def _not_again(self, id_: str, telling: Telling) -> None:
        """Told before: then that call's outcome was unknown, or who made it was in trouble."""
        for before in self.told:
            if before.call not in TELLS or id_ not in before.finished:
                continue
            if not (before.in_trouble or telling.in_trouble):
                self.wrong(f"{id_} of {telling.lane} was told again for no reason")

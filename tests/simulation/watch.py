"""Watch: looks at every step as it happens, with eyes of its own, and notes what must never be."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from far_end import SlackCall
from machine import Machine
from redis import Redis

from worker.domain.card import Order
from worker.domain.message_plan import CallKind
from worker.pipeline.delivery.session import CALL_LIMIT_S
from worker.store import redis_client as server
from worker.store.lanes import LEASE_MS
from worker.store.redis_client import fields

HELD = frozenset(
    f"lane_{step}"
    for step in ("take", "select", "retry", "settle", "update_card", "release", "reject", "park", "put_off_edits")
)
"""Steps only the holder of a lane may do."""

POSTING_CALLS = (CallKind.POST, CallKind.REPLY)
NEVER: Order = (0.0, 0, 0)


class Watch:
    """The steps of a run in order, and every violation."""

    def __init__(self, redis: Redis, now_s: Callable[[], float], server_ms: Callable[[], float]) -> None:
        self.redis, self._now_s, self._server_ms = redis, now_s, server_ms
        self.wrongs: list[str] = []
        self._lost = 0
        self._confirmed: dict[str, int] = {}
        self.slack_calls: list[SlackCall] = []
        self.recorded: dict[str, str] = {}
        self.shown: dict[tuple[str, str], Order] = {}
        self._shown_by: dict[tuple[str, str], str] = {}
        self.show: Callable[[str], None] = lambda _: None
        self._trace = hashlib.blake2b(digest_size=8)
        self._slots: dict[str, list[float]] = defaultdict(list)
        self._booked: dict[tuple[Machine, str], list[float]] = defaultdict(list)
        self._used: dict[tuple[Machine, str], int] = defaultdict(int)
        folder = files("worker.store").joinpath("scripts")
        scripts = sorted(path.name.removesuffix(".lua") for path in folder.iterdir())
        assert set(scripts) >= HELD
        self._scripts = {server.script_sha(name): name for name in scripts if name not in ("clock", "lane")}

    @property
    def trace(self) -> str:
        """Return a hash that is equal for equal runs."""
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
        self._lost += by_s > LEASE_MS / 1000 - CALL_LIMIT_S
        self._slots.clear()

    def step(self, machine: Machine, words: Sequence[Any], do: Callable[[], Any]) -> Any:
        """One command at the server."""
        script = self._scripts.get(str(words[1])) if words[0] == "EVALSHA" else None
        if script is None:
            answer = do()
            secret = any("integrations" in str(word) for word in words[1:2])
            self.note(f"{machine.name} {' '.join(map(str, words[:3]))[:80]} {'' if secret else answer!r}"[:300])
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
        elif script == "rate_slot" and answer[0]:
            self._slot(machine, keys, arguments, answer[1])
        return answer

    def _settled(self, taken: Sequence[str], arguments: Sequence[Any]) -> None:
        lane, token, lead = str(arguments[0]), str(arguments[3]), arguments[8]
        for id_ in taken:
            if id_ in self.recorded:
                self.wrong(f"{id_} of {lane} was recorded twice")
            self.recorded[id_] = token
            shown = any(id_ in one.ids for one in self.slack_calls if one.token == token)
            if not shown and lead in taken:
                self.wrong(f"{id_} of {lane} was recorded as delivered, but no call posted it")

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
                self.wrong(f"slots of {scope} lie {gap_ms:.0f} ms apart, {burst} at once, not {interval_ms:.0f}")
            before.append(start_ms)
        self._booked[machine, keys[0].split(":")[-1]].append(self._now_s() + wait_ms / 1000)

    def taken(self, slack_call: SlackCall) -> None:
        """Slack has a message or an edit."""
        ids = " ".join(slack_call.ids)
        self.note(f"{slack_call.machine.name} {slack_call.call} {slack_call.lane} ts={slack_call.ts} {ids}")
        self._paced(slack_call)
        self._newest(slack_call)
        for id_ in slack_call.finished if slack_call.call in POSTING_CALLS else ():
            self._not_again(id_, slack_call)
        self.slack_calls.append(slack_call)

    def _paced(self, slack_call: SlackCall) -> None:
        if slack_call.call is CallKind.EDIT:
            return  # edits have a limit of their own
        place = slack_call.machine, slack_call.channel
        self._used[place] += 1
        if self._used[place] > sum(at_s <= self._now_s() + 0.002 for at_s in self._booked[place]):
            self.wrong(f"{slack_call.machine.name} posted to {slack_call.channel} without a slot")

    def _newest(self, slack_call: SlackCall) -> None:
        """Check that a card never goes back to an older state, whichever message showed the newer one.

        Exceptions: the newer state is a dead letter by now, because its call had an unknown outcome and Slack
        rejected the next one; or it will be posted again for the same reason after Slack rejected a digest, whose
        deliveries are then posted alone. An edit under way while the server's clock jumps forward by more than a
        lease is also excused: the server has no other clock to decide who holds a lane, and Slack accepts an edit
        without asking which state it replaces.
        """
        excused = slack_call.call is CallKind.EDIT and self._confirmed[slack_call.token] < self._lost
        alone = len(slack_call.ids) == 1
        for line in slack_call.plan.content.lines:
            place = slack_call.lane, line.event.subject_key
            newest = self.shown.get(place, NEVER)
            if line.event.order >= newest:
                self.shown[place], self._shown_by[place] = line.event.order, line.delivery_id
            elif slack_call.plan.subject_key and not excused and not self._comes_to_nothing(place, alone=alone):
                self.wrong(f"{line.event.id} of {slack_call.lane} was shown after a newer state of {place[1]}")

    def _comes_to_nothing(self, place: tuple[str, str], *, alone: bool) -> bool:
        """Return whether the delivery with the newest state is a dead letter, or will be posted again."""
        state = self.redis.hget(f"ik:delivery:{self._shown_by[place]}", "state")
        return bool(state == b"dead" or (alone and state not in (b"delivered", b"merged")))

    def has_lost_card(self, lane: str) -> bool:
        """Return whether Slack refused to edit a card of the lane, which is then posted anew."""
        attempts = [fields(attempt) for _, attempt in self.redis.xrange(f"ik:lane:{lane}:attempts")]
        return any((kept["method"], kept["outcome"]) == ("chat.update", "refused") for kept in attempts)

    def _not_again(self, id_: str, slack_call: SlackCall) -> None:
        """Check that a delivery is posted again only after a call of unknown outcome or by a machine in trouble."""
        for before in self.slack_calls:
            if before.call not in POSTING_CALLS or id_ not in before.finished:
                continue
            if before.call is CallKind.REPLY and self.has_lost_card(slack_call.lane):
                continue  # the thread's message is gone: the channel does not show the state any more
            if not (before.in_trouble or slack_call.in_trouble):
                self.wrong(f"{id_} of {slack_call.lane} was posted again for no reason")

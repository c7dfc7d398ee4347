"""A property test that runs the steps of lanes in any order and compares the store with a model."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.examples import examples
from support.store import OPEN_SCOPES, RECEIPT, World

from worker.domain.card import Card
from worker.domain.delivery import Outcome
from worker.domain.errors import LeaseLost
from worker.domain.event import Severity
from worker.domain.hints import Hint
from worker.domain.message_plan import CoveredDeliveries
from worker.store.lanes import Denial, Lease, LeaseDenied
from worker.store.redis_client import texts

Answer = TypeVar("Answer")
LANES = ("ops/#a", "ops/#b")
LONGEST = 6
FAR_MS = 600_000
CARD = Card("C1", "C1", "1.0", "another", "", None, (1.0, 1000, 0), (1.0, 1000, 0), over=False, said="open")


@dataclass
class Line:
    """The expected state of a lane."""

    pending: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    quiet: list[tuple[int, int, str]] = field(default_factory=list)
    holder: str = ""
    is_parked: bool = False
    is_snoozed: bool = False
    open: bool = False
    doubt: set[str] = field(default_factory=set)
    edits: bool = False
    seq: int = 0

    @property
    def waiting(self) -> list[str]:
        return self.taken + self.pending

    @property
    def quiet_is_over(self) -> bool:
        """Return whether the quiet hours of the first held delivery have ended."""
        return bool(self.quiet) and self.quiet[0][0] == 1

    def remove_least_needed(self, seqs: dict[str, int], critical: set[str]) -> str:
        """Remove and return the first pending or held delivery that is not critical, else the first."""
        held = [id_ for _, _, id_ in self.quiet]
        less_urgent = [[id_ for id_ in ids if id_ not in critical] for ids in (self.pending, held)]
        firsts = [ids[0] for ids in (less_urgent if any(less_urgent) else (self.pending, held)) if ids]
        least = min(firsts, key=lambda id_: seqs[id_])
        self.pending = [id_ for id_ in self.pending if id_ != least]
        self.quiet = [member for member in self.quiet if member[2] != least]
        return least

    def let_out(self, seqs: dict[str, int]) -> None:
        """Release the held deliveries whose quiet hours have ended."""
        out = [id_ for until_ms, _, id_ in self.quiet if until_ms == 1]
        self.quiet = [one for one in self.quiet if one[0] != 1]
        if out and self.pending and seqs[self.pending[0]] < max(seqs[id_] for id_ in out):
            out, self.pending = out + self.pending, []
        self.pending = sorted(out, key=lambda id_: seqs[id_]) + self.pending

    def give_back(self) -> None:
        self.pending, self.taken, self.open = self.waiting, [], False


class SmallWorld(RuleBasedStateMachine):
    """Two lanes of one integration, each with two holders, any of which may be stale."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis = FakeAsyncRedis(server=FakeServer(), protocol=2)
        self.world = World(self.redis, longest=LONGEST)
        self.lines = {lane: Line() for lane in LANES}
        self.hands: dict[tuple[str, str], Lease] = {}
        self.states: dict[str, str] = {}
        self.home: dict[str, str] = {}
        self.seqs: dict[str, int] = {}
        self.critical: set[str] = set()
        self.integration_is_parked = False
        self.repeated = self.tokens = 0
        self.settlements: dict[str, int] = {}
        self.owed: set[str] = set()
        self.cards: dict[str, bool] = {}

    def teardown(self) -> None:
        self.run(self.world.server.aclose())
        self.loop.close()

    def run(self, step: Coroutine[Any, Any, Answer]) -> Answer:
        return self.loop.run_until_complete(step)

    def number(self, lane: str, id_: str) -> None:
        self.lines[lane].seq += 1
        self.seqs[id_] = self.lines[lane].seq

    def close_unknown(self, lane: str) -> None:
        """Count the deliveries of an open call as possibly repeated."""
        line = self.lines[lane]
        if line.open:
            line.doubt |= set() if line.edits else set(line.taken)

    def recover(self, lane: str) -> None:
        self.close_unknown(lane)
        self.lines[lane].give_back()

    def end(self, ids: list[str], state: str) -> None:
        for id_ in ids:
            assert self.states[id_] == "pending"
            self.states[id_] = state

    def rest_if_empty(self, lane: str) -> None:
        line = self.lines[lane]
        if not line.holder and not line.waiting:
            line.is_parked, line.is_snoozed = line.is_parked and bool(line.quiet), False

    def step(self, lane: str, hand: str, step: Coroutine[Any, Any, Any]) -> Any:
        """Run a step of a holder; the step of a stale holder is refused and changes nothing."""
        if self.lines[lane].holder == self.hands[lane, hand].token:
            return self.run(step)
        with pytest.raises(LeaseLost):
            self.run(step)
        return None

    lanes = st.sampled_from(LANES)
    hands_ = st.sampled_from(("left", "right"))

    @property
    def some_hand(self) -> st.SearchStrategy[tuple[str, str]]:
        """Return a holder, mostly one with the lease of its lane."""
        holding = [key for key, held in self.hands.items() if self.lines[key[0]].holder == held.token]
        return st.sampled_from(sorted(self.hands) + 3 * sorted(holding))

    @rule(
        lane=lanes,
        count=st.integers(1, 3),
        sub=st.sampled_from(("s0", "s1")),
        hours=st.sampled_from((0, 0, 1, 2)),
        severity=st.sampled_from((Severity.ERROR, Severity.CRITICAL)),
    )
    def append(self, lane: str, count: int, sub: str, hours: int, severity: Severity) -> None:
        ids = [f"d{len(self.states) + n}" for n in range(count)]
        line = self.lines[lane]
        self.critical |= set(ids) if severity is Severity.CRITICAL else set()
        for id_ in ids:
            self.states[id_], self.home[id_] = "pending", lane
            self.number(lane, id_)
        until_ms = hours and self.run(self.world.server.now_ms()) + hours * FAR_MS
        if until_ms:
            line.quiet = sorted(line.quiet + [(until_ms, self.seqs[id_], id_) for id_ in ids])
        else:
            line.pending += ids
        over = self.overflow(lane)
        added = self.run(self.world.append(*ids, lane=lane, subscription=sub, until_ms=until_ms, severity=severity))
        assert (added.created, added.overflowed) == (count, len(over))
        assert not (added.wake and (line.holder or line.is_parked))

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def append_again(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.states)))
        over = self.overflow(self.home[id_])  # what was taken went back meanwhile
        assert self.run(self.world.append(id_, lane=self.home[id_])).overflowed == len(over)

    def overflow(self, lane: str) -> list[str]:
        line = self.lines[lane]
        over = [
            line.remove_least_needed(self.seqs, self.critical)
            for _ in range(len(line.pending) + len(line.quiet) - LONGEST)
        ]
        self.end(over, "dead")
        return over

    @rule(lane=lanes, hand=hands_, is_new=st.booleans())
    def acquire(self, lane: str, hand: str, is_new: bool) -> None:
        self._acquire(lane, hand, is_new=is_new)

    def _acquire(self, lane: str, hand: str, *, is_new: bool) -> None:
        line = self.lines[lane]
        known = self.hands.get((lane, hand))
        self.tokens += 1
        token = f"{hand}{self.tokens}" if is_new or known is None else known.token
        lying = line.is_snoozed and self.run(self.is_due_later(lane))
        answer = self.run(self.world.lanes.acquire(lane, token))
        if line.holder and line.holder != token:
            assert answer == LeaseDenied(Denial.LEASED)
            return
        line.holder = ""
        if line.is_parked or self.integration_is_parked:
            assert answer == LeaseDenied(Denial.PARKED)
        elif not line.waiting and not line.quiet_is_over:
            assert answer == LeaseDenied(Denial.EMPTY)
        elif lying:
            assert isinstance(answer, LeaseDenied)
            assert answer.denial == "snoozed"
        else:
            self.recover(lane)
            line.let_out(self.seqs)
            assert isinstance(answer, Lease)
            line.holder, line.is_snoozed, self.hands[lane, hand] = token, False, answer

    async def is_due_later(self, lane: str) -> bool:
        due = await self.redis.zscore("t:due", lane)
        return due is not None and due > await self.world.server.now_ms()

    @rule(lane=lanes, hand=hands_, most=st.sampled_from((1, 2, 100)))
    def acquire_and_take(self, lane: str, hand: str, most: int) -> None:
        self._acquire(lane, hand, is_new=True)
        if (lane, hand) in self.hands:
            self._take(lane, hand, most)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), most=st.sampled_from((1, 2, 100)))
    def take(self, data: st.DataObject, most: int) -> None:
        self._take(*data.draw(self.some_hand), most)

    def _take(self, lane: str, hand: str, most: int) -> None:
        line = self.lines[lane]
        answer = self.step(lane, hand, self.world.lanes.take(self.hands[lane, hand], OPEN_SCOPES, limit=most))
        if answer is None:
            return
        if not line.taken:
            line.let_out(self.seqs)
            line.taken, line.pending = line.pending[:most], line.pending[most:]
        line.open, line.edits = bool(line.taken), False
        assert [one.doubt for one in answer] == [id_ in line.doubt for id_ in line.taken]
        assert [one.card_pending for one in answer] == [id_ in self.owed for id_ in line.taken]
        assert [one.delivery_id for one in answer] == line.taken
        assert [one.seq for one in answer] == [self.seqs[id_] for id_ in line.taken]

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), method=st.sampled_from(("", "chat.postMessage", "chat.update")))
    def keep(self, data: st.DataObject, method: str) -> None:
        lane, hand = data.draw(self.some_hand)
        line, held = self.lines[lane], self.hands[lane, hand]
        stay = data.draw(st.lists(st.sampled_from(line.taken), unique=True)) if line.taken else []
        self.step(lane, hand, self.world.lanes.select(held, stay, method=method))
        if line.holder == held.token:
            line.pending = [id_ for id_ in line.taken if id_ not in stay] + line.pending
            line.taken = [id_ for id_ in line.taken if id_ in stay]
            line.open, line.edits = bool(line.taken and method), method == "chat.update"

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), gone=st.booleans(), outcome=st.sampled_from((Outcome.DELIVERED, Outcome.REFUSED)))
    def change_card(self, data: st.DataObject, gone: bool, outcome: Outcome) -> None:
        lane, hand = data.draw(self.some_hand)
        line, held = self.lines[lane], self.hands[lane, hand]
        step = self.world.lanes.update_card(held, "it", None if gone else CARD, outcome)
        left = self.step(lane, hand, step)
        if left is not None:
            line.give_back()
            self.cards[lane] = not gone
            assert (left.pending, left.holds_lease) == (len(line.pending), True)
        kept = self.run(self.world.lanes.get_cards(lane, ["it", "other"]))
        assert kept == ({"it": CARD} if self.cards.get(lane) else {})

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), leave=st.booleans(), twice=st.booleans(), card=st.booleans(), foreign=st.booleans())
    def settle(self, data: st.DataObject, leave: bool, twice: bool, card: bool, foreign: bool) -> None:
        lane, hand = data.draw(self.some_hand)
        line, held = self.lines[lane], self.hands[lane, hand]
        lead = data.draw(st.sampled_from(line.taken)) if line.taken and not foreign else "another"
        owed = data.draw(st.lists(st.sampled_from(line.pending), unique=True)) if line.pending else []
        named = ("it", CARD) if card else None
        step = self.world.lanes.settle(held, RECEIPT, lead, release=leave, card=named, card_pending=owed)
        left = self.step(lane, hand, step)
        if left is None:
            return
        done = line.taken
        for id_ in done:
            self.settlements[id_] = self.settlements.get(id_, 0) + 1
        self.repeated += len(line.doubt & set(done))
        self.end([id_ for id_ in done if id_ == lead], "delivered")
        self.end([id_ for id_ in done if id_ != lead], "merged")
        self.owed |= set(owed)
        self.cards[lane] = card or self.cards.get(lane, False)
        line.taken, line.open = [], False
        assert (left.pending, left.holds_lease) == (len(line.pending), bool(line.pending) and not leave)
        if not left.holds_lease:
            line.holder = ""
        if twice:
            self.step(lane, hand, self.world.lanes.settle(held, RECEIPT, lead))

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), leave=st.booleans())
    def merge(self, data: st.DataObject, leave: bool) -> None:
        lane, hand = data.draw(self.some_hand)
        line, held = self.lines[lane], self.hands[lane, hand]
        some = data.draw(st.lists(st.sampled_from(line.taken), unique=True)) if line.taken else []
        left = self.step(
            lane, hand, self.world.lanes.merge(held, [CoveredDeliveries("it", tuple(some), CARD)], release=leave)
        )
        if left is None:
            return
        done = [id_ for id_ in line.taken if id_ in some]
        self.repeated += len(line.doubt & set(done))
        self.end(done, "merged")
        line.taken = [id_ for id_ in line.taken if id_ not in some]
        line.give_back()
        assert (left.pending, left.holds_lease) == (len(line.pending), bool(line.pending) and not leave)
        if not left.holds_lease:
            line.holder = ""

    @precondition(lambda self: self.hands)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(("", *Outcome)),
        wait_s=st.sampled_from((0, 0, FAR_MS // 1000)),
    )
    def release(self, data: st.DataObject, outcome: str, wait_s: int) -> None:
        lane, hand = data.draw(self.some_hand)
        line = self.lines[lane]
        step = self.world.lanes.release(
            self.hands[lane, hand], outcome=outcome, code="x", wait_s=wait_s, failed=True, reason="why"
        )
        left = self.step(lane, hand, step)
        if left is None:
            return
        if outcome == Outcome.UNKNOWN:
            self.close_unknown(lane)
        line.give_back()
        line.holder, line.is_snoozed = "", line.is_snoozed or wait_s > 0
        assert (left.pending, left.holds_lease) == (len(line.pending), False)
        assert not left.wake or (line.pending and not wait_s and not self.integration_is_parked)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), outcome=st.sampled_from((Outcome.TRANSIENT, Outcome.REFUSED, Outcome.UNKNOWN)))
    def close_and_open(self, data: st.DataObject, outcome: Outcome) -> None:
        lane, hand = data.draw(self.some_hand)
        line, held = self.lines[lane], self.hands[lane, hand]
        self.step(lane, hand, self.world.lanes.close_attempt(held, outcome, "x", 1))
        if line.holder == held.token:
            if outcome is Outcome.UNKNOWN:
                self.close_unknown(lane)
            line.open, line.edits = bool(line.taken), False
        self.step(lane, hand, self.world.lanes.open_attempt(held))

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def bury(self, data: st.DataObject) -> None:
        lane, hand = data.draw(self.some_hand)
        line = self.lines[lane]
        left = self.step(lane, hand, self.world.lanes.dead_letter(self.hands[lane, hand], "invalid_blocks", "no"))
        if left is not None:
            self.end(line.taken, "dead")
            line.taken, line.open = [], False
            assert (left.pending, left.holds_lease) == (len(line.pending), True)

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        lane, hand = data.draw(self.some_hand)
        if self.step(lane, hand, self.world.lanes.split(self.hands[lane, hand], "x")) is not None:
            self.lines[lane].give_back()

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), called=st.booleans())
    def park(self, data: st.DataObject, called: bool) -> None:
        lane, hand = data.draw(self.some_hand)
        line, held = self.lines[lane], self.hands[lane, hand]
        is_ours = line.holder == held.token
        self.step(lane, hand, self.world.lanes.park(held, "x", "why", Hint.of("how"), probe_s=60, called=called))
        if is_ours:
            line.give_back()
            line.holder, line.is_parked = "", True

    @rule(lane=lanes)
    def holder_dies(self, lane: str) -> None:
        self.run(self.world.lose_lease(lane))
        self.lines[lane].holder = ""

    @rule(lane=lanes)
    def quiet_hours_end(self, lane: str) -> None:
        self.run(self.world.hours_end(lane))
        line = self.lines[lane]
        line.quiet = sorted((1, seq, id_) for _, seq, id_ in line.quiet)

    @rule(lane=lanes)
    def snooze_ends(self, lane: str) -> None:
        self.run(self.redis.zadd("t:due", {lane: 0}, xx=True))

    @rule(lane=lanes, certain=st.booleans())
    def resume(self, lane: str, certain: bool) -> None:
        line = self.lines[lane]
        resumed = self.run(self.world.lanes.resume(lane, permanently=certain))
        was, wake = resumed.was_parked, resumed.wake
        assert was == line.is_parked
        assert not wake or (line.waiting and not line.holder and not self.integration_is_parked)
        line.is_parked = False
        line.is_snoozed = line.is_snoozed and not certain

    @rule()
    def park_integration(self) -> None:
        was_running = self.run(self.world.integrations.park("ops", "x", "why", Hint.of("how"), probe_s=60))
        assert was_running is not self.integration_is_parked
        self.integration_is_parked = True

    @rule()
    def resume_integration(self) -> None:
        for lane in texts(list(self.run(self.redis.smembers("t:held:ops")))):
            self.lines[lane].is_snoozed = False
        self.run(self.world.integrations.resume("ops"))
        self.integration_is_parked = False

    @rule(lane=lanes, most=st.sampled_from((1, 2, 100)), running=st.booleans())
    def expire(self, lane: str, most: int, running: bool) -> None:
        line = self.lines[lane]
        later = self.run(self.world.server.now_ms()) + FAR_MS
        count = self.run(self.world.lanes.expire(lane, later, "old", running=running, limit=most))
        if not line.holder:
            self.recover(lane)
            line.let_out(self.seqs)
        gone, line.pending = line.pending[:most], line.pending[most:]
        assert count == len(gone)
        self.end(gone, "dead")
        self.rest_if_empty(lane)

    @rule(lane=lanes, sub=st.sampled_from(("s0", "s1")))
    def forget(self, lane: str, sub: str) -> None:
        line = self.lines[lane]
        if not line.holder:
            self.recover(lane)
        subs = {id_: self.run(self.redis.hget(f"t:delivery:{id_}", "sub")).decode() for id_ in line.pending}
        held = [id_ for _, _, id_ in line.quiet]
        subs |= {id_: self.run(self.redis.hget(f"t:delivery:{id_}", "sub")).decode() for id_ in held}
        gone = [id_ for id_ in line.pending + held if subs[id_] == sub]
        line.quiet = [one for one in line.quiet if one[2] not in gone]
        line.pending = [id_ for id_ in line.pending if id_ not in gone]
        assert self.run(self.world.lanes.discard_of_subscription(lane, sub)) == len(gone)
        self.end(gone, "discarded")
        self.rest_if_empty(lane)

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.states)))
        lane = self.home[id_]
        was_dead = self.run(self.world.lanes.replay(lane, id_, 1_000)).replayed
        assert was_dead == (self.states[id_] == "dead")
        if was_dead:
            self.states[id_] = "pending"
            self.number(lane, id_)
            self.lines[lane].pending.append(id_)

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.states)))
        was_dead = self.run(self.world.lanes.discard(self.home[id_], id_))
        assert was_dead == (self.states[id_] == "dead")
        if was_dead:
            self.states[id_] = "discarded"

    @rule()
    def sweep(self) -> None:
        found = self.run(self.world.schedule.claim_due_lanes(limit=10, horizon_ms=3_700_000))
        assert not any(self.lines[lane].holder or self.lines[lane].is_parked for lane in found)
        assert self.run(self.world.schedule.claim_due_lanes(limit=10, horizon_ms=3_700_000)) == []

    @invariant()
    def is_as_the_model_says(self) -> None:
        self.run(self._compare())

    async def _compare(self) -> None:
        await self.world.check()
        for lane, line in self.lines.items():
            assert await self.world.listed(lane, "taken") == line.taken
            assert await self.world.listed(lane, "pending") == line.pending
            assert await self.world.quiet(lane) == [id_ for _, _, id_ in line.quiet]
            assert bool(await self.redis.exists(f"t:lane:{lane}:lease")) == bool(line.holder)
        states = await self.world.server.pipeline([("HGET", f"t:delivery:{id_}", "state") for id_ in self.states])
        assert texts(states) == list(self.states.values())
        balance = await self.world.balance()
        assert balance.repeated == self.repeated
        assert balance.created == len(self.states)
        assert all(count == 1 for count in self.settlements.values())


@pytest.mark.no_cover  # it takes thrice as long with it, and the tests beside it reach every branch
def test_any_steps_keep_the_order_the_balance_and_single_settlement():
    run_state_machine_as_test(
        SmallWorld,
        settings=settings(
            max_examples=examples(120),
            stateful_step_count=40,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

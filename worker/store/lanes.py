"""Lanes: deliveries in order, one holder at a time, nothing leaves before Slack's answer is recorded."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from worker.domain.card import Card, pack_card, unpack_card
from worker.domain.delivery import Address, Outcome, Receipt, lane_parts
from worker.domain.errors import Fenced
from worker.domain.folding import Already
from worker.domain.pressure import Limit, Near
from worker.store.bodies import unpack
from worker.store.held import Closed, Entry, Held, Left, NotHeld, Taken
from worker.store.server import Server, Value, text, texts

LEASE_MS = 30_000
WAKE_MS = 5_000
MOST_TAKEN = 10_000
MISSED_MOST = 1_000  # of a lane: what is older than these tells nobody anything new
FEW = 50  # so many come with their bodies at once
CARDS_AT_ONCE = 500
# Of a thing: its living message, what a message without a card said of it, the workflow that works on it.
CARD, RECORD, RUN = "card", "told", "run"
NEAR = 0.8  # of a limit: people are told
HORIZON_MS = 3_700_000  # no lane lies down longer than Slack's longest Retry-After


class Lanes:
    """Every step of a lane, each one script."""

    def __init__(self, server: Server, *, retention_s: float, longest: int = MOST_TAKEN) -> None:
        self._server = server
        self._keys = server.keys
        self._retention_ms = int(retention_s * 1000)
        self._longest = longest

    async def append(self, lane: str, entries: Iterable[Entry]) -> tuple[int, int, bool]:
        """Create deliveries at the end of their lane: (created, overflowed, whether to wake it)."""
        integration_id, destination = lane_parts(lane)
        flat: list[Value] = [integration_id, destination, self._longest, WAKE_MS]
        for entry in entries:
            flat += entry.delivery_id, entry.event_ref, entry.subscription_id, entry.accepted_at_ms
            flat.append(entry.held_until_ms)
        created, overflowed, wake = await self._run("lane_append", lane, "", flat)
        return created, overflowed, bool(wake)

    async def acquire(self, lane: str, token: str) -> Held | NotHeld:
        """Become the one who drains this lane, if it has something to say now."""
        versions = tuple(map(self._keys.version, ("integrations", "subscriptions")))
        status, *known = await self._run("lane_acquire", lane, token, (LEASE_MS, HORIZON_MS), versions)
        if status == b"snoozed":
            return NotHeld("snoozed", known[0] / 1000, text(known[1]), int(known[2]))
        if status != b"ok":
            return NotHeld(text(status))
        address, name, *numbers = texts(known)
        where = Address(address, name) if address else None
        return Held(lane, token, where, *map(int, numbers))

    async def take(
        self, held: Held, closed: tuple[str, str], *, most: int = MOST_TAKEN, method: str = "chat.postMessage"
    ) -> tuple[Taken, ...] | Closed:
        """Everything that waits by now, its attempt opened; nothing while Slack wants to be left alone."""
        events, _ = self._keys.event("")
        arguments = (LEASE_MS, most, method, events, FEW)
        answer = await self._run("lane_take", held.lane, held.token, arguments, closed)
        if answer[0] == b"closed":
            return Closed(answer[1] / 1000)
        flat = _unfenced(answer)[1:]
        return tuple(_taken(flat[start : start + 10]) for start in range(0, len(flat), 10))

    async def keep(self, held: Held, taken: Sequence[Taken], ids: Iterable[str], *, method: str) -> None:
        """Of what was taken only these are told, by a call of `method` (or by none); the others go back."""
        stay = set(ids)
        back = [one.delivery_id for one in taken if one.delivery_id not in stay]
        named: Sequence[str] = back if len(back) < len(stay) else list(stay)
        arguments: Sequence[Value] = (LEASE_MS, method, int(named is back), *named)
        _unfenced(await self._run("lane_keep", held.lane, held.token, arguments))

    async def close_attempt(self, held: Held, outcome: Outcome, code: str, wait_s: float) -> None:
        """Record a call that did not post; the lane stays ours through the wait that follows."""
        arguments = (LEASE_MS, "", outcome, code, int(wait_s * 1000), 0)
        _unfenced(await self._run("lane_retry", held.lane, held.token, arguments))

    async def open_attempt(
        self, held: Held, method: str = "chat.postMessage", *, newest_seq: int = 0
    ) -> bool:
        """Record that another call is made for what was taken; not when something newer than that came."""
        arguments = (LEASE_MS, method, "", "", 0, newest_seq)
        return bool(_unfenced(await self._run("lane_retry", held.lane, held.token, arguments))[0] == b"ok")

    async def settle(
        self,
        held: Held,
        receipt: Receipt,
        lead: str,
        *,
        leave: bool = False,
        card: tuple[str, Card] | None = None,
        owed: Sequence[str] = (),
        records: Mapping[str, Card] = MappingProxyType({}),
        runs: Mapping[str, str] = MappingProxyType({}),
    ) -> Left:
        """Record the receipt for all that was taken, `lead` as delivered, the others as merged into it.

        `card`, by what it is about, is what the message became; `owed` stay pending for one of their own.
        `records` of what it told without a card are kept, by what they are about; so is which of the `runs`
        works on a resource.
        """
        about, packed = (card[0], pack_card(card[1])) if card else ("", "")
        arguments: Sequence[Value] = (
            LEASE_MS,
            WAKE_MS,
            receipt.channel,
            receipt.ts,
            lead,
            int(leave),
            packed,
            len(owed),
            *owed,
            *self._flat(held.lane, RECORD, records),
            *(each for about, run in runs.items() for each in (self._keys.card(held.lane, about, RUN), run)),
        )
        more = (self._keys.card(held.lane, about),)
        answer = _unfenced(await self._run("lane_settle", held.lane, held.token, arguments, more))
        return Left(answer[1], held=not answer[2], wake=bool(answer[3]))

    async def merge(self, held: Held, already: Iterable[Already], *, leave: bool = False) -> Left:
        """Record that what was taken needs no call, each merged into what told its state, or a newer one."""
        ids: list[Value] = []
        kept: list[Value] = []
        for one in already:
            for id_ in one.ids:
                ids += id_, one.told.lead, one.told.channel, one.told.ts, one.why
            if one.is_repeat:
                kept += self._flat(held.lane, CARD if one.is_card else RECORD, {one.about: one.told})
        arguments = (LEASE_MS, WAKE_MS, int(leave), len(ids) // 5, *ids, *kept)
        answer = _unfenced(await self._run("lane_merge", held.lane, held.token, arguments))
        return Left(answer[1], held=not answer[2], wake=bool(answer[3]))

    async def change_card(
        self, held: Held, about: str, card: Card | None, outcome: Outcome, code: str = ""
    ) -> Left:
        """Record a call that changed a card, or found it gone (None); what was taken is still to be told."""
        arguments = (LEASE_MS, outcome, code, pack_card(card) if card else "")
        more = (self._keys.card(held.lane, about),)
        answer = _unfenced(await self._run("lane_card", held.lane, held.token, arguments, more))
        return Left(answer[1], held=True)

    async def cards(self, lane: str, abouts: Sequence[str], part: str = CARD) -> dict[str, Card]:
        """The cards these things have in a lane, or the records, by what they are about."""
        found: dict[str, Card] = {}
        for start in range(0, len(abouts), CARDS_AT_ONCE):
            some = abouts[start : start + CARDS_AT_ONCE]
            names = (self._keys.card(lane, about, part) for about in some)
            kept = await self._server.command("MGET", *names)
            found |= {about: unpack_card(text(one)) for about, one in zip(some, kept, strict=True) if one}
        return found

    async def runs(self, lane: str, abouts: Sequence[str]) -> dict[str, Card]:
        """The cards of the workflows that work on these resources, by what the resources are about."""
        kept = await self._server.command("MGET", *(self._keys.card(lane, about, RUN) for about in abouts))
        runs = {about: text(run) for about, run in zip(abouts, kept, strict=True) if run}
        cards = await self.cards(lane, sorted(set(runs.values())))
        return {about: cards[run] for about, run in runs.items() if run in cards}

    async def release(
        self,
        held: Held,
        *,
        outcome: Outcome | str = "",
        code: str = "",
        wait_s: float = 0,
        failed: bool = False,
        unlisted: bool = False,
        reason: str = "",
    ) -> Left:
        """Give the lane back unfinished; it lies down for `wait_s`."""
        arguments = (WAKE_MS, outcome, code, int(wait_s * 1000), int(failed), reason, int(unlisted))
        answer = _unfenced(await self._run("lane_release", held.lane, held.token, arguments))
        return Left(answer[1], held=False, wake=bool(answer[2]))

    async def bury(self, held: Held, code: str, detail: str) -> Left:
        """Dead-letter what was taken; the lane goes on."""
        answer = _unfenced(await self._run("lane_bury", held.lane, held.token, (LEASE_MS, code, detail)))
        return Left(answer[1], held=True)

    async def split(self, held: Held, code: str) -> Left:
        """After a refused message of several: tell each of them alone."""
        answer = _unfenced(await self._run("lane_split", held.lane, held.token, (LEASE_MS, code)))
        return Left(answer[1], held=True)

    async def park(
        self, held: Held, code: str, reason: str, hint: str, *, probe_s: float, called: bool
    ) -> None:
        """Stop the lane until a person acts; `called` when Slack's answer to a post said so."""
        arguments = (code, reason, hint, int(probe_s * 1000), int(called))
        more = (self._keys.named("warnings"),)
        _unfenced(await self._run("lane_park", held.lane, held.token, arguments, more))

    async def resume(self, lane: str, *, certain: bool) -> tuple[bool, bool]:
        """Let a parked lane go on, for good or for one try: (was it parked, whether to wake it)."""
        was, wake = await self._run("lane_resume", lane, "", (WAKE_MS, int(certain)))
        return bool(was), bool(wake)

    async def expire(
        self, lane: str, born_before_ms: int, why: str, *, running: bool, most: int = 500,
        missed_most: int = MISSED_MOST,
    ) -> int:  # fmt: skip
        """Dead-letter what has waited too long; of a running lane the time it was parked does not count."""
        arguments = (born_before_ms, most, why, int(running), missed_most)
        return int(await self._run("lane_expire", lane, "", arguments))

    async def near(self, *, running_s: float, parked_s: float, only_new: bool) -> list[Near]:
        """Lanes that have reached most of a limit; `only_new` those nobody was told of yet, once each."""
        keys = self._keys
        arguments = (
            keys.lane(""), keys.integration(""), keys.delivery(""), self._longest,
            int(running_s * 1000), int(parked_s * 1000), NEAR, int(only_new),
        )  # fmt: skip
        found: dict[tuple[str, Limit], Near] = {}
        async for some in self._server.members(keys.named("lanes")):
            flat = await self._server.script("lanes_near", (keys.named("warnings"),), (*arguments, *some))
            for lane, limit, reached, most in zip(*(flat[part::4] for part in range(4)), strict=True):
                one = Near(text(lane), Limit(text(limit)), int(reached), int(most))
                found[one.lane, one.limit] = one
        return list(found.values())

    async def pin(self, lane: str, address: Address) -> None:
        """Remember where a destination is, so that a rename does no harm."""
        await self._server.command("HSET", self._keys.lane(lane), "address", address.id, "name", address.name)

    async def unpin(self, lanes: Sequence[str]) -> None:
        """Forget where destinations are: the integration moved to another workspace."""
        for lane in lanes:
            await self._server.command("HDEL", self._keys.lane(lane), "address", "name")

    async def replay(self, lane: str, events: Mapping[str, str], life_s: float) -> tuple[int, bool]:
        """Put dead letters at the end of their lane: (how many were dead, whether to wake the lane).

        `events` has by the id of each the key of its event.
        """
        arguments: Sequence[Value] = (WAKE_MS, int(life_s * 1000), *events)
        replayed, wake = await self._run("lane_replay", lane, "", arguments, tuple(events.values()))
        return int(replayed), bool(wake)

    async def replay_missed(self, lane: str, life_s: float) -> tuple[int, bool]:
        """The same of what expired there while it waited for a person; each only once."""
        events, _ = self._keys.event("")
        replayed, wake = await self._run("lane_missed", lane, "", (WAKE_MS, int(life_s * 1000), events))
        return int(replayed), bool(wake)

    async def discard(self, lane: str, delivery_id: str) -> bool:
        """Nobody needs to be told any more: was it dead?"""
        return bool(await self._run("lane_discard", lane, "", (delivery_id,)))

    async def forget(self, lane: str, subscription_id: str) -> int:
        """Discard what waits for a subscription that was removed: how many."""
        return int(await self._run("lane_forget", lane, "", (subscription_id,)))

    def _flat(self, lane: str, part: str, cards: Mapping[str, Card]) -> list[Value]:
        """Cards or records as scripts keep them: key, value …"""
        return [
            each
            for about, card in cards.items()
            for each in (self._keys.card(lane, about, part), pack_card(card))
        ]

    async def _run(
        self, script: str, lane: str, token: str, arguments: Sequence[Value], more: Sequence[str] = ()
    ) -> Any:
        keys, (integration_id, _) = self._keys, lane_parts(lane)
        layout = (
            *(keys.lane(lane, part) for part in ("", "pending", "taken", "lease", "wake", "attempts")),
            keys.named("due"), keys.named("parked"), keys.held(integration_id),
            keys.integration_parked(integration_id), keys.named("ledger"), keys.named("probes"),
            keys.named("dead"), keys.named("dead:changes"), keys.named("deliveries"), keys.named("lanes"),
            *more,
        )  # fmt: skip
        return await self._server.script(
            script, layout, (lane, keys.delivery(""), self._retention_ms, token, *arguments)
        )


def _taken(reply: Sequence[Any]) -> Taken:
    id_, event, sub, seq, accepted, replays, owed, doubt, entry = texts(reply[:9])
    kept = (entry, unpack(reply[9])) if reply[9] else None
    return Taken(id_, event, sub, int(seq), int(accepted), int(replays or 0), bool(owed), bool(doubt), kept)


def _unfenced(answer: list[Any]) -> list[Any]:
    return _fenced() if answer[0] == b"fenced" else answer


def _fenced() -> NoReturn:
    raise Fenced("the lane is held by someone else by now")

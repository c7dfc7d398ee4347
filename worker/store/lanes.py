"""Lanes: pending deliveries in order, drained by one lease holder, none removed before Slack's answer is recorded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from worker.domain.backlog_warning import BacklogWarning, LimitKind
from worker.domain.card import Card, pack_card, unpack_card
from worker.domain.delivery import Address, Outcome, Receipt, lane_parts
from worker.domain.errors import LeaseLost
from worker.domain.event import Severity
from worker.domain.hints import Hint
from worker.domain.message_plan import CoveredDeliveries
from worker.store.cards import ReplacedCard
from worker.store.events import EventBody, decompress
from worker.store.keys import CARD, RECORD, RUN, SOURCES
from worker.store.ledger import take_ledger_snapshot
from worker.store.pagination import PAGE_LIMIT, Page, decode_cursor, encode_cursor, take_rows
from worker.store.redis_client import RedisClient, RedisStore, Value, pack_name, rows, text, texts

LEASE_MS = 30_000
WAKE_MS = 5_000
TAKE_LIMIT = 10_000
BODIES_LIMIT = 50  # this many deliveries come with their events' bodies
# Newest deliveries of a lane that expired while it was parked: they are replayed once it works again.
EXPIRED_LIMIT = 1_000
ADDRESSES_AT_ONCE = 500
HORIZON_MS = 3_700_000  # longest snooze of a lane: Slack's longest Retry-After
POST_METHOD = "chat.postMessage"


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery about to be created."""

    delivery_id: str
    event_ref: str
    subscription_id: str
    accepted_at_ms: int  #: When the stream accepted its event.
    held_until_ms: int = 0  #: When its subscription's quiet hours end; 0 outside of them.
    severity: Severity = Severity.INFO


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The result of appending deliveries to a lane."""

    created: int  #: How many deliveries are new.
    overflowed: int  #: How many old deliveries became dead letters, as the lane is full.
    wake: bool  #: Whether the caller is to send the lane's wake-up call.


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The result of replaying dead letters of a lane."""

    replayed: int  #: How many were dead letters and are pending now.
    wake: bool  #: Whether the caller is to send the lane's wake-up call.


@dataclass(frozen=True, slots=True)
class ResumeResult:
    """The result of resuming a lane."""

    was_parked: bool
    wake: bool  #: Whether the caller is to send the lane's wake-up call.
    was_snoozed: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to drain a lane, and what the lane remembers."""

    lane: str
    token: str  #: The proof of the lease.
    address: Address | None  #: The destination's address, once resolved.
    failures: int  #: How many attempts in a row failed.
    #: Deliveries up to this one are sent one by one, to isolate the one that Slack rejects; 0 for none.
    isolate_until_seq: int
    integrations_version: int = 0
    subscriptions_version: int = 0
    #: How many attempts in a row failed with an error code that `slack/error_codes.py` does not list.
    unlisted: int = 0
    edit_failures: int = 0  #: How many edits in a row failed.
    edits_wait_s: float = 0.0  #: Seconds until cards may be edited again.

    @property
    def integration_id(self) -> str:
        """The id of the lane's integration."""
        return lane_parts(self.lane)[0]

    @property
    def destination(self) -> str:
        """The lane's destination, as the user wrote it."""
        return lane_parts(self.lane)[1]


class Denial(StrEnum):
    """Why a lane cannot be leased."""

    LEASED = "held"
    PARKED = "parked"
    EMPTY = "empty"
    SNOOZED = "snoozed"


@dataclass(frozen=True, slots=True)
class LeaseDenied:
    """The answer when a lane cannot be leased; the last three fields are those of a snoozed lane."""

    denial: Denial
    wait_s: float = 0.0
    reason: str = ""
    failures: int = 0


@dataclass(frozen=True, slots=True)
class TakenDelivery:
    """A delivery about to be sent."""

    delivery_id: str
    event_ref: str
    subscription_id: str
    seq: int  #: Its place in the lane.
    accepted_at_ms: int  #: When the stream accepted its event.
    replays: int = 0  #: How often it was replayed.
    card_pending: bool = False  #: Whether a digest left it out, because it is to get a card of its own.
    doubt: bool = False  #: Whether an earlier attempt may have posted it.
    event_body: EventBody | None = None  #: Its event's body, where few deliveries were taken.


@dataclass(frozen=True, slots=True)
class PaceClosed:
    """The answer while Slack asks to wait before the next call."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class LaneRemainder:
    """The lane after a step of its holder."""

    pending: int  #: How many deliveries are pending.
    holds_lease: bool  #: Whether the caller still holds the lease.
    wake: bool = False  #: Whether the caller is to send the lane's wake-up call.


@dataclass(frozen=True, slots=True)
class NearLimit:
    """A limit that a lane came near to."""

    since_ms: int  #: When it came near.
    backlog: BacklogWarning  #: How near it was then.


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """A lane's address, and why it is parked or snoozed."""

    parked: str = ""  #: The code for which the lane is parked; empty while it is not.
    reason: str = ""  #: Why the lane is parked; kept after a resume until a message was sent.
    hint: Hint = field(default_factory=Hint)  #: What to do about it.
    since_ms: int = 0  #: When the lane was parked; 0 once a message was sent again.
    snoozed: str = ""  #: Why the lane is snoozed; empty while it is not.
    address: Address | None = None  #: The destination's address, once resolved.
    near_limits: Mapping[LimitKind, NearLimit] = field(default_factory=dict)  #: The limits the lane is near to.


class Lanes(RedisStore):
    """The steps of a lane, each one atomic script that may run twice. Raise `LeaseLost` when another has the lease."""

    def __init__(self, server: RedisClient, *, retention_s: float, longest: int = TAKE_LIMIT) -> None:
        super().__init__(server)
        self._retention_ms = int(retention_s * 1000)
        self._longest = longest

    async def append(self, lane: str, deliveries: Iterable[NewDelivery]) -> AppendResult:
        """Create deliveries at the end of their lane; one that exists is left as it is."""
        arguments: list[Value] = [*lane_parts(lane), self._longest, WAKE_MS]
        for delivery in deliveries:
            arguments += delivery.delivery_id, delivery.event_ref, delivery.subscription_id
            arguments += delivery.accepted_at_ms, delivery.held_until_ms, int(delivery.severity)
        created, overflowed, wake = await self._run("lane_append", lane, arguments)
        return AppendResult(created=created, overflowed=overflowed, wake=bool(wake))

    async def acquire(self, lane: str, token: str) -> Lease | LeaseDenied:
        """Take the lease of a lane that is due, with what a dead holder left in it."""
        versions = tuple(map(self._keys.version, ("integrations", "subscriptions")))
        status, *known = await self._run("lane_acquire", lane, (LEASE_MS, HORIZON_MS, token), versions)
        if status != b"ok":
            wait_ms, reason, failures = known or (0, b"", 0)
            return LeaseDenied(Denial(text(status)), wait_ms / 1000, text(reason), int(failures))
        address, name, failures, isolate_until_seq, integrations, subscriptions, unlisted, *edits = texts(known)
        return Lease(
            lane=lane, token=token, address=Address(address, name) if address else None, failures=int(failures),
            isolate_until_seq=int(isolate_until_seq), integrations_version=int(integrations),
            subscriptions_version=int(subscriptions), unlisted=int(unlisted), edit_failures=int(edits[0]),
            edits_wait_s=int(edits[1]) / 1000,
        )  # fmt: skip

    async def take(
        self, lease: Lease, closed_keys: tuple[str, str], *, limit: int = TAKE_LIMIT, method: str = POST_METHOD
    ) -> tuple[TakenDelivery, ...] | PaceClosed:
        """Take the pending deliveries and open their attempt, unless one of `closed_keys` is present."""
        arguments = (LEASE_MS, limit, method, self._keys.event("")[0], BODIES_LIMIT)
        answer = await self._step("lane_take", lease, *arguments, keys=closed_keys)
        if answer[0] == b"closed":
            return PaceClosed(answer[1] / 1000)
        return tuple(map(_taken, rows(answer[1:], 10)))

    async def select(self, lease: Lease, delivery_ids: Iterable[str], *, method: str) -> None:
        """Keep only these of the taken deliveries, for a call of `method` (none if empty); put back the others."""
        await self._step("lane_select", lease, LEASE_MS, method, *delivery_ids)

    async def close_attempt(self, lease: Lease, outcome: Outcome, code: str, wait_s: float) -> None:
        """Record a call that did not post, and renew the lease for the wait that follows."""
        await self._step("lane_retry", lease, LEASE_MS, "", outcome, code, int(wait_s * 1000), 0)

    async def open_attempt(self, lease: Lease, method: str = POST_METHOD, *, newest_seq: int = 0) -> bool:
        """Record another call for the taken deliveries; return False, and do not, if a newer one is pending."""
        answer = await self._step("lane_retry", lease, LEASE_MS, method, "", "", 0, newest_seq)
        return bool(answer[0] == b"ok")

    async def settle(
        self, lease: Lease, receipt: Receipt, lead: str, *, release: bool = False, card: tuple[str, Card] | None = None,
        card_pending: Sequence[str] = (), records: Mapping[str, Card] = MappingProxyType({}),
        runs: Mapping[str, str] = MappingProxyType({}), alert: tuple[str, str] = ("", ""),
        replaced: Sequence[Card] = (),
    ) -> LaneRemainder:  # fmt: skip
        """Record the receipt for the taken deliveries: `lead` is delivered, the others are merged into it.

        `card`, with its subject's key, is the one the message became. `card_pending` are pending deliveries that the
        message left out: from now on no digest takes them. `records` of what the message reported without a card are
        kept by subject, and so is which of the `runs` works on a resource. `alert` is the fingerprint and the source of
        an alert's card. The sweeper edits `replaced` cards once more, to link the message. The lease is kept while more
        is pending, unless `release`.
        """
        subject_key, packed = (card[0], pack_card(card[1])) if card else ("", "")
        run_words = (word for key, run in runs.items() for word in (self._keys.card(lease.lane, key, RUN), run))
        arguments = (
            LEASE_MS, WAKE_MS, receipt.channel, receipt.ts, lead, int(release), packed, alert[1], len(replaced),
            *(ReplacedCard(lease.lane, card, receipt).pack() for card in replaced),
            len(card_pending), *card_pending, *self._pack_cards(lease.lane, RECORD, records), *run_words,
        )  # fmt: skip
        sources_key = self._keys.card(lease.lane, alert[0], SOURCES)
        keys = (self._keys.card(lease.lane, subject_key), sources_key, self._keys.named("replaced"))
        return await self._finish("lane_settle", lease, *arguments, keys=keys)

    async def add_note(self, delivery_id: str, note: str) -> None:
        """Note what a person should know about the message of a delivery."""
        await self._server.command("HSET", self._keys.delivery(delivery_id), "note", note)

    async def merge(
        self, lease: Lease, covered: Iterable[CoveredDeliveries], *, release: bool = False
    ) -> LaneRemainder:
        """Merge taken deliveries that need no call into the one that reported their state, or a newer one."""
        deliveries: list[Value] = []
        cards: list[Value] = []
        for group in covered:
            shown_by = group.shown_by
            for delivery_id in group.delivery_ids:
                deliveries += delivery_id, shown_by.lead, shown_by.channel, shown_by.ts, group.reason
            if group.is_repeat:
                part = CARD if group.is_card else RECORD
                cards += self._pack_cards(lease.lane, part, {group.subject_key: shown_by})
        arguments = (LEASE_MS, WAKE_MS, int(release), len(deliveries) // 5, *deliveries, *cards)
        return await self._finish("lane_merge", lease, *arguments)

    async def update_card(
        self, lease: Lease, subject_key: str, card: Card | None, outcome: Outcome, code: str = ""
    ) -> LaneRemainder:
        """Record a call that changed a card, or found it gone (None); the taken deliveries are pending again."""
        packed, keys = pack_card(card) if card else "", (self._keys.card(lease.lane, subject_key),)
        return await self._finish("lane_update_card", lease, LEASE_MS, outcome, code, packed, keys=keys)

    async def put_off_edits(self, lease: Lease, outcome: Outcome, code: str, wait_s: float) -> LaneRemainder:
        """Record an edit that failed; for `wait_s` no other is made, and the taken deliveries are pending again."""
        return await self._finish("lane_put_off_edits", lease, LEASE_MS, outcome, code, int(wait_s * 1000))

    async def get_cards(self, lane: str, subject_keys: Sequence[str], part: str = CARD) -> dict[str, Card]:
        """Return the cards (or records) of these subjects in a lane."""
        stored = await self._get_parts(lane, subject_keys, part)
        return {key: unpack_card(card) for key, card in stored.items()}

    async def get_run_cards(self, lane: str, subject_keys: Sequence[str]) -> dict[str, Card]:
        """Return, by resource, the cards of the workflow runs that work on these resources."""
        runs = await self._get_parts(lane, subject_keys, RUN)
        cards = await self.get_cards(lane, sorted(set(runs.values())))
        return {key: cards[run] for key, run in runs.items() if run in cards}

    async def get_alert_sources(self, lane: str, fingerprints: Sequence[str]) -> dict[str, list[str]]:
        """Return, by fingerprint, the sources whose alert got a card in a lane."""
        commands = [("SMEMBERS", self._keys.card(lane, fingerprint, SOURCES)) for fingerprint in fingerprints]
        stored = await self._server.pipeline(commands) if commands else ()
        return {name: sorted(texts(list(sources))) for name, sources in zip(fingerprints, stored, strict=True)}

    async def release(
        self, lease: Lease, *, outcome: Outcome | str = "", code: str = "", wait_s: float = 0, failed: bool = False,
        unlisted: bool = False, reason: str = "",
    ) -> LaneRemainder:  # fmt: skip
        """Release the lease, put back the taken deliveries and snooze the lane for `wait_s`.

        Without a reason it is due then, and when a new delivery comes.
        """
        arguments = (WAKE_MS, outcome, code, int(wait_s * 1000), int(failed), reason, int(unlisted))
        return await self._finish("lane_release", lease, *arguments)

    async def dead_letter(self, lease: Lease, code: str, detail: str) -> LaneRemainder:
        """Make dead letters of the taken deliveries."""
        return await self._finish("lane_reject", lease, LEASE_MS, code, detail, 0)

    async def split(self, lease: Lease, code: str) -> LaneRemainder:
        """Put back the taken deliveries to be sent one by one, as Slack rejected the message of all."""
        return await self._finish("lane_reject", lease, LEASE_MS, code, "", 1)

    async def park(self, lease: Lease, code: str, reason: str, hint: Hint, *, probe_s: float, called: bool) -> None:
        """Park the lane until a person acts or a probe succeeds; `called` if a call to Slack found the reason."""
        arguments = (code, reason, str(hint), int(probe_s * 1000), int(called), hint.to_json())
        await self._step("lane_park", lease, *arguments, keys=(self._keys.named("warnings"),))

    async def resume(self, lane: str, *, permanently: bool) -> ResumeResult:
        """Resume a lane, permanently when its reason is known to be gone, else for one attempt; end its snooze."""
        was_parked, wake, was_snoozed = await self._run("lane_resume", lane, (WAKE_MS, int(permanently)))
        return ResumeResult(was_parked=bool(was_parked), was_snoozed=bool(was_snoozed), wake=bool(wake))

    async def expire(
        self, lane: str, born_before_ms: int, reason: str, *, running: bool, limit: int = 500,
        expired_limit: int = EXPIRED_LIMIT,
    ) -> int:  # fmt: skip
        """Make dead letters of deliveries that waited too long and return their count.

        In a running lane the time it was parked does not count. In a parked one the newest `expired_limit` are noted,
        to be replayed once the lane works again.
        """
        arguments = (born_before_ms, limit, reason, int(running), expired_limit)
        return int(await self._run("lane_expire", lane, arguments))

    async def get_status(self, lane: str) -> LaneStatus:
        """Return a lane's address, and why it is parked or snoozed."""
        names = ("parked", "reason", "hint", "hint_parts", "since", "snoozed", "address", "name")
        near = [f"near_{limit}" for limit in LimitKind]
        stored = texts(await self._server.command("HMGET", self._keys.lane(lane), *names, *near))
        parked, reason, hint, hint_parts, since_ms, snoozed, address, name = stored[: len(names)]
        limits: dict[LimitKind, NearLimit] = {}
        for limit, noted in zip(LimitKind, stored[len(names) :], strict=True):
            if noted:
                near_since_ms, reached, most = map(int, noted.split())
                limits[limit] = NearLimit(near_since_ms, BacklogWarning(lane, limit, reached, most))
        return LaneStatus(
            parked=parked, reason=reason, hint=Hint.from_stored(hint, hint_parts), since_ms=int(since_ms or 0),
            snoozed=snoozed, address=Address(address, name) if address else None, near_limits=limits,
        )  # fmt: skip

    async def pin_address(self, lane: str, address: Address) -> None:
        """Remember the destination's address, so that renaming the channel changes nothing."""
        await self._server.command("HSET", self._keys.lane(lane), "address", address.id, "name", address.name)

    async def unpin_addresses(self, lanes: Sequence[str]) -> None:
        """Forget the addresses of these lanes, as their integration moved to another workspace."""
        await self._server.pipeline([("HDEL", self._keys.lane(lane), "address", "name") for lane in lanes])

    async def replay(self, lane: str, delivery_id: str, life_s: float, who: str = "") -> ReplayResult:
        """Put a dead letter at the end of its lane, or, without an id, all that expired while the lane was parked.

        The delivery's history keeps `who` replayed it.
        """
        arguments = (WAKE_MS, int(life_s * 1000), self._keys.event("")[0], delivery_id, pack_name(who))
        replayed, wake = await self._run("lane_replay", lane, arguments)
        return ReplayResult(replayed=int(replayed), wake=bool(wake))

    async def discard(self, lane: str, delivery_id: str, who: str = "") -> bool:
        """Discard a dead letter; return whether it was one."""
        return bool(await self._run("lane_discard", lane, (delivery_id, pack_name(who))))

    async def list_names(self) -> list[str]:
        """Return the names of all lanes that ever had a delivery."""
        return sorted(texts(list(await self._server.command("SMEMBERS", self._keys.named("lanes")))))

    async def find_addresses(self, lanes: Sequence[str]) -> dict[str, Address]:
        """Return the addresses of these lanes, as far as they are known."""
        prefix, found = self._keys.lane(""), dict[str, Address]()
        for start in range(0, len(lanes), ADDRESSES_AT_ONCE):
            batch = (prefix, *lanes[start : start + ADDRESSES_AT_ONCE])
            flat = texts(await self._server.run_script("addresses", (), batch))
            found |= {lane: Address(id_, name) for lane, id_, name in rows(flat, 3)}
        return found

    async def discard_of_subscription(self, lane: str, subscription_id: str) -> int:
        """Discard the pending deliveries of a removed subscription and return their count."""
        return int(await self._run("lane_discard_subscription", lane, (subscription_id,)))

    async def _get_parts(self, lane: str, subject_keys: Sequence[str], part: str) -> dict[str, str]:
        keys = [self._keys.card(lane, subject_key, part) for subject_key in subject_keys]
        stored = await self._server.command("MGET", *keys) if keys else ()
        return {key: text(value) for key, value in zip(subject_keys, stored, strict=True) if value}

    def _pack_cards(self, lane: str, part: str, cards: Mapping[str, Card]) -> list[Value]:
        """Return key, value … of cards or records, as scripts take them."""
        return [word for key, card in cards.items() for word in (self._keys.card(lane, key, part), pack_card(card))]

    async def _finish(self, script: str, lease: Lease, *arguments: Value, keys: Sequence[str] = ()) -> LaneRemainder:
        """Run a step that may be the holder's last, and return the lane after it."""
        _, pending, is_released, wake = await self._step(script, lease, *arguments, keys=keys)
        return LaneRemainder(pending=pending, holds_lease=not is_released, wake=bool(wake))

    async def _step(self, script: str, lease: Lease, *arguments: Value, keys: Sequence[str] = ()) -> list[Any]:
        """Run a step of the lease holder."""
        answer: list[Any] = await self._run(script, lease.lane, arguments, keys, token=lease.token)
        if answer[0] == b"fenced":
            raise LeaseLost("another worker holds the lane now")
        return answer

    async def _run(
        self, script: str, lane: str, arguments: Sequence[Value], more_keys: Sequence[str] = (), *, token: str = ""
    ) -> Any:
        keys, (integration_id, _) = self._keys, lane_parts(lane)
        layout = (
            *(keys.lane(lane, part) for part in ("", "pending", "taken", "lease", "wake", "attempts")),
            keys.named("due"), keys.named("parked"), keys.lanes_of_parked_integration(integration_id),
            keys.integration(integration_id, "parked"), keys.named("ledger"), keys.named("probes"),
            keys.named("dead"), keys.named("dead:changes"), keys.named("deliveries"), keys.named("lanes"),
            *more_keys,
        )  # fmt: skip
        words = (lane, keys.delivery(""), self._retention_ms, token, *arguments)
        return await self._server.run_script(script, layout, words)


def _taken(row: Sequence[Any]) -> TakenDelivery:
    id_, event, subscription, seq, accepted, replays, card_pending, doubt, entry = texts(row[:9])
    return TakenDelivery(
        delivery_id=id_, event_ref=event, subscription_id=subscription, seq=int(seq), accepted_at_ms=int(accepted),
        replays=int(replays or 0), card_pending=bool(card_pending), doubt=bool(doubt),
        event_body=EventBody(entry_id=entry, body=decompress(row[9])) if row[9] else None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ParkedLane:
    """A lane that is parked until a person acts or a probe succeeds."""

    lane: str
    reason: str  #: The code of the reason.
    detail: str  #: The reason as a sentence.
    hint: Hint  #: What to do about it.
    pending: int  #: How many deliveries are pending.
    since_ms: int
    whole_integration: bool = False  #: Whether its integration is parked; the lane is then resumed with it.

    @property
    def channel(self) -> str:
        """The lane's destination, as the user wrote it."""
        return lane_parts(self.lane)[1]


class ParkedLanes(RedisStore):
    """The list of parked lanes, the one parked first at the top."""

    async def page(self, after: str | None = None, limit: int = 50) -> Page[ParkedLane]:
        """Return a page of the list. Raises `UsageError` when `after` is no cursor of it."""
        keys, (since_ms, name) = self._keys, decode_cursor(after, r"\d+", "(?s:.+)")
        integration_ids = set(texts(await self._server.command("HKEYS", keys.named("integrations"))))
        parked: list[ParkedLane] = []
        for count in (await take_ledger_snapshot(self._server)).lanes:
            whole = bool(count.integration_parked) and lane_parts(count.lane)[0] in integration_ids
            reason = count.integration_parked if whole else count.parked or count.integration_parked
            at_ms = count.integration_since_ms if whole else count.since_ms
            if reason and (not after or (at_ms, count.lane) > (int(since_ms), name)):
                parked.append(ParkedLane(count.lane, reason, "", Hint(), count.pending, at_ms, whole_integration=whole))
        parked.sort(key=lambda lane: (lane.since_ms, lane.lane))
        page = parked[: min(limit, PAGE_LIMIT)]
        reason_keys = [
            keys.integration(lane_parts(lane.lane)[0], "parked") if lane.whole_integration else keys.lane(lane.lane)
            for lane in page
        ]
        stored = await self._server.pipeline([("HMGET", key, "reason", "hint", "hint_parts") for key in reason_keys])
        page = [
            replace(lane, detail=detail, hint=Hint.from_stored(hint, parts))
            for lane, (detail, hint, parts) in zip(page, map(texts, stored), strict=True)
        ]
        is_last = len(page) == len(parked)
        return Page(tuple(page), None if is_last else encode_cursor((page[-1].since_ms, page[-1].lane)))

    async def list_all(self) -> list[ParkedLane]:
        """Return the whole list."""
        return await take_rows(self.page)

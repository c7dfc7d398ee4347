"""The balance after a run, message by message: what was published against what Slack has."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from installation import MARK, Installation, alert, assert_in_order, marks, ref, until

from worker.domain.delivery import Delivery, Outcome, State
from worker.store.ledger import Balance

REPORT: list[str] = []
"""What each run has cost, for the end of the whole report."""

CHANNELS = [f"c{number:02}" for number in range(40)]

LATER = 404  # not a multiple of five, so that what is resolved resolves nothing itself
LINES_LEAST = 3
"""So many of a digest's events are named at least, in whichever form Slack took it."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run has cost.

    `shown_twice` events stand in more than one message; `repeated` were told again after an attempt of
    unknown outcome, whether that one had posted or not; `replayed` were dead letters that a person put back.
    `overtaken` came into their lane after a later one of the stream: what an ingest that was killed had in
    hand is claimed 10 s later.
    """

    events: int
    messages: int
    shown_twice: int
    repeated: int
    most_doubts: int
    replayed: int
    overtaken: int


def load(events: int) -> list[dict[str, object]]:
    """Alerts, channel after channel; each fifth resolves one that fired ten seconds before (`resolved`)."""
    return [_event(number) for number in range(events)]


def resolved(number: int) -> int | None:
    """The event whose alert this one resolves: its card is edited, and its thread is told."""
    return number - LATER if number % 5 == LATER % 5 and number >= LATER else None


def _event(number: int) -> dict[str, object]:
    first = resolved(number)
    if first is None:
        return alert(number, CHANNELS[number % len(CHANNELS)])
    ended = alert(number, CHANNELS[first % len(CHANNELS)], fingerprint=f"f{first}")
    return {**ended, "type": "io.infrakitchen.alert.resolved"}


async def assert_accounted(one: Installation, events: int, *, most_s: float = 120) -> Figures:
    """Every event is told by a message Slack has; repeats are where an outcome was unknown, and marked."""
    balance = await _told(one, events, most_s)
    assert (balance.accepted, balance.created, balance.unaccounted) == (events, events, 0)
    assert (balance.pending, balance.parked, balance.dead, balance.discarded) == (0, 0, 0, 0)
    assert (balance.suppressed, balance.rejected) == (0, 0)

    deliveries = {delivery.event_ref: delivery for delivery in await one.deliveries()}
    assert deliveries.keys() == {ref(f"evt-{number}") for number in range(events)}
    posted, shown = _what_slack_has(one)
    ended = {
        ref(f"evt-{first}"): ref(f"evt-{n}") for n in range(events) if (first := resolved(n)) is not None
    }
    doubts: list[int] = []
    for some in batched(deliveries.values()):
        doubts += await asyncio.gather(
            *(_account(one, it, posted, len(shown[it.event_ref]), ended.values()) for it in some)
        )
    assert balance.repeated <= sum(delivery.repeated for delivery in deliveries.values())
    _assert_shown(deliveries, posted, ended)
    cards = {*ended, *ended.values()}  # what is edited stands where its first state was told
    seqs = {
        event: delivery.seq
        for event, delivery in deliveries.items()
        if not delivery.replays and event not in cards
    }
    for name in CHANNELS:
        assert_in_order(name, one.messages(f"#{name}"), seqs)
    return Figures(
        events,
        messages=len(posted),
        shown_twice=sum(len(times) > 1 for times in shown.values()),
        repeated=sum(delivery.repeated for delivery in deliveries.values()),
        most_doubts=max(doubts),
        replayed=sum(delivery.replays > 0 for delivery in deliveries.values()),
        overtaken=_overtaken(deliveries, events),
    )


async def _told(one: Installation, events: int, most_s: float) -> Balance:
    """Until every one is told; dead letters are put back, as a person would once Slack is well."""
    last: list[Balance] = []

    async def told() -> Balance | None:
        last[:] = [balance := await one.balance()]
        if balance.dead:
            replayed = await one.cli("dead-letters", "replay", "--all")
            assert replayed.code == 0, replayed
        return balance if balance.delivered + balance.merged == balance.created == events else None

    balance: Balance = await until(told, f"{events} deliveries told", most_s=most_s, told=lambda: last)
    return balance


def batched(deliveries: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    """A few hundred at a time, to be asked for together."""
    left = iter(deliveries)
    while some := list(islice(left, 200)):
        yield some


def _overtaken(deliveries: dict[str, Delivery], events: int) -> int:
    """How many events stand in their lane behind one that was published later."""
    lowest: dict[str, int] = {}
    count = 0
    for number in reversed(range(events)):
        delivery = deliveries[ref(f"evt-{number}")]
        count += delivery.seq > lowest.get(delivery.lane, delivery.seq)
        lowest[delivery.lane] = min(delivery.seq, lowest.get(delivery.lane, delivery.seq))
    return count


def _what_slack_has(one: Installation) -> tuple[dict[tuple[str, str], set[str]], dict[str, list[str]]]:
    """The events each message speaks of, by its channel and `ts`; and per event the messages that show it."""
    posted: dict[tuple[str, str], set[str]] = {}
    shown: dict[str, list[str]] = defaultdict(list)
    for name in CHANNELS:
        for message in one.messages(f"#{name}"):
            said = json.dumps([message.get("text"), message.get("blocks"), message.get("attachments")])
            posted[message["channel"], message["ts"]] = {ref(mark) for mark in MARK.findall(said)}
            for mark in marks(message):
                shown[ref(mark)].append(message["ts"])
    return posted, shown


def _assert_shown(
    deliveries: Mapping[str, Delivery], posted: Mapping[tuple[str, str], set[str]], ended: Mapping[str, str]
) -> None:
    """What is said to be told by a message stands in it, or a newer state of the same thing does.

    A digest names as many as it has lines for.
    """
    tells: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event, delivery in deliveries.items():
        tells[delivery.channel, delivery.ts].add(event)
    for receipt, events in tells.items():
        named = [event for event in events if {event, ended.get(event)} & posted[receipt]]
        assert len(named) >= min(len(events), LINES_LEAST), f"{receipt} names {len(named)} of {len(events)}"


async def _account(
    one: Installation,
    delivery: Delivery,
    posted: Container[tuple[str, str]],
    shown: int,
    replied: Container[str],
) -> int:
    """One delivery's receipt and repeats: how many of its attempts were of unknown outcome."""
    assert (delivery.channel, delivery.ts) in posted
    if delivery.state is State.MERGED:
        lead = await one.made.deliveries.find(delivery.merged_into)
        assert lead
        assert (lead.state, lead.ts) == (State.DELIVERED, delivery.ts)
    else:
        assert delivery.state is State.DELIVERED
    outcomes = [
        attempt.outcome
        for attempt in await one.made.deliveries.attempts(delivery)
        if attempt.method != "chat.update"  # which shows nothing twice
    ]
    doubts = outcomes.count(Outcome.UNKNOWN)
    record = one.made.server.keys.delivery(delivery.id)
    owed = await one.made.server.command("HEXISTS", record, "owed")  # a digest told it before its card
    of_card = delivery.event_ref in replied  # a resolution stands on its card, and in the thread of it
    assert shown <= 1 + doubts + owed + of_card, f"{delivery} in {shown}, {outcomes}"
    assert delivery.repeated == (doubts > 0), f"{delivery} in {shown}, {outcomes}"
    return doubts

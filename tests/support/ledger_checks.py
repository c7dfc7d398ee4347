"""The check after a run, message by message: the published events against the messages in Slack."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from support.events import MARK, marks_in, numbered_alert, ref_of_mark
from support.installation import Installation, assert_in_order, until
from worker.domain.delivery import Delivery, Outcome, State
from worker.store.ledger import Balance

REPORT: list[str] = []
"""A summary of each run, for the end of the test report."""

CHANNELS = [f"c{number:02}" for number in range(40)]

LATER = 404  # not a multiple of five, so that a resolved alert resolves no other
LINES_LEAST = 3
"""Minimum number of events that a digest names, in every form that Slack accepts."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of a run.

    `shown_twice` events are in more than one message; `repeated` were sent again after an attempt of unknown
    outcome, whether that one had posted or not; `replayed` were dead letters that were replayed. `overtaken` entered
    their lane after a later event of the stream: another ingest claims the entries of a killed one 10 s later.
    """

    events: int
    messages: int
    shown_twice: int
    repeated: int
    most_doubts: int
    replayed: int
    overtaken: int


def make_load(events: int) -> list[dict[str, object]]:
    """Return alerts, channel after channel; each fifth resolves one that fired ten seconds before (`resolved`)."""
    return [_event(number) for number in range(events)]


def resolved(number: int) -> int | None:
    """Return the event whose alert this one resolves: its card is edited, and its thread gets a reply."""
    return number - LATER if number % 5 == LATER % 5 and number >= LATER else None


def _event(number: int) -> dict[str, object]:
    first = resolved(number)
    if first is None:
        return numbered_alert(number, CHANNELS[number % len(CHANNELS)])
    ended = numbered_alert(number, CHANNELS[first % len(CHANNELS)], fingerprint=f"f{first}")
    return {**ended, "type": "io.infrakitchen.alert.resolved"}


async def assert_accounted(installation: Installation, events: int, *, most_s: float = 120) -> Figures:
    """Assert that every event is in a message, and repeated only, and marked, where an outcome was unknown."""
    balance = await _wait_until_delivered(installation, events, most_s)
    assert (balance.accepted, balance.created, balance.unaccounted) == (events, events, 0)
    assert (balance.pending, balance.parked, balance.dead, balance.discarded) == (0, 0, 0, 0)
    assert (balance.suppressed, balance.rejected) == (0, 0)

    deliveries = {delivery.event_ref: delivery for delivery in await installation.deliveries()}
    assert deliveries.keys() == {ref_of_mark(f"evt-{number}") for number in range(events)}
    posted, shown = _posted_messages(installation)
    ended = {
        ref_of_mark(f"evt-{first}"): ref_of_mark(f"evt-{n}")
        for n in range(events)
        if (first := resolved(n)) is not None
    }
    doubts: list[int] = []
    for batch in batched(deliveries.values()):
        doubts += await asyncio.gather(
            *(
                _check_delivery(installation, delivery, posted, len(shown[delivery.event_ref]), ended.values())
                for delivery in batch
            )
        )
    assert balance.repeated == sum(delivery.repeated for delivery in deliveries.values())
    _assert_shown(deliveries, posted, ended)
    cards = {*ended, *ended.values()}  # an edited card stays where its first state was posted
    seqs = {
        event: delivery.seq for event, delivery in deliveries.items() if not delivery.replays and event not in cards
    }
    for name in CHANNELS:
        assert_in_order(name, installation.messages(f"#{name}"), seqs)
    return Figures(
        events,
        messages=len(posted),
        shown_twice=sum(len(times) > 1 for times in shown.values()),
        repeated=sum(delivery.repeated for delivery in deliveries.values()),
        most_doubts=max(doubts),
        replayed=sum(delivery.replays > 0 for delivery in deliveries.values()),
        overtaken=_overtaken(deliveries, events),
    )


async def _wait_until_delivered(installation: Installation, events: int, most_s: float) -> Balance:
    """Wait until every event is delivered; replay the dead letters, as a person would once Slack is healthy."""
    last: list[Balance] = []

    async def all_delivered() -> Balance | None:
        last[:] = [balance := await installation.balance()]
        if balance.dead:
            replayed = await installation.cli("dead-letters", "replay", "--all")
            assert replayed.code == 0, replayed
        return balance if balance.delivered + balance.merged == balance.created == events else None

    balance: Balance = await until(all_delivered, f"{events} events delivered", most_s=most_s, told=lambda: last)
    return balance


def batched(deliveries: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    """Yield the deliveries in batches, to be read together."""
    left = iter(deliveries)
    while batch := list(islice(left, 200)):
        yield batch


def _overtaken(deliveries: dict[str, Delivery], events: int) -> int:
    """Return the number of events that are in their lane behind one that was published later."""
    lowest: dict[str, int] = {}
    count = 0
    for number in reversed(range(events)):
        delivery = deliveries[ref_of_mark(f"evt-{number}")]
        count += delivery.seq > lowest.get(delivery.lane, delivery.seq)
        lowest[delivery.lane] = min(delivery.seq, lowest.get(delivery.lane, delivery.seq))
    return count


def _posted_messages(installation: Installation) -> tuple[dict[tuple[str, str], set[str]], dict[str, list[str]]]:
    """Return the events of each message by its channel and `ts`, and the messages that show each event."""
    posted: dict[tuple[str, str], set[str]] = {}
    shown: dict[str, list[str]] = defaultdict(list)
    for name in CHANNELS:
        for message in installation.messages(f"#{name}"):
            content = json.dumps([message.get("text"), message.get("blocks"), message.get("attachments")])
            posted[message["channel"], message["ts"]] = {ref_of_mark(mark) for mark in MARK.findall(content)}
            for mark in marks_in(message):
                shown[ref_of_mark(mark)].append(message["ts"])
    return posted, shown


def _assert_shown(
    deliveries: Mapping[str, Delivery], posted: Mapping[tuple[str, str], set[str]], ended: Mapping[str, str]
) -> None:
    """Assert that each message shows its deliveries' events, or a newer state of them.

    A digest names as many events as it has lines.
    """
    by_receipt: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event, delivery in deliveries.items():
        by_receipt[delivery.channel, delivery.ts].add(event)
    for receipt, events in by_receipt.items():
        named = [event for event in events if {event, ended.get(event)} & posted[receipt]]
        assert len(named) >= min(len(events), LINES_LEAST), f"{receipt} names {len(named)} of {len(events)}"


async def _check_delivery(
    installation: Installation,
    delivery: Delivery,
    posted: Container[tuple[str, str]],
    shown: int,
    replied: Container[str],
) -> int:
    """Check a delivery's receipt and repeats; return the number of its attempts of unknown outcome."""
    assert (delivery.channel, delivery.ts) in posted
    if delivery.state is State.MERGED:
        lead = await installation.app.deliveries.find(delivery.merged_into)
        assert lead
        assert (lead.state, lead.ts) == (State.DELIVERED, delivery.ts)
    else:
        assert delivery.state is State.DELIVERED
    outcomes = [
        attempt.outcome
        for attempt in await installation.app.deliveries.list_attempts(delivery)
        if attempt.method != "chat.update"  # which shows nothing twice
    ]
    doubts = outcomes.count(Outcome.UNKNOWN)
    of_card = delivery.event_ref in replied  # a resolution is on its card, and in its thread
    assert shown <= 1 + doubts + of_card, f"{delivery} in {shown}, {outcomes}"
    assert delivery.repeated == (doubts > 0), f"{delivery} in {shown}, {outcomes}"
    return doubts

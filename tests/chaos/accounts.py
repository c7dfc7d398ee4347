"""The balance after a run, message by message: what was published against what Slack has."""

from collections import defaultdict
from dataclasses import dataclass

from installation import Installation, alert, marks, ref

from worker.domain.delivery import Delivery, Outcome, State

REPORT: list[str] = []
"""What each run has cost, for the end of the whole report."""

CHANNELS = [f"c{number:02}" for number in range(20)]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run has cost.

    `shown_twice` events stand in more than one message; `repeated` were told again after an attempt of
    unknown outcome, whether that one had posted or not. `overtaken` came into their lane after a later one of
    the stream: what an ingest that was killed had in hand is claimed 10 s later.
    """

    events: int
    messages: int
    shown_twice: int
    repeated: int
    most_doubts: int
    overtaken: int


def load(events: int, first: int = 0) -> list[dict[str, object]]:
    """Events of their own, channel after channel."""
    return [alert(number, CHANNELS[number % len(CHANNELS)]) for number in range(first, first + events)]


async def assert_accounted(one: Installation, events: int, *, most_s: float = 120) -> Figures:
    """Every event is told by a message Slack has; repeats are where an outcome was unknown, and marked."""
    balance = await one.settled(events, most_s=most_s)
    assert (balance.accepted, balance.created) == (events, events)
    assert (balance.pending, balance.parked, balance.dead, balance.discarded) == (0, 0, 0, 0)
    assert (balance.suppressed, balance.rejected) == (0, 0)

    deliveries = {delivery.event_ref: delivery for delivery in await one.deliveries()}
    assert deliveries.keys() == {ref(f"evt-{number}") for number in range(events)}
    posted, shown = _what_slack_has(one)
    doubts = [await _account(one, deliveries[event], posted, shown[event]) for event in deliveries]
    for name in CHANNELS:
        await one.assert_in_order(f"#{name}")
    return Figures(
        events,
        messages=len(posted),
        shown_twice=sum(len(times) > 1 for times in shown.values()),
        repeated=sum(delivery.repeated for delivery in deliveries.values()),
        most_doubts=max(doubts),
        overtaken=sum(_overtaken(deliveries, events, place) for place in range(len(CHANNELS))),
    )


def _overtaken(deliveries: dict[str, Delivery], events: int, place: int) -> int:
    """How many events of a channel stand in its lane behind one that was published later."""
    seqs = [deliveries[ref(f"evt-{number}")].seq for number in range(place, events, len(CHANNELS))]
    lowest, count = seqs[-1], 0
    for seq in reversed(seqs):
        count += seq > lowest
        lowest = min(lowest, seq)
    return count


def _what_slack_has(one: Installation) -> tuple[set[tuple[str, str]], dict[str, list[str]]]:
    """Every message's channel and `ts`; and per event the messages that show it."""
    posted: set[tuple[str, str]] = set()
    shown: dict[str, list[str]] = defaultdict(list)
    for name in CHANNELS:
        for message in one.messages(f"#{name}"):
            posted.add((message["channel"], message["ts"]))
            for mark in marks(message):
                shown[ref(mark)].append(message["ts"])
    return posted, shown


async def _account(
    one: Installation, delivery: Delivery, posted: set[tuple[str, str]], shown: list[str]
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
    owed = await one.redis.hexists(f"ik:delivery:{delivery.id}", "owed")  # a digest told it before its card
    assert len(shown) <= 1 + doubts + owed, f"{delivery} in {shown}, {outcomes}"
    assert delivery.repeated == (doubts > 0), f"{delivery} in {shown}, {outcomes}"
    return doubts

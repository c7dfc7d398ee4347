"""Planner: the newest state of each subject wins, the most urgent comes first, and every delivery is in one line."""

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.card import new_card
from worker.domain.delivery import Receipt
from worker.domain.event import Entity, Event, Kind, Severity
from worker.domain.message_plan import MessageContent, PendingDelivery, PlannedCall
from worker.domain.presentation import urgency
from worker.domain.subscription import Subscription
from worker.pipeline.delivery.planner import CARDS_PER_DIGEST, Batch, merge_events, plan_calls

EVENT = Event(
    id="1",
    source="/ik",
    type="io.infrakitchen.workflow.failed",
    kind=Kind.WORKFLOW,
    entry_id="5-0",
    entity=Entity("workflow", "17", "deploy"),
    severity=Severity.ERROR,
    title="deploy",
)

events = st.builds(
    lambda number, run, severity, status, at_s, ms: replace(
        EVENT,
        id=str(number),
        entity=Entity("workflow", run),
        severity=severity,
        status=status,
        time_s=at_s,
        entry_id=f"{ms}-{number}",
    ),
    st.integers(0, 30),
    st.sampled_from("abc"),
    st.sampled_from(Severity),
    st.sampled_from(["done", "error", "in_progress", "cancelled"]),
    st.none() | st.sampled_from([1.0, 2.0]),
    st.integers(1, 3),
)
batches = st.lists(events, min_size=1, max_size=20).map(
    lambda taken: [PendingDelivery(f"d{number}", event) for number, event in enumerate(taken)]
)


def merge(**events_by_id: Event) -> MessageContent:
    return merge_events([PendingDelivery(id_, event) for id_, event in events_by_id.items()])


@given(batches)
def test_every_subject_has_one_line_and_every_event_is_counted(deliveries: list[PendingDelivery]) -> None:
    content = merge_events(deliveries)
    leads = [line.delivery_id for line in content.lines]
    assert len(set(leads)) == len(leads)
    assert {delivery.event.subject_key for delivery in deliveries} == {line.event.subject_key for line in content.lines}
    assert content.lines[0].delivery_id in {delivery.delivery_id for delivery in deliveries}
    taken = [delivery.event for delivery in deliveries]
    assert content.event_count == len({(event.subject_key, event.source, event.id) for event in taken})


def test_a_line_counts_the_failures_among_the_older_states_that_no_message_announced() -> None:
    changes = ((1.0, "error"), (2.0, "error"), (3.0, "done"))
    states = [replace(EVENT, id=str(at_s), time_s=at_s, status=status) for at_s, status in changes]
    deliveries = [PendingDelivery(f"d{number}", event) for number, event in enumerate(states)]
    assert [line.failed_count for line in merge_events(deliveries).lines] == [2]
    shown = new_card(states[0], "C1", Receipt("C1", "1.0"), "d0")
    assert [line.failed_count for line in merge_events(deliveries, (None, shown)).lines] == [1]
    assert [line.failed_count for line in merge_events(deliveries[:1]).lines] == [0]


@given(batches)
def test_the_newest_state_of_each_subject_wins(deliveries: list[PendingDelivery]) -> None:
    for line in merge_events(deliveries).lines:
        taken = [delivery.event for delivery in deliveries if delivery.event.subject_key == line.event.subject_key]
        assert line.event.order[0] == max(event.order[0] for event in taken)
        at_that_time = [event for event in taken if event.order[0] == line.event.order[0]]
        assert line.event.accepted_at_ms == max(event.accepted_at_ms for event in at_that_time)


@given(batches)
def test_the_most_urgent_line_comes_first(deliveries: list[PendingDelivery]) -> None:
    urgencies = [urgency(line.event) for line in merge_events(deliveries).lines]
    assert urgencies == sorted(urgencies, reverse=True)


@given(st.lists(events, unique_by=lambda event: event.entry_id), st.randoms(use_true_random=False))
def test_the_order_of_the_batch_does_not_change_the_lines(taken: list[Event], luck: Random) -> None:
    deliveries = [PendingDelivery(event.entry_id, event) for event in taken]
    shuffled = luck.sample(deliveries, len(deliveries))
    assert {line.delivery_id for line in merge_events(deliveries).lines} == {
        line.delivery_id for line in merge_events(shuffled).lines
    }


def test_the_same_event_for_two_subscriptions_counts_once() -> None:
    content = merge(a=EVENT, b=EVENT)
    assert (content.lines[0].delivery_id, content.event_count, content.lines[0].older_count) == ("a", 1, 0)


def test_an_event_without_an_entity_is_its_own_subject() -> None:
    nameless = replace(EVENT, entity=Entity("", ""))
    assert len(merge(a=nameless, b=replace(nameless, id="2")).lines) == 2


def test_at_the_same_time_the_later_event_of_the_stream_wins() -> None:
    earlier = replace(EVENT, id="e", time_s=9.0, entry_id="1000-1", status="in_progress")
    later = replace(EVENT, id="l", time_s=9.0, entry_id="1001-0", status="done")
    assert merge(earlier=earlier, later=later).lines[0].delivery_id == "later"
    assert merge(later=later, earlier=earlier).lines[0].delivery_id == "later"


def test_an_older_state_that_comes_late_does_not_win() -> None:
    newer = replace(EVENT, id="n", time_s=20.0, entry_id="1-0")
    older = replace(EVENT, id="o", time_s=10.0, entry_id="2-0")
    content = merge(newer=newer, older=older)
    assert (content.lines[0].delivery_id, content.lines[0].older_count) == ("newer", 1)


def test_a_message_has_each_mention_once() -> None:
    here = Subscription("s", "acme", "#ops", mention="<!here>", mention_from=Severity.INFO)
    content = merge_events(
        [PendingDelivery("a", EVENT, here), PendingDelivery("b", EVENT), PendingDelivery("c", EVENT, here)]
    )
    assert content.mentions == ("<!here>",)


def storm(*, urgent: int = 12, status: str = "pending", **changes: Any) -> list[PendingDelivery]:
    """Return deliveries of 60 workflows, of which this number is critical."""
    events = [
        replace(
            EVENT, id=f"{n}", entity=Entity("workflow", f"{n}"), status=status, time_s=float(n),
            severity=Severity.CRITICAL if n < urgent else Severity.INFO,
        )
        for n in range(60)
    ]  # fmt: skip
    return [PendingDelivery(event.id, event, **changes) for event in events]


def ids(call: PlannedCall) -> list[str]:
    return list(call.delivery_ids)


def test_the_most_urgent_of_a_storm_stay_out_of_its_digest_and_the_first_comes_before_it() -> None:
    first, digest = plan_calls(Batch(deliveries=storm(), address="C1"))
    assert (ids(first), first.subject_key) == (["0"], "workflow:workflow:0")
    assert first.card_pending == tuple(f"{n}" for n in range(1, CARDS_PER_DIGEST))
    assert digest.card_pending == tuple(f"{n}" for n in range(CARDS_PER_DIGEST))
    assert digest.content.urgent_count == CARDS_PER_DIGEST
    assert sorted(map(int, ids(digest))) == list(range(10, 60))
    assert {line.delivery_id for line in digest.content.lines} == set(ids(digest))


def test_after_a_card_the_digest_is_next_and_after_the_digest_the_most_urgent_card() -> None:
    (digest,) = plan_calls(Batch(deliveries=storm(), address="C1", last_lines=1))
    assert len(ids(digest)) == 50
    pending = [replace(delivery, card_pending=delivery.delivery_id == "3") for delivery in storm(urgent=4)]
    calls = plan_calls(Batch(deliveries=pending, address="C1", last_lines=50))
    assert [ids(call) for call in calls[:4]] == [["3"], ["0"], ["1"], ["2"]]
    assert len(ids(calls[4])) == 56


def test_few_cards_wait_however_many_storms_come() -> None:
    deliveries = [replace(delivery, card_pending=int(delivery.delivery_id) < 9) for delivery in storm(urgent=20)]
    digest = plan_calls(Batch(deliveries=deliveries, address="C1", last_lines=1))[0]
    assert digest.card_pending == ("9",)


def test_what_is_no_more_urgent_than_half_of_a_storm_gets_no_card() -> None:
    for urgent in (0, 40, 60):
        (digest,) = plan_calls(Batch(deliveries=storm(urgent=urgent), address="C1"))
        assert (len(ids(digest)), digest.card_pending, digest.content.urgent_count) == (60, (), 0)


def test_only_open_subjects_whose_style_is_card_stay_out_of_a_digest() -> None:
    plain = Subscription("s", "acme", "#ops", style="plain")
    for deliveries in (storm(status="done"), storm(subscription=plain)):
        (digest,) = plan_calls(Batch(deliveries=deliveries, address="C1"))
        assert (len(ids(digest)), digest.card_pending) == (60, ())


def test_a_new_state_of_a_subject_that_waits_for_its_card_is_in_that_card() -> None:
    deliveries = storm(urgent=1)
    newer = replace(deliveries[0].event, id="newer", time_s=100.0)
    deliveries[0] = replace(deliveries[0], card_pending=True)
    card = plan_calls(Batch(deliveries=[*deliveries, PendingDelivery("newer", newer)], address="C1", last_lines=60))[0]
    assert (sorted(ids(card)), card.lead_id, card.content.event_count) == (["0", "newer"], "newer", 2)

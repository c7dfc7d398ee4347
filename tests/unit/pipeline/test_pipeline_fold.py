"""Folding: every delivery is told once, the newest state of each thing wins, the worst comes first."""

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.event import Entity, Event, Kind, Severity
from worker.domain.folding import Told
from worker.domain.looks import urgency
from worker.pipeline.fold import CARDS_OF_DIGEST, choose, fold

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
tolds = st.lists(events, min_size=1, max_size=20).map(
    lambda found: [Told(f"d{n}", event) for n, event in enumerate(found)]
)


@given(tolds)
def test_every_delivery_is_told_once(told: list[Told]) -> None:
    folding = fold(told)
    leads = [line.delivery_id for line in folding.lines]
    assert len(set(leads)) == len(leads)
    assert {one.event.about for one in told} == {line.event.about for line in folding.lines}
    assert folding.lines[0].delivery_id in {one.delivery_id for one in told}
    assert folding.events == len({(one.event.about, one.event.source, one.event.id) for one in told})


@given(tolds)
def test_the_newest_state_of_each_thing_wins(told: list[Told]) -> None:
    for line in fold(told).lines:
        same = [one.event for one in told if one.event.about == line.event.about]
        assert line.event.order[0] == max(event.order[0] for event in same)
        at_that_time = [event for event in same if event.order[0] == line.event.order[0]]
        assert line.event.accepted_at_ms == max(event.accepted_at_ms for event in at_that_time)


@given(tolds)
def test_the_worst_comes_first(told: list[Told]) -> None:
    urgencies = [urgency(line.event) for line in fold(told).lines]
    assert urgencies == sorted(urgencies, reverse=True)


@given(st.lists(events, unique_by=lambda event: event.entry_id), st.randoms(use_true_random=False))
def test_the_order_they_are_taken_in_changes_nothing_that_is_told(found: list[Event], luck: Random) -> None:
    told = [Told(event.entry_id, event) for event in found]
    shuffled = luck.sample(told, len(told))
    assert {line.delivery_id for line in fold(told).lines} == {
        line.delivery_id for line in fold(shuffled).lines
    }


def test_the_same_event_for_two_subscriptions_is_told_once() -> None:
    folding = fold([Told("a", EVENT), Told("b", EVENT)])
    assert (folding.lines[0].delivery_id, folding.events, folding.lines[0].older) == ("a", 1, 0)


def test_an_event_that_names_nothing_is_about_itself() -> None:
    nameless = replace(EVENT, entity=Entity("", ""))
    assert len(fold([Told("a", nameless), Told("b", replace(nameless, id="2"))]).lines) == 2


def test_at_the_same_time_the_later_in_the_stream_wins() -> None:
    earlier = replace(EVENT, id="e", time_s=9.0, entry_id="1000-1", status="in_progress")
    later = replace(EVENT, id="l", time_s=9.0, entry_id="1001-0", status="done")
    for told in ([Told("a", earlier), Told("b", later)], [Told("b", later), Told("a", earlier)]):
        assert fold(told).lines[0].delivery_id == "b"


def test_an_older_state_that_comes_late_does_not_win() -> None:
    newer = replace(EVENT, id="n", time_s=20.0, entry_id="1-0")
    older = replace(EVENT, id="o", time_s=10.0, entry_id="2-0")
    folding = fold([Told("n", newer), Told("o", older)])
    assert (folding.lines[0].delivery_id, folding.lines[0].older) == ("n", 1)


def test_whoever_is_mentioned_is_mentioned_once() -> None:
    folding = fold([Told("a", EVENT, "<!here>"), Told("b", EVENT), Told("c", EVENT, "<!here>")])
    assert folding.mentions == ("<!here>",)


def test_the_worst_of_a_large_digest_are_owed_cards_if_someone_wants_them() -> None:
    busy = [replace(EVENT, id=f"{n}", entity=Entity("workflow", f"{n}"), status="pending") for n in range(50)]
    told = [Told(event.id, event, wants_card=event.id != "0") for event in busy]
    (digest,) = choose(told, {}, "C1")
    assert len(digest.owed) == CARDS_OF_DIGEST
    assert "0" not in digest.owed

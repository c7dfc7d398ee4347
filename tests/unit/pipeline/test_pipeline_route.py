"""Events are routed to the subscriptions whose filters match, and a suppressed event has a reason."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.event import Entity, Event, Kind, Severity
from worker.domain.subscription import Filters, Subscription
from worker.domain.subscription_index import SubscriptionIndex

EVENT = Event(
    id="1",
    source="/ik",
    type="io.infrakitchen.workflow.failed",
    kind=Kind.WORKFLOW,
    entry_id="5-0",
    entity=Entity("workflow", "17", "deploy-prod"),
    severity=Severity.ERROR,
    title="Workflow deploy-prod failed",
    status="error",
    action="Destroy",
    project="shop",
    labels={"env": "prod", "team": "core"},
)
NOW_MS = 1_000_000
MATCHING = {
    "kinds": (Kind.WORKFLOW, Kind.ALERT),
    "entity_types": ("workflow",),
    "entity_ids": ("16", "17"),
    "names": ("DEPLOY-*",),
    "projects": ("shop",),
    "statuses": ("error",),
    "actions": ("create", "destroy"),
    "min_severity": Severity.ERROR,
    "labels": ("env=prod", "env=stage", "team=core"),
}
OTHER = {
    "kinds": (Kind.ALERT,),
    "entity_types": ("resource",),
    "entity_ids": ("18",),
    "names": ("build-*",),
    "projects": ("bank",),
    "statuses": ("done",),
    "actions": ("approve",),
    "min_severity": Severity.CRITICAL,
    "labels": ("env=prod", "team=other"),
}


def subscription(id_: str = "s", *, paused: bool = False, **filters: object) -> Subscription:
    return Subscription(id_, "acme", "#ops", Filters(**filters), paused=paused)  # type: ignore[arg-type]


def routed(*subscriptions: Subscription) -> list[str]:
    return [one.id for one in SubscriptionIndex.build(subscriptions).match(EVENT, NOW_MS)]


def test_a_subscription_without_filters_matches_every_event() -> None:
    assert routed(subscription()) == ["s"]


@pytest.mark.parametrize("name", MATCHING)
def test_each_filter_matches_the_values_it_names(name: str) -> None:
    assert routed(subscription(**{name: MATCHING[name]})) == ["s"]


@pytest.mark.parametrize("name", OTHER)
def test_each_filter_rejects_other_values_with_a_reason(name: str) -> None:
    one = subscription(**{name: OTHER[name]})
    assert routed(one) == []
    assert one.mismatch_reason(EVENT, NOW_MS)


@given(st.sets(st.sampled_from(sorted(MATCHING))), st.sets(st.sampled_from(sorted(OTHER))))
def test_all_filters_must_match(matching: set[str], other: set[str]) -> None:
    filters = {name: MATCHING[name] for name in matching} | {name: OTHER[name] for name in other}
    assert routed(subscription(**filters)) == ([] if other else ["s"])


def test_a_paused_subscription_matches_nothing() -> None:
    one = subscription(paused=True)
    assert routed(one) == []
    assert one.mismatch_reason(EVENT, NOW_MS) == "the subscription is paused"


def test_matching_subscriptions_keep_their_order() -> None:
    assert routed(subscription("a"), subscription("b", paused=True), subscription("c")) == ["a", "c"]


WORDS = ("a", "ab", "b")
values = st.lists(st.sampled_from(WORDS), max_size=2).map(tuple)
globs = st.lists(st.sampled_from(("a", "AB", "a*", "[ab]", "*b", "?b", "a[b]")), max_size=2).map(tuple)
labels = st.lists(st.sampled_from(("a=a", "a=b", "b=a", "a", "a=b=c", "=a")), max_size=3).map(tuple)
filter_sets = st.builds(
    Filters,
    kinds=st.lists(st.sampled_from(Kind), max_size=2).map(tuple),
    entity_types=values,
    entity_ids=values,
    names=globs,
    projects=values,
    statuses=values,
    min_severity=st.none() | st.sampled_from(Severity),
    labels=labels,
    actions=values,
    with_children=st.booleans(),
)
subscriptions = st.builds(
    Subscription,
    st.just("s"),
    st.just("acme"),
    st.sampled_from(("#ops", "#team-{label:a}")),
    filter_sets,
    paused=st.booleans(),
    muted_until_ms=st.sampled_from((0, 10)),
)
events = st.builds(
    replace,
    st.just(EVENT),
    kind=st.sampled_from(Kind),
    entity=st.builds(Entity, *(st.sampled_from(("", *WORDS, "B")) for _ in range(3))),
    parents=values,
    project=st.sampled_from(("", *WORDS)),
    status=st.sampled_from(WORDS),
    action=st.sampled_from(("A", *WORDS)),
    severity=st.sampled_from(Severity),
    labels=st.dictionaries(st.sampled_from(("", "a", "b", "a=b")), st.sampled_from(("", "a", "b", "c", "b=c"))),
)


@given(st.lists(subscriptions, max_size=12), events)
def test_the_index_finds_the_same_subscriptions_as_a_scan_in_the_same_order(
    some: list[Subscription], event: Event
) -> None:
    numbered = [replace(one, id=f"s{number}") for number, one in enumerate(some)]
    index = SubscriptionIndex.build(numbered)
    assert index.match(event, NOW_MS) == tuple(one for one in numbered if not one.mismatch_reason(event, NOW_MS))


class Compared(Filters):
    """Filters that count how often they are compared with an event."""

    __slots__ = ()
    count = 0

    def mismatch_reason(self, event: Event) -> str:
        Compared.count += 1
        return super().mismatch_reason(event)


@pytest.mark.parametrize(
    "filters",
    [
        lambda n: {"projects": (f"p{n}",)},
        lambda n: {"projects": ("shop",), "labels": ("env=prod", f"team=t{n}")},
        lambda n: {"kinds": (Kind.WORKFLOW,), "entity_ids": (str(n + 10),), "with_children": True},
        lambda n: {"names": (f"deploy-{n}*", f"build-{n}")},
        lambda n: {"statuses": (f"s{n}",), "actions": ("destroy",)},
    ],
)
def test_an_event_is_compared_only_with_subscriptions_that_share_its_value(filters: Any) -> None:
    some = [Subscription(f"s{n}", "acme", "#ops", Compared(**filters(n))) for n in range(1000)]
    index = SubscriptionIndex.build(some)
    Compared.count = 0
    assert len(index.match(EVENT, NOW_MS)) <= 1
    assert index.suppression_reason(EVENT, NOW_MS) in ("", "no subscription matches")
    assert Compared.count <= 2


def test_a_suppressed_event_has_a_reason() -> None:
    assert SubscriptionIndex.build([]).suppression_reason(EVENT, NOW_MS) == "there is no active subscription"
    assert (
        SubscriptionIndex.build([subscription(paused=True)]).suppression_reason(EVENT, NOW_MS)
        == "there is no active subscription"
    )
    assert (
        SubscriptionIndex.build([subscription(projects=("bank",))]).suppression_reason(EVENT, NOW_MS)
        == "no subscription matches"
    )


def test_a_muted_subscription_matches_nothing_until_the_mute_ends() -> None:
    came_ms = EVENT.accepted_at_ms
    muted = replace(subscription(), muted_from_ms=came_ms, muted_until_ms=came_ms + 1)
    assert routed(muted) == []
    assert muted.mismatch_reason(EVENT, NOW_MS).startswith("muted until 1970-01-01 00:00")
    assert (
        SubscriptionIndex.build([muted]).suppression_reason(EVENT, NOW_MS)
        == f"every matching subscription is {muted.mismatch_reason(EVENT, NOW_MS)}"
    )
    for begins_ms, ends_ms in ((came_ms + 1, came_ms + 2), (came_ms - 1, came_ms)):
        assert routed(replace(muted, muted_from_ms=begins_ms, muted_until_ms=ends_ms)) == ["s"]


def test_a_filter_that_does_not_match_is_a_better_reason_than_a_mute() -> None:
    muted = replace(subscription(projects=("bank",)), muted_until_ms=EVENT.accepted_at_ms + 1)
    assert muted.mismatch_reason(EVENT, NOW_MS) == "project is shop, not bank"
    assert SubscriptionIndex.build([muted]).suppression_reason(EVENT, NOW_MS) == "no subscription matches"


def test_an_entry_id_from_the_future_ends_no_mute() -> None:
    muted = replace(subscription(), muted_from_ms=NOW_MS - 1, muted_until_ms=NOW_MS + 1)
    assert muted.mute_reason(replace(EVENT, entry_id=f"{NOW_MS + 1}-0"), NOW_MS)
    assert not muted.mute_reason(replace(EVENT, entry_id=f"{NOW_MS + 1}-0"), NOW_MS + 1)

"""An event is for every subscription whose filters match, and a person can be told why it was not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.event import Entity, Event, Kind, Severity
from worker.domain.subscription import Filters, Subscription
from worker.pipeline.route import index, route, why_suppressed

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
    project="shop",
    labels={"env": "prod", "team": "core"},
)
MATCHING = {
    "kinds": (Kind.WORKFLOW, Kind.ALERT),
    "entity_types": ("workflow",),
    "entity_ids": ("16", "17"),
    "names": ("DEPLOY-*",),
    "projects": ("shop",),
    "statuses": ("error",),
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
    "min_severity": Severity.CRITICAL,
    "labels": ("env=prod", "team=other"),
}


def subscription(id_: str = "s", *, paused: bool = False, **filters: object) -> Subscription:
    return Subscription(id_, "acme", "#ops", Filters(**filters), paused=paused)  # type: ignore[arg-type]


def routed(*subscriptions: Subscription) -> list[str]:
    return [one.id for one in route(EVENT, index(subscriptions))]


def test_without_filters_everything_matches() -> None:
    assert routed(subscription()) == ["s"]


@pytest.mark.parametrize("name", MATCHING)
def test_each_filter_lets_through_what_it_names(name: str) -> None:
    assert routed(subscription(**{name: MATCHING[name]})) == ["s"]


@pytest.mark.parametrize("name", OTHER)
def test_each_filter_keeps_out_what_it_does_not_name_and_says_so(name: str) -> None:
    one = subscription(**{name: OTHER[name]})
    assert routed(one) == []
    assert one.why_not(EVENT)


@given(st.sets(st.sampled_from(sorted(MATCHING))), st.sets(st.sampled_from(sorted(OTHER))))
def test_all_filters_must_match(matching: set[str], other: set[str]) -> None:
    filters = {name: MATCHING[name] for name in matching} | {name: OTHER[name] for name in other}
    assert routed(subscription(**filters)) == ([] if other else ["s"])


def test_a_paused_subscription_gets_nothing_and_says_so() -> None:
    one = subscription(paused=True)
    assert routed(one) == []
    assert one.why_not(EVENT) == "the subscription is paused"


def test_every_matching_subscription_is_told_in_the_order_they_were_made() -> None:
    assert routed(subscription("a"), subscription("b", paused=True), subscription("c")) == ["a", "c"]


@pytest.mark.parametrize("kind", list(Kind))
def test_the_index_leaves_out_nobody(kind: Kind) -> None:
    some = [subscription(f"{wanted}", kinds=(wanted,)) for wanted in Kind]
    event = replace(EVENT, kind=kind)
    slowly = [one.id for one in some if not one.why_not(event)]
    assert [one.id for one in route(event, index(some))] == slowly == [kind]


def test_what_is_suppressed_has_a_reason() -> None:
    assert why_suppressed(EVENT, index([])) == "there is no active subscription"
    assert why_suppressed(EVENT, index([subscription(paused=True)])) == "there is no active subscription"
    assert why_suppressed(EVENT, index([subscription(projects=("bank",))])) == "no subscription matches"


def test_a_muted_subscription_gets_nothing_while_it_is_muted() -> None:
    came_ms = EVENT.accepted_at_ms
    muted = replace(subscription(), muted_from_ms=came_ms, muted_until_ms=came_ms + 1)
    assert routed(muted) == []
    assert muted.why_not(EVENT).startswith("muted until 1970-01-01 00:00")
    assert why_suppressed(EVENT, index([muted])) == f"every subscription it is for is {muted.why_not(EVENT)}"
    for begins_ms, ends_ms in ((came_ms + 1, came_ms + 2), (came_ms - 1, came_ms)):
        assert routed(replace(muted, muted_from_ms=begins_ms, muted_until_ms=ends_ms)) == ["s"]


def test_a_filter_that_does_not_match_is_the_better_reason_than_a_mute() -> None:
    muted = replace(subscription(projects=("bank",)), muted_until_ms=EVENT.accepted_at_ms + 1)
    assert muted.why_not(EVENT) == "project is shop, not bank"
    assert why_suppressed(EVENT, index([muted])) == "no subscription matches"

"""Subscriptions: all filters must match, and a mismatch has a reason."""

import dataclasses

import pytest

from worker.domain.event import Entity, Event, Kind, Severity
from worker.domain.subscription import Filters, Subscription

NOW_MS = 1_000_000
EVENT = Event(
    id="e1",
    source="s",
    type="t",
    kind=Kind.RESOURCE,
    entry_id="1-0",
    entity=Entity("resource", "r1", "db-main"),
    severity=Severity.WARNING,
    title="T",
    status="rejected",
    action="REJECT",
    project="shop",
    labels={"env": "prod", "tier": "1"},
)


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(kinds=(Kind.WORKFLOW, Kind.RESOURCE)),
        Filters(entity_types=("resource",)),
        Filters(entity_ids=("r1", "r2")),
        Filters(names=("web-*", "DB-*")),
        Filters(projects=("shop",)),
        Filters(statuses=("error", "rejected")),
        Filters(actions=("destroy", "reject")),
        Filters(min_severity=Severity.WARNING),
        Filters(labels=("env=prod",)),
        Filters(labels=("env=dev", "env=prod", "tier=1")),
    ],
)
def test_a_matching_event_has_no_mismatch_reason(filters: Filters) -> None:
    assert filters.mismatch_reason(EVENT) == ""


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        (Filters(kinds=(Kind.WORKFLOW, Kind.ALERT)), "kind is resource, not workflow or alert"),
        (Filters(entity_types=("storage",)), "entity type is resource, not storage"),
        (Filters(entity_ids=("r2",)), "entity id is r1, not r2"),
        (Filters(names=("web-*",)), "name is db-main, not web-*"),
        (Filters(projects=("other",)), "project is shop, not other"),
        (Filters(statuses=("error",)), "status is rejected, not error"),
        (Filters(actions=("destroy",)), "action is REJECT, not destroy"),
        (Filters(min_severity=Severity.ERROR), "severity is warning, below error"),
        (Filters(labels=("env=dev", "env=test")), "label env is prod, not dev or test"),
        (Filters(labels=("zone=a",)), "label zone is not given, not a"),
        (Filters(kinds=(Kind.RESOURCE,), labels=("env=dev",)), "label env is prod, not dev"),
    ],
)
def test_the_mismatch_reason_names_the_filter(filters: Filters, reason: str) -> None:
    assert filters.mismatch_reason(EVENT) == reason


def test_the_events_of_what_belongs_to_an_entity_match_with_its_children() -> None:
    child = dataclasses.replace(EVENT, parents=("p1", "r0"))
    alone, family = Filters(entity_ids=("r0",)), Filters(entity_ids=("r0",), with_children=True)
    assert alone.mismatch_reason(child) == "entity id is r1, not r0"
    assert family.mismatch_reason(child) == ""
    assert family.mismatch_reason(EVENT) == "entity id is r1, not r0"
    assert Filters(entity_ids=("r1",), with_children=True).mismatch_reason(EVENT) == ""


def test_the_mismatch_reason_says_that_a_field_is_not_given() -> None:
    nameless = dataclasses.replace(EVENT, project="")
    assert Filters(projects=("shop",)).mismatch_reason(nameless) == "project is not given, not shop"


def test_a_paused_subscription_matches_nothing() -> None:
    subscription = Subscription("s1", "default", "#ops")
    assert subscription.mismatch_reason(EVENT, NOW_MS) == ""
    assert dataclasses.replace(subscription, paused=True).mismatch_reason(EVENT, NOW_MS) == "the subscription is paused"
    assert subscription.lane == "default/#ops"


@pytest.mark.parametrize(
    ("severity", "status", "mention"),
    [
        (Severity.WARNING, "firing", ""),
        (Severity.ERROR, "firing", "<!here>"),
        (Severity.CRITICAL, "firing", "<!here>"),
        (Severity.CRITICAL, "done", ""),
    ],
)
def test_an_event_is_mentioned_from_the_chosen_severity_unless_it_ends_something(
    severity: Severity, status: str, mention: str
) -> None:
    subscription = Subscription("s", "i", "#ops", mention="<!here>", mention_from=Severity.ERROR)
    assert subscription.mention_for(dataclasses.replace(EVENT, severity=severity, status=status)) == mention


def test_the_same_mute_again_changes_nothing() -> None:
    muted = Subscription("s", "acme", "#ops").with_mute(500, 100)
    assert (muted.muted_from_ms, muted.muted_until_ms) == (100, 500)
    assert muted.with_mute(500, 200) == muted
    assert muted.with_mute(900, 200) == dataclasses.replace(muted, muted_from_ms=200, muted_until_ms=900)


def test_an_ended_mute_keeps_its_start() -> None:
    muted = Subscription("s", "acme", "#ops").with_mute(500, 100)
    assert muted.with_mute(0, 300).muted_until_ms == 300
    assert muted.with_mute(0, 700) == muted


NIGHT_MS = 1_764_025_200_000  # 2025-11-25 00:00 in Stockholm
QUIET = Subscription("s", "acme", "#ops", quiet_hours="22:00-07:00", time_zone="Europe/Stockholm")


def test_quiet_hours_delay_events_that_are_not_critical() -> None:
    assert QUIET.quiet_until_ms(EVENT, NIGHT_MS) == NIGHT_MS + 7 * 3_600_000
    assert QUIET.quiet_until_ms(EVENT, NIGHT_MS + 8 * 3_600_000) == 0
    assert QUIET.quiet_until_ms(dataclasses.replace(EVENT, severity=Severity.CRITICAL), NIGHT_MS) == 0


def test_quiet_below_chooses_the_severity_that_is_not_delayed() -> None:
    louder = dataclasses.replace(QUIET, quiet_below=Severity.WARNING)
    assert louder.quiet_until_ms(EVENT, NIGHT_MS) == 0
    assert louder.quiet_until_ms(dataclasses.replace(EVENT, severity=Severity.INFO), NIGHT_MS) > 0


def test_nothing_is_delayed_without_quiet_hours_or_in_an_unknown_time_zone() -> None:
    assert Subscription("s", "acme", "#ops").quiet_until_ms(EVENT, NIGHT_MS) == 0
    assert dataclasses.replace(QUIET, time_zone="Mars/Base").quiet_until_ms(EVENT, NIGHT_MS) == 0

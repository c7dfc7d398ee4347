"""Subscriptions: all filters must match, and one that does not says why."""

import dataclasses

import pytest

from worker.domain.event import Entity, Event, Kind, Severity
from worker.domain.subscription import Filters, Subscription

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
        Filters(min_severity=Severity.WARNING),
        Filters(labels=("env=prod",)),
        Filters(labels=("env=dev", "env=prod", "tier=1")),
    ],
)
def test_what_matches_has_no_reason_against_it(filters: Filters) -> None:
    assert filters.why_not(EVENT) == ""


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        (Filters(kinds=(Kind.WORKFLOW, Kind.ALERT)), "kind is resource, not workflow or alert"),
        (Filters(entity_types=("storage",)), "entity type is resource, not storage"),
        (Filters(entity_ids=("r2",)), "entity id is r1, not r2"),
        (Filters(names=("web-*",)), "name is db-main, not web-*"),
        (Filters(projects=("other",)), "project is shop, not other"),
        (Filters(statuses=("error",)), "status is rejected, not error"),
        (Filters(min_severity=Severity.ERROR), "severity is warning, below error"),
        (Filters(labels=("env=dev", "env=test")), "label env is prod, not dev or test"),
        (Filters(labels=("zone=a",)), "label zone is not given, not a"),
        (Filters(kinds=(Kind.RESOURCE,), labels=("env=dev",)), "label env is prod, not dev"),
    ],
)
def test_what_does_not_match_says_why(filters: Filters, reason: str) -> None:
    assert filters.why_not(EVENT) == reason


def test_what_an_event_does_not_give_is_said() -> None:
    nameless = dataclasses.replace(EVENT, project="")
    assert Filters(projects=("shop",)).why_not(nameless) == "project is not given, not shop"


def test_a_paused_subscription_matches_nothing() -> None:
    subscription = Subscription("s1", "default", "#ops")
    assert subscription.why_not(EVENT) == ""
    assert dataclasses.replace(subscription, paused=True).why_not(EVENT) == "the subscription is paused"
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
def test_it_mentions_from_its_severity_on_and_not_for_what_is_over(
    severity: Severity, status: str, mention: str
) -> None:
    subscription = Subscription("s", "i", "#ops", mention="<!here>", mention_from=Severity.ERROR)
    assert subscription.mention_of(dataclasses.replace(EVENT, severity=severity, status=status)) == mention


def test_a_mute_begins_once_and_the_same_again_changes_nothing() -> None:
    muted = Subscription("s", "acme", "#ops").muted(500, 100)
    assert (muted.muted_from_ms, muted.muted_until_ms) == (100, 500)
    assert muted.muted(500, 200) == muted
    assert muted.muted(900, 200) == dataclasses.replace(muted, muted_from_ms=200, muted_until_ms=900)


def test_a_mute_that_is_ended_was_one_until_then() -> None:
    muted = Subscription("s", "acme", "#ops").muted(500, 100)
    assert muted.muted(0, 300).muted_until_ms == 300
    assert muted.muted(0, 700) == muted


NIGHT_MS = 1_764_025_200_000  # 2025-11-25 00:00 in Stockholm
QUIET = Subscription("s", "acme", "#ops", quiet_hours="22:00-07:00", time_zone="Europe/Stockholm")


def test_in_quiet_hours_what_is_not_critical_is_held_until_they_end() -> None:
    assert QUIET.held_until_ms(EVENT, NIGHT_MS) == NIGHT_MS + 7 * 3_600_000
    assert QUIET.held_until_ms(EVENT, NIGHT_MS + 8 * 3_600_000) == 0
    assert QUIET.held_until_ms(dataclasses.replace(EVENT, severity=Severity.CRITICAL), NIGHT_MS) == 0


def test_how_bad_is_told_at_once_may_be_chosen() -> None:
    louder = dataclasses.replace(QUIET, quiet_below=Severity.WARNING)
    assert louder.held_until_ms(EVENT, NIGHT_MS) == 0
    assert louder.held_until_ms(dataclasses.replace(EVENT, severity=Severity.INFO), NIGHT_MS) > 0


def test_without_quiet_hours_or_where_nobody_knows_the_zone_nothing_is_held() -> None:
    assert Subscription("s", "acme", "#ops").held_until_ms(EVENT, NIGHT_MS) == 0
    assert dataclasses.replace(QUIET, time_zone="Mars/Base").held_until_ms(EVENT, NIGHT_MS) == 0

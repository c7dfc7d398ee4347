"""What an error code means, and whether its words help."""

import re

import pytest

from worker.domain.errors import (
    Blocked,
    Refusal,
    Scope,
    Throttled,
    Transient,
    Uncertain,
    Undeliverable,
    Unlisted,
)
from worker.slack.codes import RETRY_AFTER_DEFAULT_S, ROWS, Decision, Row, refusal, row

CLASSES = {
    Decision.THROTTLED: Throttled,
    Decision.TRANSIENT: Transient,
    Decision.UNCERTAIN: Uncertain,
    Decision.LANE: Blocked,
    Decision.INTEGRATION: Blocked,
    Decision.UNDELIVERABLE: Undeliverable,
}
ONE_STEP = re.compile(
    r"`[^`]+`|{channel}|destination|point the subscription|administrator|Slack app's settings"
)


def blocked(code: str, **told: str) -> Blocked:
    ended = refusal(code, **told)  # type: ignore[arg-type]  # only texts here
    assert isinstance(ended, Blocked)
    return ended


@pytest.mark.parametrize("listed", ROWS, ids=lambda listed: listed.code)
def test_a_row_becomes_the_class_it_names(listed: Row) -> None:
    ended = refusal(listed.code.replace("*", "something_new"))
    assert type(ended) is CLASSES[listed.decision]
    assert ended.code == listed.code.replace("*", "something_new")


@pytest.mark.parametrize("listed", ROWS, ids=lambda listed: listed.code)
def test_what_blocks_says_the_step_that_frees_it(listed: Row) -> None:
    waits_for_a_person = listed.decision in (Decision.LANE, Decision.INTEGRATION)
    assert bool(listed.hint) is waits_for_a_person
    assert not waits_for_a_person or ONE_STEP.search(listed.hint)


@pytest.mark.parametrize("listed", ROWS, ids=lambda listed: listed.code)
def test_words_for_people_do_not_quote_codes_and_leave_only_known_gaps(listed: Row) -> None:
    words = listed.reason + listed.hint
    assert not re.search(r"[a-z]_[a-z]", words.replace("{needed}", ""))
    assert set(re.findall(r"{(.*?)}", words)) <= {"bot", "channel", "integration", "needed"}
    assert listed.reason[0].isupper() or listed.reason[0] in "{@"
    assert not listed.reason.endswith(".")
    assert not listed.hint or listed.hint.endswith(".")


def test_no_code_is_listed_twice() -> None:
    codes = [listed.code for listed in ROWS]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    "code",
    [
        "slack_connect_file_link_sharing_blocked",
        "restricted_action_new",
        "draft_x",
        "duplicate_message_not_found",
    ],
)
def test_a_code_of_a_family_takes_the_familys_row(code: str) -> None:
    assert not isinstance(refusal(code), Unlisted)


def test_an_exact_row_goes_before_its_family() -> None:
    found = row("restricted_action_read_only_channel")
    assert found
    assert "read-only" in found.reason


def test_a_code_nobody_listed_is_unlisted_and_named() -> None:
    ended = refusal("brand_new_error")
    assert type(ended) is Unlisted
    assert "brand_new_error" in ended.reason


def test_a_token_fault_stops_the_integration_and_a_channel_fault_the_lane() -> None:
    assert blocked("token_revoked").scope is Scope.INTEGRATION
    assert blocked("not_in_channel").scope is Scope.LANE


def test_not_in_channel_says_the_line_to_paste() -> None:
    assert blocked("not_in_channel").hint == "Type `/invite @{bot}` in {channel}."


def test_a_revoked_token_is_mended_as_the_guide_says() -> None:
    hint = blocked("token_revoked").hint
    assert "Reinstall to Workspace" in hint
    assert "`ik-slack integrations rotate {integration}`" in hint


def test_a_missing_scope_is_named_where_it_has_to_be_added() -> None:
    ended = blocked("missing_scope", needed="users:read.email", provided="chat:write,channels:read")
    assert "`users:read.email`" in ended.reason
    assert "add `users:read.email` under Bot Token Scopes" in ended.hint


@pytest.mark.parametrize(
    ("needed", "provided", "named"),
    [
        ("channels:read,groups:read", "channels:read", "`groups:read`"),
        ("channels:read, groups:read", "chat:write, channels:read", "`groups:read`"),
        ("channels:read,groups:read,mpim:read,im:read", "chat:write", "`channels:read` and `groups:read`"),
        ("chat:write:bot", "identify,users:read", "`chat:write`"),
        ("users:read.email", "users:read", "`users:read.email`"),
        ("pins:write", "chat:write", "`pins:write`"),
    ],
)
def test_of_what_is_needed_the_missing_of_the_five_are_named(needed: str, provided: str, named: str) -> None:
    ended = blocked("missing_scope", needed=needed, provided=provided)
    assert ended.reason == f"The token of {{integration}} was not granted {named}"
    assert f"add {named} under Bot Token Scopes" in ended.hint


def test_a_missing_scope_without_a_name_points_at_the_five() -> None:
    assert "one of the five scopes" in blocked("missing_scope").hint


def test_a_channel_not_found_is_said_otherwise_of_a_person() -> None:
    ended = refusal("channel_not_found", to_a_person=True)
    assert isinstance(ended, Blocked)
    assert (ended.code, ended.scope) == ("channel_not_found", Scope.LANE)
    assert "no direct messages to {channel}" in ended.reason
    assert "/invite" not in ended.hint
    assert refusal("not_in_channel", to_a_person=True).reason == blocked("not_in_channel").reason


def test_slacks_own_words_about_a_message_are_kept() -> None:
    ended = refusal("invalid_blocks", detail="must be less than 3001 characters")
    assert isinstance(ended, Undeliverable)
    assert ended.detail == "must be less than 3001 characters"
    assert "3001" in ended.reason


@pytest.mark.parametrize(("asked", "waits"), [(None, RETRY_AFTER_DEFAULT_S), (7.0, 7.0)])
def test_a_throttle_waits_as_asked_or_the_default(asked: float | None, waits: float) -> None:
    ended: Refusal = refusal("rate_limited", retry_after_s=asked)
    assert isinstance(ended, Throttled)
    assert ended.retry_after_s == waits
    assert ended.code == "rate_limited"

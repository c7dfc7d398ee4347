"""Each of Slack's error codes has a decision, a reason and a hint."""

import re

import pytest

from worker.domain.errors import (
    Blocked,
    Scope,
    SlackError,
    Throttled,
    Undeliverable,
    UnlistedCode,
)
from worker.slack.error_codes import (
    ERROR_CODES,
    RETRY_AFTER_DEFAULT_S,
    ErrorCode,
    error_from_code,
    find_error_code,
)

ONE_STEP = re.compile(r"`[^`]+`|{channel}|destination|point the subscription|administrator|Slack app's settings")


def blocked(code: str, **details: str) -> Blocked:
    ended = error_from_code(code, **details)  # type: ignore[arg-type]  # only texts here
    assert isinstance(ended, Blocked)
    return ended


@pytest.mark.parametrize("listed", ERROR_CODES, ids=lambda listed: listed.code)
def test_each_code_becomes_the_class_of_its_decision(listed: ErrorCode) -> None:
    ended = error_from_code(listed.code.replace("*", "something_new"))
    assert type(ended) is (Blocked if isinstance(listed.decision, Scope) else listed.decision)
    assert ended.code == listed.code.replace("*", "something_new")


@pytest.mark.parametrize("listed", ERROR_CODES, ids=lambda listed: listed.code)
def test_each_code_that_blocks_has_a_hint(listed: ErrorCode) -> None:
    waits_for_a_person = isinstance(listed.decision, Scope)
    assert bool(listed.hint) is waits_for_a_person
    assert not waits_for_a_person or ONE_STEP.search(str(listed.hint))


@pytest.mark.parametrize("listed", ERROR_CODES, ids=lambda listed: listed.code)
def test_reasons_and_hints_contain_no_codes_and_only_known_placeholders(listed: ErrorCode) -> None:
    words = listed.reason + str(listed.hint)
    assert not re.search(r"[a-z]_[a-z]", words.replace("{needed}", ""))
    assert set(re.findall(r"{(.*?)}", words)) <= {"bot", "channel", "integration", "needed"}
    assert listed.reason[0].isupper() or listed.reason[0] in "{@"
    assert not listed.reason.endswith(".")
    assert not listed.hint or str(listed.hint).endswith(".")


def test_no_code_is_listed_twice() -> None:
    codes = [listed.code for listed in ERROR_CODES]
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
def test_a_code_of_a_family_has_the_row_of_the_family(code: str) -> None:
    assert not isinstance(error_from_code(code), UnlistedCode)


def test_an_exact_code_wins_over_its_family() -> None:
    found = find_error_code("restricted_action_read_only_channel")
    assert found
    assert "read-only" in found.reason


def test_an_unknown_code_is_unlisted_and_named_in_the_reason() -> None:
    ended = error_from_code("brand_new_error")
    assert type(ended) is UnlistedCode
    assert "brand_new_error" in ended.reason


def test_a_token_error_blocks_the_integration_and_a_channel_error_the_lane() -> None:
    assert blocked("token_revoked").scope is Scope.INTEGRATION
    assert blocked("not_in_channel").scope is Scope.LANE


def test_the_hint_of_not_in_channel_is_the_invite_command() -> None:
    assert str(blocked("not_in_channel").hint) == "Type `/invite @{bot}` in {channel}."


def test_the_hint_of_a_revoked_token_follows_the_guide() -> None:
    hint = str(blocked("token_revoked").hint)
    assert "Reinstall to Workspace" in hint
    assert "`ik-slack integrations rotate {integration}`" in hint


def test_a_missing_scope_is_named_in_reason_and_hint() -> None:
    ended = blocked("missing_scope", needed="users:read.email", provided="chat:write,channels:read")
    assert "users:read.email" in ended.reason
    assert "add users:read.email under Bot Token Scopes" in str(ended.hint)


@pytest.mark.parametrize(
    ("needed", "provided", "named"),
    [
        ("channels:read,groups:read", "channels:read", "groups:read"),
        ("channels:read, groups:read", "chat:write, channels:read", "groups:read"),
        ("channels:read,groups:read,mpim:read,im:read", "chat:write", "channels:read and groups:read"),
        ("chat:write:bot", "identify,users:read", "chat:write"),
        ("users:read.email", "users:read", "users:read.email"),
        ("pins:write", "chat:write", "pins:write"),
    ],
)
def test_only_missing_scopes_are_named_and_required_ones_first(needed: str, provided: str, named: str) -> None:
    ended = blocked("missing_scope", needed=needed, provided=provided)
    assert ended.reason == f"The token of {{integration}} was not granted {named}"
    assert f"add {named} under Bot Token Scopes" in str(ended.hint)


def test_without_a_scope_in_the_answer_the_hint_names_the_five() -> None:
    assert "one of the five scopes" in str(blocked("missing_scope").hint)


def test_channel_not_found_has_another_reason_for_a_user() -> None:
    ended = error_from_code("channel_not_found", to_user=True)
    assert isinstance(ended, Blocked)
    assert (ended.code, ended.scope) == ("channel_not_found", Scope.LANE)
    assert "no direct messages to {channel}" in ended.reason
    assert "/invite" not in str(ended.hint)
    assert error_from_code("not_in_channel", to_user=True).reason == blocked("not_in_channel").reason


def test_slacks_remark_on_a_message_is_kept() -> None:
    ended = error_from_code("invalid_blocks", detail="must be less than 3001 characters")
    assert isinstance(ended, Undeliverable)
    assert ended.detail == "must be less than 3001 characters"
    assert "3001" in ended.reason


@pytest.mark.parametrize(("asked", "waits"), [(None, RETRY_AFTER_DEFAULT_S), (7.0, 7.0)])
def test_a_throttle_waits_as_long_as_slack_asks_or_the_default(asked: float | None, waits: float) -> None:
    ended: SlackError = error_from_code("rate_limited", retry_after_s=asked)
    assert isinstance(ended, Throttled)
    assert ended.retry_after_s == waits
    assert ended.code == "rate_limited"

"""The classes of errors and their texts."""

import pytest

from worker.domain.errors import (
    Blocked,
    LeaseLost,
    RetryLater,
    Scope,
    SlackError,
    Throttled,
    Transient,
    Uncertain,
    Undeliverable,
    UnlistedCode,
    UserError,
)
from worker.domain.hints import Hint


@pytest.mark.parametrize("refusal", [SlackError, Transient, UnlistedCode, Uncertain])
def test_an_error_of_slack_without_a_reason_has_its_code_as_text(refusal: type[SlackError]) -> None:
    assert (refusal("internal_error").code, str(refusal("internal_error"))) == (
        "internal_error",
        "internal_error",
    )
    assert str(refusal("internal_error", "Slack failed")) == "Slack failed"


def test_a_throttled_call_has_the_seconds_to_wait() -> None:
    found = Throttled(30.0)
    assert (found.retry_after_s, found.code, str(found)) == (30.0, "ratelimited", "Slack asks to wait 30 s")


def test_a_blocked_call_has_a_hint_and_a_scope() -> None:
    found = Blocked("not_in_channel", "the bot is not in #ops", Hint.of("/invite @InfraKitchen"))
    assert (str(found.hint), found.scope) == ("/invite @InfraKitchen", Scope.LANE)


def test_an_undeliverable_message_has_slacks_explanation() -> None:
    assert str(Undeliverable("invalid_blocks", "Slack refuses it", "block 3")) == "Slack refuses it (block 3)"
    assert str(Undeliverable("no_text", "Slack refuses it")) == "Slack refuses it"


def test_retry_later_is_not_an_error_of_slack() -> None:
    found = RetryLater(2.5, "the lane is paced")
    assert (found.wait_s, found.reason, str(found)) == (2.5, "the lane is paced", "the lane is paced")
    assert not isinstance(found, SlackError)


@pytest.mark.parametrize("error", [UserError, LeaseLost])
def test_errors_of_the_program_are_not_errors_of_slack(error: type[Exception]) -> None:
    assert not issubclass(error, SlackError)

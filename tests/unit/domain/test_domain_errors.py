"""Refusals say what happened; the class says what happens next."""

import pytest

from worker.domain.errors import (
    Blocked,
    Fenced,
    NotYet,
    Problem,
    Refusal,
    Scope,
    Throttled,
    Transient,
    Uncertain,
    Undeliverable,
    Unlisted,
)


@pytest.mark.parametrize("refusal", [Refusal, Transient, Unlisted, Uncertain])
def test_a_refusal_without_a_reason_gives_its_code(refusal: type[Refusal]) -> None:
    assert (refusal("internal_error").code, str(refusal("internal_error"))) == (
        "internal_error",
        "internal_error",
    )
    assert str(refusal("internal_error", "Slack failed")) == "Slack failed"


def test_being_throttled_says_how_long_to_wait() -> None:
    found = Throttled(30.0)
    assert (found.retry_after_s, found.code, str(found)) == (30.0, "ratelimited", "Slack asks to wait 30 s")


def test_what_is_blocked_has_a_step_that_frees_it() -> None:
    found = Blocked("not_in_channel", "the bot is not in #ops", "/invite @InfraKitchen")
    assert (found.hint, found.scope) == ("/invite @InfraKitchen", Scope.LANE)


def test_what_cannot_be_delivered_says_what_slack_says() -> None:
    assert str(Undeliverable("invalid_blocks", "Slack refuses it", "block 3")) == "Slack refuses it (block 3)"
    assert str(Undeliverable("no_text", "Slack refuses it")) == "Slack refuses it"


def test_too_early_is_no_refusal() -> None:
    found = NotYet(2.5, "the lane is paced")
    assert (found.wait_s, found.reason, str(found)) == (2.5, "the lane is paced", "the lane is paced")
    assert not isinstance(found, Refusal)


@pytest.mark.parametrize("error", [Problem, Fenced])
def test_ours_are_no_refusals(error: type[Exception]) -> None:
    assert not issubclass(error, Refusal)

"""Hints for dead letters."""

from worker.domain.delivery import OVERFLOW
from worker.domain.hints import (
    DEAD_LETTER_HINTS,
    MESSAGE_FAULT_HINT,
    NO_HINT,
    Action,
    Step,
    dead_letter_hint,
    hint_beside_buttons,
)


def test_a_reason_with_a_hint_of_its_own_gives_that_hint() -> None:
    assert dead_letter_hint(OVERFLOW, "d1") == DEAD_LETTER_HINTS[OVERFLOW]


def test_a_message_that_slack_rejected_can_be_replayed_by_its_id() -> None:
    assert Step(Action.REPLAY_DEAD_LETTER, "d1") in dead_letter_hint("msg_blocks_too_long", "d1").parts


def test_beside_the_buttons_the_hint_does_not_repeat_them() -> None:
    assert hint_beside_buttons("invalid_blocks") == MESSAGE_FAULT_HINT
    assert hint_beside_buttons("expired") == DEAD_LETTER_HINTS["expired"]
    assert hint_beside_buttons("fault") == NO_HINT
    assert str(MESSAGE_FAULT_HINT) in str(dead_letter_hint("invalid_blocks", "d1"))

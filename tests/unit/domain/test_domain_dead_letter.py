"""The next step for a dead letter."""

from worker.domain.dead_letter import HINTS, hint


def test_a_reason_with_a_step_of_its_own_says_that_one() -> None:
    assert hint("overflow", "d1") == HINTS["overflow"]


def test_what_slack_refused_may_be_replayed_by_its_id() -> None:
    assert "ik-slack dead-letters replay d1`" in hint("msg_blocks_too_long", "d1")

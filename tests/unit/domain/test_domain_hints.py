"""Hints: their text in a terminal, placeholders, and the stored form."""

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.hints import NO_HINT, Action, Code, Hint, Step

ROTATE = Hint.of("Copy the token, then ", Step(Action.ROTATE_TOKEN, "{integration}"), ".")

parts = st.one_of(
    st.text(min_size=1),
    st.builds(Code, st.text(min_size=1)),
    st.builds(Step, st.sampled_from(Action), st.text()),
)


def test_the_terminal_names_the_command() -> None:
    assert str(Hint.of(Step(Action.START_PROCESSES), ", then wait.")) == "Run `ik-slack up`, then wait."
    assert str(Hint.of("Type ", Code("/invite @bot"), " in #ops.")) == "Type `/invite @bot` in #ops."


def test_placeholders_are_filled_in_every_part() -> None:
    filled = ROTATE.map(lambda text: text.replace("{integration}", "acme"))
    assert str(filled) == "Copy the token, then run `ik-slack integrations rotate acme`."


def test_an_action_is_replaced_by_another_on_the_same_target() -> None:
    assert (
        Step(Action.ADD_INTEGRATION, "{integration}")
        in ROTATE.with_action(Action.ROTATE_TOKEN, Action.ADD_INTEGRATION).parts
    )


def test_hints_are_joined_by_a_space_and_an_empty_one_adds_nothing() -> None:
    assert str(Hint.of("One.") + Hint.of("Two.")) == "One. Two."
    assert ROTATE + NO_HINT == NO_HINT + ROTATE == ROTATE


@given(st.lists(parts, min_size=1, max_size=5))
def test_a_stored_hint_is_read_back_as_it_was(chosen: list[str | Code | Step]) -> None:
    hint = Hint.of(*chosen)
    assert Hint.from_stored(str(hint), hint.to_json()) == hint


def test_a_stored_hint_of_another_version_keeps_its_text() -> None:
    assert Hint.from_stored("Run `ik-slack up`.", "") == Hint.of("Run `ik-slack up`.")
    newer = '["To fix it, ", {"action": "an_action_of_a_later_version", "target": ""}]'
    assert Hint.from_stored("To fix it, run `ik-slack later`.", newer) == Hint.of("To fix it, run `ik-slack later`.")


def test_a_resumed_lane_has_no_hint() -> None:
    assert Hint.from_stored("", ROTATE.to_json()) == NO_HINT == Hint.from_stored("", "")


def test_a_part_of_a_hint_can_be_left_out() -> None:
    assert str(Hint.of("Type ", Code("/invite @bot"), " in it.", " Otherwise wait.").without(" Otherwise wait.")) == (
        "Type `/invite @bot` in it."
    )

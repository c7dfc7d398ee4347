"""Hints: the step that fixes a problem, as data. The terminal names the command, the console links its page."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

from worker.domain.delivery import EXPIRED, OVERFLOW, UNREADABLE


class Action(StrEnum):
    """Something that a command does, and often a page of the console too; its value is stored with parked lanes."""

    command: str  #: The command without `ik-slack`.

    def __new__(cls, value: str, command: str) -> Self:
        """Return the action of a stored value and a command."""
        action = str.__new__(cls, value)
        action._value_, action.command = value, command
        return action

    ADD_INTEGRATION = "add_integration", "integrations add {target}"
    ROTATE_TOKEN = "rotate_token", "integrations rotate {target}"
    ENABLE_INTEGRATION = "enable_integration", "integrations enable {target}"
    SET_INTEGRATION_TEMPLATE = "set_integration_template", "integrations template NAME FILE"
    SHOW_MANIFEST = "show_manifest", "manifest"
    ADD_SUBSCRIPTION = "add_subscription", "subscriptions add --to '#channel'"
    APPLY_SUBSCRIPTIONS = "apply_subscriptions", "subscriptions apply FILE"
    LIST_DELIVERIES = "list_deliveries", "deliveries list"
    LIST_PARKED = "list_parked", "parked list"
    MOVE_SUBSCRIPTION = "move_subscription", "subscriptions move {target}"
    RESUME_LANE = "resume_lane", "parked resume '{target}'"
    LIST_DEAD_LETTERS = "list_dead_letters", "dead-letters list"
    REPLAY_DEAD_LETTER = "replay_dead_letter", "dead-letters replay {target}"
    GENERATE_KEY = "generate_key", "keys generate"
    START_PROCESSES = "start_processes", "up"
    START_INGEST = "start_ingest", "ingest"
    RUN_DOCTOR = "run_doctor", "doctor"


@dataclass(frozen=True, slots=True)
class Code:
    """Text that a person types or sets exactly as it is, such as `/invite @bot`."""

    code: str

    def __str__(self) -> str:
        return f"`{self.code}`"


@dataclass(frozen=True, slots=True)
class Step:
    """An action on `target`: an integration's name, a dead letter's id or arguments, where the action needs some.

    A step reads as a verb phrase: "run `ik-slack …`" in a terminal, "rotate the token" in the console.
    """

    action: Action
    target: str = ""

    @property
    def command(self) -> str:
        """The command line of this step."""
        return f"ik-slack {self.action.command.format(target=self.target)}".rstrip()

    def __str__(self) -> str:
        return f"run `{self.command}`"


Part = str | Code | Step


@dataclass(frozen=True, slots=True)
class Hint:
    """The step that fixes a problem: prose, code and actions in reading order. `str()` is the terminal's text."""

    parts: tuple[Part, ...] = ()

    @classmethod
    def of(cls, *parts: Part) -> "Hint":
        """Return the hint made of these parts; empty texts are left out."""
        return cls(tuple(part for part in parts if part != ""))

    def __str__(self) -> str:
        text = "".join(map(str, self.parts))
        return text[:1].upper() + text[1:] if self.parts and isinstance(self.parts[0], Step) else text

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __add__(self, other: "Hint") -> "Hint":
        """Return both hints, one after the other."""
        return Hint((*self.parts, " ", *other.parts)) if self and other else self or other

    def map(self, change: Callable[[str], str]) -> "Hint":
        """Return the hint with every text changed, such as by filling in placeholders."""
        return Hint(tuple(_with_text(part, change) for part in self.parts))

    def with_action(self, action: Action, instead: Action) -> "Hint":
        """Return the hint with each step of `action` replaced by one of `instead`."""
        return Hint(
            tuple(
                Step(instead, part.target) if isinstance(part, Step) and part.action is action else part
                for part in self.parts
            )
        )

    def to_json(self) -> str:
        """Return the parts as JSON, for `from_stored`."""
        return json.dumps(self.parts, default=asdict, ensure_ascii=False) if self else ""

    @classmethod
    def from_stored(cls, text: str, parts: str) -> "Hint":
        """Return a stored hint; data of earlier versions has the terminal's text only."""
        try:
            return cls(tuple(map(_part_of, json.loads(parts)))) if text and parts else cls.of(text)
        except (ValueError, KeyError):  # written by a later version
            return cls.of(text)


def _with_text(part: Part, change: Callable[[str], str]) -> Part:
    if isinstance(part, Step):
        return replace(part, target=change(part.target))
    return Code(change(part.code)) if isinstance(part, Code) else change(part)


def _part_of(stored: Any) -> Part:
    if isinstance(stored, str):
        return stored
    if "code" in stored:
        return Code(stored["code"])
    return Step(Action.__members__[stored["action"].upper()], stored["target"])


NO_HINT = Hint()
#: Slack's codes for a message that it does not take as it is built.
MESSAGE_FAULTS = (
    "invalid_blocks", "invalid_blocks_format", "invalid_attachments", "only_one_table_allowed",
    "markdown_text_conflict", "block_mismatch", "msg_too_long", "msg_too_large",
    "msg_blocks_too_long", "too_many_attachments", "no_text",
)  # fmt: skip
CORRECT_TEMPLATE = Hint.of(
    "The default message is posted instead. Correct the template in the file that ",
    Code("ik-slack subscriptions export"), " prints, then ", Step(Action.APPLY_SUBSCRIPTIONS),
    ". If it is the integration's template, ", Step(Action.SET_INTEGRATION_TEMPLATE), " instead.",
)  # fmt: skip
MESSAGE_FAULT_HINT = Hint.of(
    "Slack does not take the message as it is built: first correct the template of its subscription; if it has none, "
    "report a bug."
)
#: By the reason of a dead letter, the hint that does not depend on the dead letter.
DEAD_LETTER_HINTS = {
    UNREADABLE: Hint.of("Correct what publishes it and publish the event again, then discard this dead letter."),
    EXPIRED: Hint.of("It waited too long to be delivered. If it still matters, replay it; otherwise discard it."),
    OVERFLOW: Hint.of(
        "Its lane was full. To see what was posted since, ", Step(Action.LIST_DELIVERIES), ". Then discard it."
    ),
}


def dead_letter_hint(reason: str, id_: str) -> Hint:
    """Return the next step for a dead letter."""
    replay = Hint.of("To send it again, ", Step(Action.REPLAY_DEAD_LETTER, id_), ". Otherwise discard it.")
    return DEAD_LETTER_HINTS.get(reason, replay + MESSAGE_FAULT_HINT if reason in MESSAGE_FAULTS else replay)


def hint_beside_buttons(reason: str) -> Hint:
    """Return the next step for a dead letter beside the buttons that replay and discard it."""
    return DEAD_LETTER_HINTS.get(reason, MESSAGE_FAULT_HINT if reason in MESSAGE_FAULTS else NO_HINT)

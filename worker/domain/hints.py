"""Hints: the step that fixes a problem, as data. The terminal names the command, the console links its page."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from worker.domain.delivery import EXPIRED, OVERFLOW, UNREADABLE


class Action(Enum):
    """Something that a command does, and often a page of the console too: its command, without `ik-slack`.

    Its name is stored with parked lanes.
    """

    ADD_INTEGRATION = "integrations add {target}"
    ROTATE_TOKEN = "integrations rotate {target}"  # noqa: S105  # a command
    ENABLE_INTEGRATION = "integrations enable {target}"
    SET_INTEGRATION_TEMPLATE = "integrations template NAME FILE"
    SHOW_MANIFEST = "manifest"
    ADD_SUBSCRIPTION = "subscriptions add --to '#channel'"
    APPLY_SUBSCRIPTIONS = "subscriptions apply FILE"
    LIST_DELIVERIES = "deliveries list"
    LIST_PARKED = "parked list"
    MOVE_SUBSCRIPTION = "subscriptions move {target}"
    PREVIEW_SUBSCRIPTION = "subscriptions preview {target}"
    RESUME_LANE = "parked resume '{target}'"
    LIST_DEAD_LETTERS = "dead-letters list"
    REPLAY_DEAD_LETTER = "dead-letters replay {target}"
    GENERATE_KEY = "keys generate"
    START_PROCESSES = "up"
    START_INGEST = "ingest"
    RUN_DOCTOR = "doctor"


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
        return f"ik-slack {self.action.value.format(target=self.target)}".rstrip()

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

    def without(self, part: Part) -> "Hint":
        """Return the hint without a part."""
        return Hint(tuple(other for other in self.parts if other != part))

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
        return json.dumps(self.parts, default=_stored_part, ensure_ascii=False) if self else ""

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


def _stored_part(part: Code | Step) -> dict[str, str]:
    return {"action": part.action.name.lower(), "target": part.target} if isinstance(part, Step) else asdict(part)


def _part_of(stored: Any) -> Part:
    if isinstance(stored, str):
        return stored
    if "code" in stored:
        return Code(stored["code"])
    return Step(Action[stored["action"].upper()], stored["target"])


NO_HINT = Hint()
#: Part of the hint for a destination that the bot cannot see, where no step of a certain subscription follows.
ELSE_CORRECT_DESTINATION = " Otherwise correct the subscription's destination."
#: Slack's codes for a message that it does not take as it is built.
MESSAGE_FAULTS = (
    "invalid_blocks", "invalid_blocks_format", "invalid_attachments", "only_one_table_allowed",
    "markdown_text_conflict", "block_mismatch", "msg_too_long", "msg_too_large",
    "msg_blocks_too_long", "too_many_attachments", "no_text",
)  # fmt: skip
CORRECT_TEMPLATE = Hint.of(
    "The default message is posted. Correct the template, then ", Step(Action.APPLY_SUBSCRIPTIONS),
    " or, for an integration's, ", Step(Action.SET_INTEGRATION_TEMPLATE), ".",
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

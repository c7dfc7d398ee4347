"""Destinations made from the event, such as `#team-{label:team}`, `#res-{name}` and `{requester}`."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from worker.domain.delivery import Destination, canonical_destination, destination_form
from worker.domain.event import Event

CHANNEL_NAME_LIMIT = 80
"""Characters of a channel's name: https://docs.slack.dev/reference/methods/conversations.create"""

LABEL = "label:"
_VALUES: Mapping[str, Callable[[Event], str]] = {
    "name": lambda event: event.entity.name,
    "project": lambda event: event.project,
    "template": lambda event: event.template,
    "entity_type": lambda event: event.entity.type,
    "requester": lambda event: event.requester,
}
PERSON = "{requester}"
"""The one destination made from the event that is no channel: the person who started it, by e-mail address."""

#: Unicode's categories of letters that are not upper case, of the marks that belong to letters, and of digits.
_LEGAL = frozenset({"Ll", "Lm", "Lo", "Mc", "Mn", "Nd"})
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Choice:
    """Where an event goes."""

    destination: str = ""  #: Empty when it goes nowhere.
    reason: str = ""  #: The values that made the destination, or why there is none; empty for a fixed destination.


@dataclass(frozen=True, slots=True)
class DestinationPattern:
    """A destination with placeholders."""

    literals: tuple[str, ...]  #: The texts around the placeholders; the first one of a channel begins with `#`.
    placeholders: tuple[str, ...]  #: Without their braces.

    def __str__(self) -> str:
        first, *others = self.literals
        return first + "".join(f"{{{name}}}{text}" for name, text in zip(self.placeholders, others, strict=True))

    @property
    def room(self) -> int:
        """Return how many characters of a channel's name are left for the values."""
        return CHANNEL_NAME_LIMIT + len("#") - sum(map(len, self.literals))

    def choose(self, event: Event) -> Choice:
        """Make the destination of an event. A channel stays a channel, whatever the values hold."""
        if str(self) == PERSON:
            return _choose_person(event)
        values, parts = [_value_of(name, event) for name in self.placeholders], list[str]()
        for name, value in zip(self.placeholders, values, strict=True):
            if not (part := channel_part(value)):
                return Choice(reason=f"{_words(name)} {'has no letter or digit' if value.strip() else 'is empty'}")
            parts.append(part)
        if sum(map(len, parts)) > self.room:
            parts = [part[: self.room // len(parts)].rstrip("-") for part in parts]
        first, *others = self.literals
        name = first + "".join(part + text for part, text in zip(parts, others, strict=True))
        made_of = (f"{_words(name)} is {value}" for name, value in zip(self.placeholders, values, strict=True))
        return Choice(name, ", ".join(dict.fromkeys(made_of)))

    def could_make(self, destination: str) -> bool:
        """Return whether some event goes to this destination."""
        if str(self) == PERSON:
            return destination_form(destination) is Destination.EMAIL
        return re.fullmatch(".+".join(map(re.escape, self.literals)), destination) is not None


def has_placeholders(destination: str) -> bool:
    """Return whether a destination is made from the event: no name of a channel has braces."""
    return "{" in destination or "}" in destination


def without_placeholders(*destinations: str) -> tuple[str, ...]:
    """Return the destinations that are the same for every event; an empty one is none."""
    return tuple(written for written in destinations if written and not has_placeholders(written))


@lru_cache(maxsize=1024)
def parse_pattern(written: str) -> DestinationPattern:
    """Return a destination with placeholders, its texts in lower case. Raises ValueError with what is wrong."""
    parts = _PLACEHOLDER.split(written.strip())
    literals, placeholders = parts[::2], [name.strip() for name in parts[1::2]]
    if any(map(has_placeholders, literals)):
        raise ValueError("has a brace without its partner")
    for name in placeholders:
        if name not in _VALUES and (not name.startswith(LABEL) or name == LABEL):
            label = f"{{{LABEL}{name if name and name != LABEL else 'KEY'}}}"
            others = ", ".join(f"{{{other}}}" for other in _VALUES)
            raise ValueError(f"has no placeholder {{{name}}}; write {label} for a label, or {others}")
    if literals == ["", ""] and placeholders == ["requester"]:
        return DestinationPattern(("", ""), ("requester",))
    literals = [_lower(text) for text in literals]
    literals[0] = literals[0].removeprefix("#")
    if wrong := next((char for text in literals for char in text if not _is_legal(char)), ""):
        raise ValueError(f"has {wrong!r}, which the name of a channel cannot have")
    literals[0] = f"#{literals[0]}"
    pattern = DestinationPattern(tuple(literals), tuple(placeholders))
    if pattern.room < len(placeholders):
        raise ValueError(f"leaves the values no room in the {CHANNEL_NAME_LIMIT} characters of a channel's name")
    return pattern


def choose_destination(destination: str, event: Event) -> Choice:
    """Return where an event goes; a destination without placeholders is the same for all."""
    return parse_pattern(destination).choose(event) if has_placeholders(destination) else Choice(destination)


def could_make(written: str, destination: str) -> bool:
    """Return whether a destination, as written, leads some event to `destination`."""
    return parse_pattern(written).could_make(destination) if has_placeholders(written) else written == destination


def channel_part(value: str) -> str:
    """Return a value as a part of a channel's name; empty if it has no letter or digit.

    Slack takes lower case letters of any script, digits, hyphens and underscores; a hyphen stands for the others.
    """
    kept = "".join(char if _is_legal(char) else " " for char in _lower(value))
    part = "-".join(kept.split()).strip("-")
    return part if any(map(str.isalnum, part)) else ""


def _choose_person(event: Event) -> Choice:
    email = canonical_destination(event.requester_email) or ""
    if destination_form(email) is Destination.EMAIL:
        return Choice(email, f"requester is {email}")
    return Choice(reason="requester has no e-mail address" if event.requester.strip() else "requester is empty")


def _value_of(name: str, event: Event) -> str:
    return event.labels.get(name.removeprefix(LABEL), "") if name.startswith(LABEL) else _VALUES[name](event)


def _words(name: str) -> str:
    return name.replace(":", " ", 1) if name.startswith(LABEL) else name.replace("_", " ")


def _lower(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())


def _is_legal(char: str) -> bool:
    """Return whether the name of a channel can have this character, once it is in lower case."""
    return char in "-_" or unicodedata.category(char) in _LEGAL
